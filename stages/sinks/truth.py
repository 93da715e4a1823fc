"""What the recordings that are played show, so that predictions can be judged by it."""

import sys
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import StageError
from pipeline.messages import Start
from pipeline.ports import Port, PredictionsPort
from pipeline.registry import nearest
from pipeline.stage import PortError
from stages.datasets.labels import (
    Label,
    LabelError,
    class_of_folder,
    is_label_file,
    labels_path,
    read_labels,
    read_table,
)
from stages.sinks.prediction import Prediction

__all__ = ["LabelFile", "Truth", "check_beside", "check_labels", "truth_beside"]

_LOOKED_AT = 256

_ALWAYS_US = 1 << 62
"""Beyond all times: what a table says of a whole recording goes from here to there."""


class Truth(NamedTuple):
    """What is known of a recording."""

    labels: tuple[Label, ...]
    """In order of time, which is that of the messages."""
    by_folder: bool
    """Whether it has no labels, so that the folder it lies in may tell what it shows."""

    def of(self, prediction: Prediction, classes: Sequence[str]) -> str | None:
        """Return the label of the stretch that a prediction's windows lie in, or of the folder."""
        if self.by_folder:
            found = class_of_folder(Path(prediction.recording), classes)
            return None if found is None else classes[found]
        k = bisect_right(self.labels, (prediction.t_start_us, sys.maxsize, 0)) - 1
        if k < 0 or prediction.t_end_us > self.labels[k].end_us:
            return None
        return classes[self.labels[k].class_index]


class LabelFile:
    """A file that says what recordings show: a table of them, or a label file of the only one.

    Args:
        path: of `read_table` or of `read_labels`.
        inputs: what feeds the sink.

    Raises:
        LabelError: it is neither, cannot be read, or names a class that is not predicted.
    """

    def __init__(self, path: Path, inputs: Sequence[Port]) -> None:
        self._path = path
        classes = {port.classes for port in inputs if isinstance(port, PredictionsPort)}
        if len(classes) != 1:
            raise LabelError(f"{path}: needs predictions of the same classes, the inputs' differ")
        (self._classes,) = classes
        self._one_played = ""
        self._labels: dict[Path, list[Label]] = {}
        self._is_of_one = is_label_file(path)
        if self._is_of_one:
            self._labels[path] = list(_known(path, len(self._classes)))
        else:
            self._read_table()

    def of(self, header: Start) -> Truth:
        """Return what a recording shows; nothing if the file does not name it.

        Raises:
            StageError: the labels are of one recording, and this is another one.
        """
        path = Path(header.source).resolve()
        if self._is_of_one:
            if self._one_played not in ("", header.source):
                raise StageError(
                    f"labels = {self._path}: is of one recording, and {header.source} is played"
                    f" behind {self._one_played}; name a table with the columns file and label"
                )
            self._one_played, path = header.source, self._path
        return _shifted(self._labels.get(path, []), header)

    def play_on(self, source: str) -> None:
        """Take it that a recording is being played, as behind a checkpoint."""
        self._one_played = source if self._is_of_one else ""

    def _read_table(self) -> None:
        for row in read_table(self._path):
            if row.label not in self._classes:
                raise LabelError(
                    f"{self._path}: line {row.line}: label '{row.label}' is none of the model's"
                    f" {len(self._classes)} classes{nearest(row.label, self._classes)}"
                )
            start_us = -_ALWAYS_US if row.start_us is None else row.start_us
            end_us = _ALWAYS_US if row.end_us is None else row.end_us
            label = Label(start_us, end_us, self._classes.index(row.label))
            file = (self._path.parent / row.file).resolve()
            self._labels.setdefault(file, []).append(label)


def check_labels(path: Path | None, inputs: Sequence[Port]) -> None:
    """Look whether a file of labels, if there is one, may be used.

    Raises:
        PortError: it may not.
    """
    try:
        if path is not None:
            LabelFile(path, inputs)
    except LabelError as error:
        raise PortError("labels", str(error)) from None


def truth_beside(header: Start, inputs: Sequence[Port]) -> Truth:
    """Return what the label file beside a recording says, or that its folder must tell.

    Raises:
        StageError: it cannot be read, or names a class that is not predicted.
    """
    try:
        labels = _beside(Path(header.source), inputs)
    except LabelError as error:
        raise StageError(str(error)) from None
    return _shifted(labels, header)._replace(by_folder=not labels)


def check_beside(recordings: Sequence[Path], inputs: Sequence[Port]) -> None:
    """Look into the label files beside recordings; a set may have thousands, the first are read.

    Raises:
        PortError: one cannot be read, or names a class that is not predicted.
    """
    try:
        for recording in recordings[:_LOOKED_AT]:
            _beside(recording, inputs)
    except LabelError as error:
        raise PortError("judge", str(error)) from None


def _beside(recording: Path, inputs: Sequence[Port]) -> tuple[Label, ...]:
    """Read the label file beside a recording, if there is one."""
    path = labels_path(recording)
    if not path.is_file():
        return ()
    known = min(len(port.classes) for port in inputs if isinstance(port, PredictionsPort))
    try:
        return _known(path, known)
    except LabelError as error:
        raise LabelError(f"{error}; mend it, or set judge = false") from None


def _known(path: Path, count: int) -> tuple[Label, ...]:
    """Read a label file; refuse classes that are not predicted."""
    labels = read_labels(path)
    highest = max((label.class_index + 1 for label in labels), default=0)
    if highest > count:
        raise LabelError(f"{path}: names class {highest}, the model has {count} classes")
    return labels


def _shifted(labels: Sequence[Label], header: Start) -> Truth:
    shift_us = header.shift_us
    moved = (Label(one.start_us + shift_us, one.end_us + shift_us, one[2]) for one in labels)
    return Truth(tuple(sorted(moved)), by_folder=False)

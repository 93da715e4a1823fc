"""What recordings show: label files as DVS128 Gesture has them, a table, or the folder they lie in.

Beside ``NAME.aedat4`` lies ``NAME_labels.csv`` with the columns ``class`` (from 1),
``startTime_usec`` and ``endTime_usec``, in the recording's own time. Source: Amir et al., "A Low
Power, Fully Event-Based Gesture Recognition System", CVPR 2017, and its data set.

A table, such as ``labels.tsv`` of one's own recordings, says it of many: tab-separated, its first
line names the columns. It has ``file`` and ``label``, and if wanted ``start_us`` and ``end_us``, in
the recording's own time.

Where a set has a folder for each class (N-MNIST: ``Train/7/00001.bin``), the folder says it.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import RecordingError
from stages.sources.text_file import Layout, Row, read_rows

__all__ = [
    "Entry",
    "Label",
    "LabelError",
    "class_of_folder",
    "is_label_file",
    "labels_path",
    "read_labels",
    "read_table",
    "write_labels",
]

_COLUMNS = ("class", "startTime_usec", "endTime_usec")
_TIMES = ("start_us", "end_us")


class LabelError(ValueError):
    """A label file is missing or is not what it should be."""

    exit_code = 2


class Label(NamedTuple):
    """A stretch of a recording, [start_us, end_us), that shows one class (counted from 0)."""

    start_us: int
    end_us: int
    class_index: int


class Entry(NamedTuple):
    """A row of a table: what a recording shows, or a stretch of it."""

    line: int
    """Where it stands."""
    file: str
    """The recording, relative to the table's folder."""
    label: str
    start_us: int | None
    """None: from its beginning."""
    end_us: int | None
    """Exclusive; None: to its end."""
    columns: dict[str, str]
    """All of the row, by the columns' names."""


def labels_path(recording: Path) -> Path:
    """Return where the labels of a recording are."""
    return recording.with_name(f"{recording.stem}_labels.csv")


def read_labels(path: Path) -> tuple[Label, ...]:
    """Read a label file, sorted by time.

    Raises:
        LabelError: it is missing or not what it should be.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if not set(_COLUMNS) <= set(rows.fieldnames or ()):
                raise ValueError(f"its first line is {','.join(rows.fieldnames or ())!r}")
            labels = [_label(row) for row in rows]
    except OSError as error:
        raise LabelError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except (TypeError, ValueError, csv.Error) as error:
        raise LabelError(
            f"{path}: is no label file ({error}); its first line must be {','.join(_COLUMNS)}"
            " and the others whole numbers"
        ) from None
    return tuple(sorted(labels))


def _label(row: dict[str, str]) -> Label:
    class_index, start_us, end_us = (int(row[column]) for column in _COLUMNS)
    if class_index < 1 or end_us <= start_us:
        raise ValueError(f"class {class_index} from {start_us} to {end_us} µs")
    return Label(start_us, end_us, class_index - 1)


def is_label_file(path: Path) -> bool:
    """Return whether a file begins as a label file does; otherwise it may be a table.

    Raises:
        LabelError: it cannot be read.
    """
    first = next(_rows(path, "lines"), Row(0, [""]))
    return set(_COLUMNS) <= set(first.fields[0].split(","))


def read_table(path: Path) -> Iterator[Entry]:
    """Yield the rows of a table.

    Raises:
        LabelError: it cannot be read, or a row is not what it should be.
    """
    rows = _rows(path, "tsv")
    _, header = next(rows, Row(0, []))
    if not {"file", "label"} <= set(header):
        raise LabelError(
            f"{path}: its first line must name file and label, separated by tabs, it is"
            f" {' '.join(header)[:60]!r}"
        )
    for line, fields in rows:
        row = dict(zip(header, fields, strict=False))
        if len(fields) < len(header) or not row["label"]:
            raise LabelError(f"{path}: line {line} lacks a column")
        yield _entry(f"{path}: line {line}", line, row)


def _entry(place: str, line: int, row: dict[str, str]) -> Entry:
    for name in _TIMES:
        if row.get(name) and not row[name].lstrip("-").isdecimal():
            raise LabelError(f"{place}: {name} must be a whole number of µs, got {row[name]!r}")
    start_us, end_us = (int(row[name]) if row.get(name) else None for name in _TIMES)
    if start_us is not None and end_us is not None and end_us <= start_us:
        raise LabelError(f"{place}: end_us must be > start_us = {start_us}, got {end_us}")
    return Entry(line, row["file"], row["label"], start_us, end_us, row)


def _rows(path: Path, layout: Layout) -> Iterator[Row]:
    try:
        yield from read_rows(path, layout)
    except RecordingError as error:
        raise LabelError(str(error)) from None


def write_labels(path: Path, labels: Sequence[Label]) -> None:
    """Write a label file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows([one.class_index + 1, one.start_us, one.end_us] for one in labels)


def class_of_folder(recording: Path, classes: Sequence[str]) -> int | None:
    """Return the class that a recording's folder is named after, None where it is after none.

    Capitals do not matter, nor what stands between words: ``Air_Guitar`` is "air guitar".
    """
    folder = _plain(recording.parent.name)
    return next((k for k, name in enumerate(classes) if _plain(name) == folder), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()

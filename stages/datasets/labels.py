"""What a recording shows: label files as DVS128 Gesture has them, or the folder that it lies in.

Beside ``NAME.aedat4`` lies ``NAME_labels.csv`` with the columns ``class`` (from 1),
``startTime_usec`` and ``endTime_usec``, in the recording's own time. Source: Amir et al., "A Low
Power, Fully Event-Based Gesture Recognition System", CVPR 2017, and its data set.

Where a set has a folder for each class (N-MNIST: ``Train/7/00001.bin``), the folder says it.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Label", "LabelError", "class_of_folder", "labels_path", "read_labels", "write_labels"]

_COLUMNS = ("class", "startTime_usec", "endTime_usec")


class LabelError(ValueError):
    """A label file is missing or is not what it should be."""

    exit_code = 2


class Label(NamedTuple):
    """A stretch of a recording, [start_us, end_us), that shows one class (counted from 0)."""

    start_us: int
    end_us: int
    class_index: int


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

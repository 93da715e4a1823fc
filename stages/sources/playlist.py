"""What a replay plays: the recordings that its paths mean, and what is known of their sensors."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import RecordingError
from stages.formats import recordings_in
from stages.formats.reader import Reader

__all__ = ["declared_sizes", "playlist"]

_LOOKED_AT = 32
"""Recordings that are opened for a check; a set may have thousands."""


def playlist(paths: Path | Sequence[Path]) -> list[Path]:
    """Return the recordings of one time through; see `recordings_in`.

    Raises:
        RecordingError: a path leads to none, or cannot be read.
    """
    listed = [paths] if isinstance(paths, Path) else paths
    if not listed:
        raise RecordingError("the list is empty; name at least one recording")
    return [recording for path in listed for recording in recordings_in(path).recordings]


def declared_sizes(
    recordings: Sequence[Path], open_one: Callable[[Path], Reader], skip: bool
) -> set[tuple[int, int] | None]:
    """Return the (height, width) that the first recordings say of their sensors, None included.

    Args:
        recordings: at least one; only the first are looked at.
        open_one: opens one.
        skip: whether those that cannot be opened are passed over, as long as one can.

    Raises:
        RecordingError: one of them cannot be opened.
    """
    sizes: set[tuple[int, int] | None] = set()
    failed: list[RecordingError] = []
    for path in recordings[:_LOOKED_AT]:
        try:
            with open_one(path) as reader:
                sizes.add(reader.declared_size)
        except RecordingError as error:
            failed.append(error)
    if failed and not (skip and sizes):
        raise failed[0]
    return sizes

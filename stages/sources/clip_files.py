"""Which files and folders are clips, by their names."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import RecordingError
from stages.below import pattern_below
from stages.natural import natural
from stages.sources.picture import PICTURES

__all__ = ["VIDEOS", "clips_in", "pictures_in"]

VIDEOS = (".avi", ".mp4", ".m4v", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".wmv", ".ogv")
"""How the names of videos end, in lower case."""


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder by name, 2.jpg before 10.jpg; hidden ones are passed over.

    Raises:
        RecordingError: the folder cannot be read.
    """
    try:
        return sorted(_pictures(folder), key=natural)
    except OSError as error:
        raise RecordingError(f"{folder}: cannot be read: {error.strerror}") from None


def clips_in(path: Path) -> list[Path]:
    """Return the clips that a path means, by name, numbers in names by their size.

    A file is a video. A folder with pictures in it is one clip. Any other folder stands for the
    videos in it and for its folders of pictures, no deeper; and a pattern of `glob`, such as
    ``gestures/*/*.mp4``, for those that match it.

    Raises:
        RecordingError: it is a picture, holds both pictures and videos, or nothing of the kind; or
            a folder cannot be read.
    """
    try:
        if glob.has_magic(str(path)) and not path.exists():
            found = [
                one for one in map(Path, glob.glob(str(path), recursive=True)) if _is_clip(one)
            ]
        elif not path.is_dir():
            if path.suffix.lower() in PICTURES:
                raise RecordingError(
                    f"{path}: is a picture; name its folder to play it as a clip, or use the stage"
                    " 'images'"
                )
            return [path]
        else:
            found = [one for one in path.iterdir() if _is_clip(one)]
            if any(_pictures(path)):
                if any(one.is_file() for one in found):
                    raise RecordingError(
                        f"{path}: holds pictures and videos; name one of the videos, or a folder of"
                        " one kind"
                    )
                return [path]
    except OSError as error:
        raise RecordingError(
            f"{error.filename}: cannot be read: {error.strerror}; check the path"
        ) from None
    if not found:
        pattern = pattern_below(path, _is_video)
        remedy = f"its folders hold videos, name {pattern}"
        if pattern is None:
            names = f"in {', '.join(VIDEOS)}, of pictures in {', '.join(PICTURES)}"
            remedy = f"names of videos end {names}"
        raise RecordingError(
            f"{path}: holds no video, no pictures and no folder of pictures; {remedy}"
        )
    return sorted(found, key=natural)


def _is_clip(path: Path) -> bool:
    """Return whether a video, by its name, or a folder of pictures; what is hidden is none."""
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return any(_pictures(path))
    return _is_video(path)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS


def _pictures(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            shown = not entry.name.startswith(".")
            if shown and Path(entry.name).suffix.lower() in PICTURES and entry.is_file():
                yield folder / entry.name

"""Clips: what a video file and a folder of pictures have in common.

A clip is walked frame by frame, and only the frames that are wanted are decoded. Pictures and
videos are read by OpenCV, and come as it has them: (height, width, 3) blue, green, red.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from stages.sources.clip_files import pictures_in
from stages.sources.opencv import import_opencv
from stages.sources.picture import read_picture

__all__ = ["Clip", "PictureFolder", "Shot", "VideoFile", "open_clip"]

Picture: TypeAlias = NDArray[np.uint8]

_FASTEST_HZ = 10_000
"""What claims to be faster is no frame rate: some containers name their clock instead."""


class Shot(NamedTuple):
    """One frame of a clip, not decoded yet."""

    t_us: int
    decode: Callable[[], Picture]
    """Returns the picture, if it is called before the next shot is asked for.

    Raises `RecordingError` where the frame is damaged or of another size than those before.
    """


class Clip(ABC):
    """A recording of frames.

    Attributes:
        path: Where it is.
        size: (height, width) of its frames, pixels.
        rate_hz: Frames a second, nominally.
        announced: How many frames it is said to have.
        missing: How many of them were not there, when it was walked to its end; None before.
    """

    path: Path
    size: tuple[int, int]
    rate_hz: float
    announced: int
    missing: int | None = None

    @abstractmethod
    def walk(self) -> Iterator[Shot]:
        """Yield the frames from the first on, their times rising; to be called once.

        Raises:
            RecordingError: a frame has no time, or is not later than the one before.
        """

    @property
    def period_us(self) -> int:
        """Length of a frame."""
        return round(1e6 / self.rate_hz)

    def close(self) -> None:  # noqa: B027
        """Let go of the file."""

    def __enter__(self) -> "Clip":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def read(self, number: int) -> Picture | None:
        """Return the picture of frame ``number``, which the walk is at; None: it is damaged."""

    def place(self, number: int) -> str:
        """Return what frame ``number`` is called in an error."""
        return f"{self.path}: frame {number}"

    def decode(self, number: int) -> Picture:
        """Return the picture of frame ``number``, which the walk is at.

        Raises:
            RecordingError: it is damaged, or of another size than those before.
        """
        picture = self.read(number)
        if picture is None:
            raise RecordingError(f"{self.place(number)} is damaged")
        if picture.shape[:2] != self.size:
            height, width = self.size
            raise RecordingError(
                f"{self.place(number)} is {picture.shape[1]}×{picture.shape[0]}, those before it"
                f" are {width}×{height}"
            )
        return picture


class VideoFile(Clip):
    """A video in any container and codec that OpenCV's FFmpeg reads.

    Args:
        path: the file.
        rate_hz: frames a second, against what the file says.

    Raises:
        RecordingError: it cannot be read as a video, or nothing says its rate.
    """

    def __init__(self, path: Path, rate_hz: float | None = None) -> None:
        self.path = path
        self._cv2 = import_opencv("video")
        try:
            with path.open("rb") as file:
                empty = not file.read(1)
        except OSError as error:
            raise RecordingError(
                f"{path}: cannot be read: {error.strerror}; check the path"
            ) from None
        if empty:
            raise RecordingError(f"{path}: is empty; copy it again")
        # Other backends take a file such as clip_001 for one of many pictures.
        self._capture = self._cv2.VideoCapture(str(path), self._cv2.CAP_FFMPEG)
        height, width = (
            int(self._get(name)) for name in ("CAP_PROP_FRAME_HEIGHT", "CAP_PROP_FRAME_WIDTH")
        )
        if not self._capture.isOpened() or height < 1 or width < 1:
            raise RecordingError(
                f"{path}: is no whole video of a known kind, or its codec is not known; copy it"
                " again, or convert it to MP4 or AVI"
            )
        self.size = (height, width)
        self._own_times = rate_hz is None
        said = self._get("CAP_PROP_FPS")
        self.rate_hz = _rate_hz(path, rate_hz or (said if 0 < said <= _FASTEST_HZ else None))
        self.announced = max(0, int(self._get("CAP_PROP_FRAME_COUNT")))

    def walk(self) -> Iterator[Shot]:
        """Yield the frames that can be reached; behind damage, or a cut, nothing can."""
        last_us: int | None = None
        number = 0
        while self._capture.grab():
            t_us = self._time_us(number)
            if last_us is not None and t_us <= last_us:
                raise RecordingError(
                    f"{self.path}: frame {number} is of {t_us} µs, not later than the one before"
                    " it; set rate_hz"
                )
            yield Shot(t_us, partial(self.decode, number))
            last_us, number = t_us, number + 1
        self.missing = max(0, self.announced - number)

    def read(self, number: int) -> Picture | None:
        """Decode the frame that the walk is at."""
        picture: Picture | None = self._capture.retrieve()[1]
        return picture

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()

    def _time_us(self, number: int) -> int:
        if self._own_times:
            return round(self._get("CAP_PROP_POS_MSEC") * 1000)
        return round(number * 1e6 / self.rate_hz)

    def _get(self, name: str) -> float:
        value: float = self._capture.get(getattr(self._cv2, name))
        return value if math.isfinite(value) else 0.0


class PictureFolder(Clip):
    """A folder of pictures, a frame each: 2.jpg comes before 10.jpg. Other files are no frames.

    Args:
        path: the folder.
        rate_hz: frames a second; the pictures themselves have no times.

    Raises:
        RecordingError: the folder or its first picture cannot be read, or there is no rate.
    """

    def __init__(self, path: Path, rate_hz: float | None = None) -> None:
        self.path = path
        self.rate_hz = _rate_hz(path, rate_hz)
        self._files = pictures_in(path)
        self.announced = len(self._files)
        first = self.read(0)
        if first is None:
            raise RecordingError(f"{self.place(0)} is damaged; copy it again")
        self.size = first.shape[:2]

    def walk(self) -> Iterator[Shot]:
        """Yield the pictures; they are at the times that ``rate_hz`` gives them."""
        for number in range(self.announced):
            t_us = round(number * 1e6 / self.rate_hz)
            yield Shot(t_us, partial(self.decode, number))

    def place(self, number: int) -> str:
        """Return the name of a picture."""
        return f"{self._files[number]}: the picture"

    def read(self, number: int) -> Picture | None:
        """Read a picture.

        Raises:
            RecordingError: its file cannot be read.
        """
        return read_picture(self._files[number], "video")


def open_clip(path: Path, rate_hz: float | None = None) -> Clip:
    """Open a video file, or a folder of pictures.

    Raises:
        RecordingError: it cannot be read.
    """
    return PictureFolder(path, rate_hz) if path.is_dir() else VideoFile(path, rate_hz)


def _rate_hz(path: Path, rate_hz: float | None) -> float:
    """Return the rate, or refuse a clip of which nothing says it."""
    if rate_hz is None:
        raise RecordingError(
            f"{path}: says nothing of how many frames there are in a second; set rate_hz"
        )
    return rate_hz

"""Videos and folders of pictures for tests, whose frames say which they are by how bright they are.

Pictures are exact; videos are not, so that frames of one are told apart by steps of brightness.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

STEP = 8
"""Frame k of `write_video` has the brightness 20 + 8·k."""


def write_pictures(
    folder: Path, pictures: Sequence[NDArray[np.uint8]], ending: str = ".png"
) -> Path:
    """1.png, 2.png, ...: (height, width, 3) blue, green, red each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, start=1):
        assert cv2.imwrite(str(folder / f"{number}{ending}"), picture)
    return folder


def write_video(path: Path, frames: int = 12, rate_hz: float = 25, codec: str = "MJPG") -> Path:
    """A video of 32×24 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, rate_hz, (32, 24))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((24, 32, 3), 20 + STEP * number, np.uint8))
    writer.release()
    return path


def numbers(frames: NDArray[np.uint8]) -> list[int]:
    """Which frames of a video from `write_video` these are, (frames, channels, 24, 32)."""
    brightness = frames.reshape(len(frames), -1).mean(axis=1)
    return [round(float(value - 20) / STEP) for value in brightness]

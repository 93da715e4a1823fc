"""Videos and pictures on disk, by OpenCV."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["write_picture", "write_video"]


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], rate_hz: float) -> None:
    """Write a video as MPEG-4 part 2, which OpenCV's wheels encode and decode.

    Args:
        path: ends in ``.mp4``.
        frames: at least one, (height, width, 3) uint8 red, green, blue, all of one size.
        rate_hz: frames a second.

    Raises:
        OSError: it cannot be written.
    """
    import cv2

    writer = None
    for frame in frames:
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate_hz, size)
            if not writer.isOpened():
                raise OSError(None, "OpenCV cannot open the video for writing", str(path))
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    if writer is not None:
        writer.release()


def write_picture(path: Path, picture: NDArray[np.uint8], quality: int = 90) -> None:
    """Write a picture as what its suffix says.

    Args:
        path: ends in ``.jpg`` or ``.png``.
        picture: (height, width, 3) uint8 red, green, blue.
        quality: of a JPEG, 0 to 100.

    Raises:
        OSError: it cannot be written.
    """
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    done, content = cv2.imencode(path.suffix, np.ascontiguousarray(picture[:, :, ::-1]), options)
    if not done:
        raise OSError(None, "OpenCV cannot encode the picture", str(path))
    path.write_bytes(content.tobytes())

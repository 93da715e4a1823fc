"""Pictures as files: how their names end, and how they are read."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from stages.sources.opencv import import_opencv

__all__ = ["PICTURES", "read_picture"]

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""How the names of pictures end, in lower case."""


def read_picture(path: Path, what: str, grey: bool = False) -> NDArray[np.uint8] | None:
    """Read a picture as OpenCV does, turned as its EXIF data say.

    Args:
        path: the file; its name does not matter.
        what: the name of the stage that wants it.
        grey: whether it is to be grey.

    Returns:
        (height, width, 3) blue, green, red, or (height, width) grey; None: it is no whole picture.

    Raises:
        RecordingError: the file cannot be read.
        ConfigError: OpenCV is not installed.
    """
    cv2 = import_opencv(what)
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    if not len(content):
        return None
    try:
        picture: NDArray[np.uint8] | None = cv2.imdecode(
            content, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
        )
    except cv2.error:  # too large, say
        return None
    return picture

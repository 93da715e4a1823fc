"""The size of a picture, as its first bytes tell it: a check need not decode it, nor load OpenCV.

Of PNG (ISO/IEC 15948), JPEG (ITU-T T.81), BMP and the portable maps of Netpbm. A picture that its
EXIF data may have turned is left to whoever decodes it.
"""

import re
import struct
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import RecordingError

__all__ = ["size_in_header"]

_MAP = re.compile(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*(\d+)\s+(?:#[^\n]*\n\s*)*(\d+)\s")
_LONGEST_MAP_HEADER = 1024
_SEGMENTS = 256
"""More than any picture has in front of its size; those of a colour profile are the most."""


def size_in_header(path: Path) -> tuple[int, int] | None:
    """Return (height, width) in pixels, or None where the header does not tell.

    Raises:
        RecordingError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = _size(file)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except struct.error:  # it ends within its header
        return None
    return size if size and min(size) > 0 else None


def _size(file: BinaryIO) -> tuple[int, int] | None:
    start = file.read(_LONGEST_MAP_HEADER)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(file)
    if start.startswith(b"\xff\xd8"):
        return _jpeg(file)
    if start.startswith(b"BM"):
        (length,) = struct.unpack_from("<I", start, 14)
        width, height = struct.unpack_from("<HH" if length == 12 else "<ii", start, 18)
        return abs(height), width  # a negative height: the first row comes first
    if found := _MAP.match(start):
        return int(found[2]), int(found[1])
    return None


def _png(file: BinaryIO) -> tuple[int, int] | None:
    size = None
    file.seek(8)
    for _ in range(_SEGMENTS):
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IHDR":
            width, height = struct.unpack(">II", file.read(8))
            size = height, width
            file.seek(-8, 1)
        elif kind == b"IDAT":
            return size
        elif kind == b"eXIf":
            return None
        file.seek(length + 4, 1)
    return None


def _jpeg(file: BinaryIO) -> tuple[int, int] | None:
    file.seek(2)
    for _ in range(_SEGMENTS):
        mark, kind, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF:
            return None
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # a frame, not a table
            _, height, width = struct.unpack(">BHH", file.read(5))
            return height, width
        content = file.read(6)
        if content == b"Exif\x00\x00":
            return None
        file.seek(length - 2 - len(content), 1)
    return None

"""The header of AEDAT 1 to 3 files: lines that begin with "#", before binary data."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["CommentLine", "comment_lines"]

_PIECE_BYTES = 1 << 16
"""How much is read at once, and the longest line; lines of real headers are below 2 kB."""


class CommentLine(NamedTuple):
    """A line of a header."""

    text: str
    """Without the "#" and the end of the line; what cannot be printed is replaced by "?"."""
    end: int
    """The byte behind it."""


def comment_lines(read_at: Callable[[int, int], bytes]) -> Iterator[CommentLine]:
    """Yield the lines at the beginning of a file, in memory that does not depend on their number.

    A line ends with a line feed, and a carriage return before it is left out. Data behind a header
    without a closing line may begin with the byte of "#" by chance, as one recording of a DAVIS240
    in 45 does. jAER takes it for a further line. We do not where it holds a zero byte before its
    line feed, as the address of every DAVIS event does and no line of a header.

    Args:
        read_at: returns up to a count of bytes (second argument) from an offset (first) on.

    Raises:
        ValueError: the header does not end; the text says how.
    """
    piece, begin, offset = b"", 0, 0
    while True:
        end = piece.find(b"\n", offset - begin)
        if end < 0:
            begin, piece = offset, read_at(offset, _PIECE_BYTES)
            end = piece.find(b"\n")
        line = piece[offset - begin : end if end >= 0 else len(piece)]
        if not line.startswith(b"#") or b"\0" in line:
            return
        if end < 0 and len(piece) < _PIECE_BYTES:
            raise ValueError(f"the file ends within it, after {begin + len(piece)} bytes")
        if end < 0:
            raise ValueError(f"a line of it is longer than {_PIECE_BYTES} bytes")
        offset = begin + end + 1
        text = re.sub(rb"[^\t -~]", b"?", line[1:].removesuffix(b"\r"))
        yield CommentLine(text.decode("ascii"), offset)

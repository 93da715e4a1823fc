"""The Numba kernel that encodes events as LZ4 frames.

Source: the LZ4 frame and block format descriptions of the LZ4 project; any decoder reads the
frames. Where to look for what came before is known for events: the upper bytes of a time are those
of the event before, and row and polarity are those of one among the last four thousand. So this
takes eight bytes at a time, tries one or two places, and makes a match of what it finds; the
project's own encoder searches at every byte. Frames of events are as small, in less than half the
time; frames of anything else are larger.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.aedat.lz4_kernel import HEADER_BYTES, LEAST_MATCH, SIZE_BYTES
from stages.formats.memory_kernel import copy16, load64, store64

__all__ = ["BLOCK_BYTES", "TABLE_SLOTS", "encode_frame", "largest_frame"]

BLOCK_BYTES = 1 << 18
"""Bytes of a block; more than a packet of events has."""
_ROW_BITS = 12
_ROWS = 1 << _ROW_BITS
_HALVES = 16
TABLE_SLOTS = _ROWS + _HALVES
"""Places to remember: of what has a row and a polarity, and of what has a half and a polarity."""
_WORD = 8
_EVENT = 16
_FARTHEST = 65_535
_TAIL = 16
"""The end of a block that stays as it is; by the format no match begins in the last 12 bytes."""
_FACTOR = 0x4F1B_BCDC_BFA5_3E0B
"""Odd and without pattern, so that the upper bits of a product depend on all bits of a word."""


def largest_frame(size: int) -> int:
    """Return the most bytes that `encode_frame` may need for a content of ``size``."""
    return size + size // 255 + 64 + (size // BLOCK_BYTES + 1) * SIZE_BYTES


@njit(cache=True, nogil=True)
def encode_frame(
    source: NDArray[np.uint8], header: int, table: NDArray[np.int32], target: NDArray[np.uint8]
) -> int:
    """Encode one frame.

    Args:
        source: (n,) the content.
        header: a frame header for independent blocks of `BLOCK_BYTES`, its seven bytes as a number.
        table: (`TABLE_SLOTS`,) to be used as it is; what it holds means nothing.
        target: at least `largest_frame` bytes.

    Returns:
        The size of the frame.
    """
    store64(target, 0, header)
    o = HEADER_BYTES
    for begin in range(0, len(source), BLOCK_BYTES):
        end = min(begin + BLOCK_BYTES, len(source))
        table[:] = begin - _FARTHEST - 1
        behind = _encode_block(source, begin, end, table, target, o + SIZE_BYTES)
        size = behind - o - SIZE_BYTES
        if size < end - begin:
            _put_size(target, o, size)
        else:
            size = end - begin
            _put_size(target, o, size | 1 << 31)
            target[o + SIZE_BYTES : o + SIZE_BYTES + size] = source[begin:end]
        o += SIZE_BYTES + size
    _put_size(target, o, 0)
    return o + SIZE_BYTES


@njit(cache=True, nogil=True)
def _put_size(target: NDArray[np.uint8], o: int, size: int) -> None:
    for k in range(SIZE_BYTES):
        target[o + k] = size >> 8 * k & 0xFF


@njit(cache=True, nogil=True)
def _encode_block(
    source: NDArray[np.uint8],
    begin: int,
    end: int,
    table: NDArray[np.int32],
    target: NDArray[np.uint8],
    o: int,
) -> int:
    """Encode ``source[begin:end]`` to ``o`` on, return where it ends.

    ``new`` of the eight bytes at ``i`` are literals, as are those from ``literals`` on before them;
    the others are a match, ``back`` bytes back.
    """
    literals = begin
    for i in range(begin, begin + (end - begin - _TAIL) // _WORD * _WORD, _WORD):
        word = load64(source, i)
        new, back = _WORD, 0
        if (i - begin) & _WORD:
            # The last event of this row and polarity, else of this polarity and upper half.
            slot = ((word >> 8) * _FACTOR) >> (64 - _ROW_BITS) & (_ROWS - 1)
            row = int(table[slot])
            table[slot] = i
            slot = _ROWS + ((word >> 24 ^ word >> 29) & (_HALVES - 1))
            half = int(table[slot])
            table[slot] = i
            if i - row <= _FARTHEST and (word ^ load64(source, row)) >> 8 == 0:
                new, back = int(word != load64(source, row)), i - row
            elif i - half <= _FARTHEST and (word ^ load64(source, half)) >> 24 == 0:
                new, back = 3, i - half
        elif i - begin >= _EVENT:
            # A time: all but the lowest bytes are those of the event before.
            change = word ^ load64(source, i - _EVENT)
            least = (
                int(change != 0)
                + int(change >> 8 != 0)
                + int(change >> 16 != 0)
                + int(change >> 24 != 0)
                + int(change >> 32 != 0)
            )
            if least <= _WORD - LEAST_MATCH:
                new, back = least, _EVENT
        if back:
            count = i + new - literals
            if count < 15:
                # What is written too much is written over.
                store64(target, o, count << 4 | _WORD - new - LEAST_MATCH)
                copy16(target, o + 1, source, literals)
                o += 1 + count
            else:
                o = _put_literals(source, literals, i + new, _WORD - new - LEAST_MATCH, target, o)
            store64(target, o, back)
            o += 2
            literals = i + _WORD
    return _put_literals(source, literals, end, 0, target, o)


@njit(cache=True, nogil=True)
def _put_literals(
    source: NDArray[np.uint8],
    begin: int,
    end: int,
    low: int,
    target: NDArray[np.uint8],
    o: int,
) -> int:
    """Write a token with ``low`` as its lower half, and literals."""
    count = end - begin
    target[o] = min(count, 15) << 4 | low
    o += 1
    if count >= 15:
        more = count - 15
        while more >= 255:
            target[o] = 255
            o += 1
            more -= 255
        target[o] = more
        o += 1
    target[o : o + count] = source[begin:end]
    return o + count

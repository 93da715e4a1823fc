"""The Numba kernel that decodes LZ4 frames of events.

Source: the LZ4 frame and block format descriptions of the LZ4 project, and for the one checksum the
XXH32 specification of the xxHash project. On events it is 1.4 times
as fast as the project's own decoder: their blocks are short literals and matches of up to eight
bytes, sixteen bytes back, and such a match is moved here by loads that lie within one earlier
store. A load that reaches into two has to wait until both have left the processor.

Bytes that a frame may not hold give -1 and never a read or write outside the arrays; why they may
not, `compression` says.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.memory_kernel import copy8, copy16, load8, load16, load32, load64, store64

__all__ = ["HEADER_BYTES", "LEAST_MATCH", "SIZE_BYTES", "decode_frame"]

HEADER_BYTES = 7
"""Bytes of a frame's header, one that does not tell its size."""
SIZE_BYTES = 4
LEAST_MATCH = 4
"""Bytes of the shortest match."""
_MAGIC = 0x184D_2204
_PRIMES = (0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D, 0x27D4_EB2F, 0x1656_67B1)
"""Of XXH32, by its specification."""
_32_BITS = 0xFFFF_FFFF
_READ_AHEAD = 32
_WRITE_AHEAD = 48
"""How far a short sequence may reach beyond where it begins, at most."""


@njit(cache=True, nogil=True)
def decode_frame(
    source: NDArray[np.uint8], begin: int, end: int, target: NDArray[np.uint8], to: int
) -> int:
    """Decode one frame without a dictionary, and without checksums of blocks and content.

    Args:
        source: (n,) the frame is within it.
        begin: its first byte.
        end: the byte behind it; what follows the frame's end mark is not looked at.
        target: (m,) of bytes.
        to: where in it the content begins.

    Returns:
        The byte behind the content; -1 where the frame is damaged, of another kind, or too long
        for ``target``.
    """
    if end - begin < HEADER_BYTES + SIZE_BYTES or load32(source, begin) != _MAGIC:
        return -1
    flags, block = load8(source, begin + 4), load8(source, begin + 5)
    if flags & 0xD7 != 0x40 or block & 0x8F or block < 0x40:
        return -1
    sized = flags >> 3 & 1
    i, o = begin + HEADER_BYTES + 8 * sized, to
    if i > end or load8(source, i - 1) != _check(source, begin + 4, i - 1):
        return -1
    linked, largest = not flags & 0x20, 1 << (8 + 2 * (block >> 4))
    while i + SIZE_BYTES <= end:
        size = load32(source, i)
        i += SIZE_BYTES
        if size == 0:
            return o if not sized or load64(source, begin + 6) == o - to else -1
        stored = size >> 31
        size &= 0x7FFF_FFFF
        if size > end - i:
            return -1
        room = min(largest, len(target) - o)
        if stored:
            if size > room:
                return -1
            target[o : o + size] = source[i : i + size]
            o += size
        else:
            o = _decode_block(source, i, i + size, target, to if linked else o, o, o + room)
            if o < 0:
                return -1
        i += size
    return -1


@njit(cache=True, nogil=True)
def _check(source: NDArray[np.uint8], begin: int, end: int) -> int:
    """Return the check byte of a frame descriptor: the second of the XXH32 of up to 15 bytes."""
    value, i = _PRIMES[4] + end - begin, begin
    while i + 4 <= end:
        value = (value + load32(source, i) * _PRIMES[2]) & _32_BITS
        value = ((value << 17 | value >> 15) & _32_BITS) * _PRIMES[3] & _32_BITS
        i += 4
    while i < end:
        value = (value + load8(source, i) * _PRIMES[4]) & _32_BITS
        value = ((value << 11 | value >> 21) & _32_BITS) * _PRIMES[0] & _32_BITS
        i += 1
    value = (value ^ value >> 15) * _PRIMES[1] & _32_BITS
    value = (value ^ value >> 13) * _PRIMES[2] & _32_BITS
    return (value ^ value >> 16) >> 8 & 0xFF


@njit(cache=True, nogil=True)
def _decode_block(
    source: NDArray[np.uint8],
    i: int,
    i_end: int,
    target: NDArray[np.uint8],
    lowest: int,
    o: int,
    o_end: int,
) -> int:
    """Decode a block to ``target[o:o_end]``, return where it ends; matches reach to ``lowest``."""
    i_fast, o_fast = i_end - _READ_AHEAD, o_end - _WRITE_AHEAD
    while i < i_end:
        token = load8(source, i)
        i += 1
        literals = token >> 4
        length = (token & 15) + LEAST_MATCH
        if literals <= 8 and i < i_fast and o < o_fast:
            copy8(target, o, source, i)
            i += literals
            o += literals
            back = load16(source, i)
            i += 2
            begin = o - back
            if begin < lowest:
                return -1
            if back >= 16:
                if length <= 8:
                    high = load32(target, begin + length - 4) << (8 * (length - 4))
                    store64(target, o, load32(target, begin) | high)
                    o += length
                    continue
                if length < 15 + LEAST_MATCH:
                    copy16(target, o, target, begin)
                    copy8(target, o + 16, target, begin + 16)
                    o += length
                    continue
            elif back == 0:
                return -1
        else:
            if literals == 15:
                more, i = _more(source, i, i_end)
                literals += more
            if literals > i_end - i or literals > o_end - o:
                return -1
            target[o : o + literals] = source[i : i + literals]
            i += literals
            o += literals
            if i == i_end:
                return o
            if i + 2 > i_end:
                return -1
            back = load16(source, i)
            i += 2
            begin = o - back
            if begin < lowest or back == 0:
                return -1
        if length == 15 + LEAST_MATCH:
            more, i = _more(source, i, i_end)
            length += more
        if length > o_end - o:
            return -1
        # What a match copies may be what it wrote itself, so that this goes in order.
        k = 0
        if back >= 16:
            while k + 16 <= length:
                copy16(target, o + k, target, begin + k)
                k += 16
        while k < length:
            target[o + k] = target[begin + k]
            k += 1
        o += length
    return -1


@njit(cache=True, nogil=True)
def _more(source: NDArray[np.uint8], i: int, i_end: int) -> tuple[int, int]:
    """Return how much the bytes at ``i`` add to a length of 15, and the place behind them."""
    length = 0
    while i < i_end:
        byte = load8(source, i)
        i += 1
        length += byte
        if byte != 255:
            break
    return length, i

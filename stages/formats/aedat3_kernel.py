"""The Numba kernels of AEDAT 3.1: packets and the polarity events in them.

Events are (n, 2) int64: time, and x | y << 16 | p << 32.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "COMPRESSED",
    "CUT",
    "DAMAGED",
    "EVENT_BYTES",
    "HEADER_BYTES",
    "KINDS",
    "MORE",
    "POLARITY",
    "decode",
    "encode",
]

# Why decoding stopped: bytes or room used up, a packet that the file ends within, a header that
# cannot be, a packet of events that is compressed.
MORE, CUT, DAMAGED, COMPRESSED = range(4)
# What is counted.
INVALID, SPECIAL, FRAME, IMU, OTHER, ELSEWHERE = range(6)
KINDS = 6

HEADER_BYTES = 28
EVENT_BYTES = 8
POLARITY = 1
_COMPRESSED_BIT = 0x8000


@njit(inline="always")
def _number(data, at):  # type: ignore[no-untyped-def]
    """Read a little-endian int32; the compiler makes one load of it."""
    bits = (
        np.uint32(data[at])
        | np.uint32(data[at + 1]) << np.uint32(8)
        | np.uint32(data[at + 2]) << np.uint32(16)
        | np.uint32(data[at + 3]) << np.uint32(24)
    )
    return np.int64(np.int32(bits))


@njit(inline="always")
def _what(kind):  # type: ignore[no-untyped-def]
    """Return what a packet's events that are left out are counted as."""
    if kind == POLARITY:
        return ELSEWHERE
    if kind == 0:
        return SPECIAL
    if kind == 2:
        return FRAME
    return IMU if kind in (3, 4) else OTHER


@njit(cache=True, nogil=True)
def decode(
    data: NDArray[np.uint8],
    rest: int,
    source: int,
    left: int,
    turns: int,
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int, int, int, int]:
    """Decode packets until the bytes or the room for events are used up.

    Args:
        data: bytes of the file.
        rest: how many bytes the file has from the first of them on.
        source: number of the source to read, -1 for any.
        left: events of the present packet that are still to come.
        turns: how often the packet's clock of 31 bits had wrapped.
        out: (n, 2) the events.
        counts: (KINDS,) what is left out is added here.

    Returns:
        How many bytes were used, which may be more than there are; ``left`` and ``turns`` behind
        them; how many events there are; why it stopped.
    """
    at = kept = 0
    while True:
        if left == 0:
            if at + HEADER_BYTES > data.shape[0]:
                return at, left, turns, kept, MORE
            first = _number(data, at)
            kind, sender = first & 0xFFFF, (first >> 16) & 0xFFFF
            size, time_at = _number(data, at + 4), _number(data, at + 8)
            capacity, number = _number(data, at + 16), _number(data, at + 20)
            valid = _number(data, at + 24)
            compressed = kind & _COMPRESSED_BIT != 0
            kind &= _COMPRESSED_BIT - 1
            wrong = size <= 0 or number < 0 or valid < 0 or valid > number or capacity < 0
            wrong |= not compressed and capacity < number
            wrong |= kind == POLARITY and (size != EVENT_BYTES or time_at != 4)
            if wrong:
                return at, left, turns, kept, DAMAGED
            length = capacity if compressed else size * number
            if at + HEADER_BYTES + length > rest:
                return at, left, turns, kept, CUT
            if kind != POLARITY or (source >= 0 and sender != source):
                counts[_what(kind)] += number
                at += HEADER_BYTES + length
                continue
            if compressed:
                return at, left, turns, kept, COMPRESSED
            left, turns = number, _number(data, at + 12)
            at += HEADER_BYTES
        count = min(left, (data.shape[0] - at) // EVENT_BYTES, out.shape[0] - kept)
        if count <= 0 and left:
            return at, left, turns, kept, MORE
        invalid = 0
        for i in range(count):
            bits = _number(data, at + EVENT_BYTES * i)
            out[kept, 0] = (turns << 31) + _number(data, at + EVENT_BYTES * i + 4)
            out[kept, 1] = (
                ((bits >> 17) & 0x7FFF) | ((bits >> 2) & 0x7FFF) << 16 | ((bits >> 1) & 1) << 32
            )
            # An invalid event is overwritten by the next.
            kept += bits & 1
            invalid += 1 - (bits & 1)
        counts[INVALID] += invalid
        left -= count
        at += EVENT_BYTES * count


@njit(cache=True, nogil=True)
def encode(events: NDArray[np.int64], out: NDArray[np.uint64]) -> None:
    """Encode events of one turn of the clock.

    Args:
        events: (n, 2).
        out: (n,) the events as they stand in the file, little endian.
    """
    for i in range(events.shape[0]):
        t, rest = events[i, 0], events[i, 1]
        bits = 1 | ((rest >> 32) & 1) << 1 | ((rest >> 16) & 0x7FFF) << 2 | (rest & 0x7FFF) << 17
        out[i] = bits | (t & 0x7FFFFFFF) << 32

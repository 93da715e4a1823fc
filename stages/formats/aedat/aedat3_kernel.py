"""The Numba kernels of AEDAT 3.1: packets and the polarity events in them.

Files are passed as uint32, little endian. An event is two of them there, and two int64 in memory:
time, and x | y << 16 | p << 32. Arrays are flat, as only loops over those are vectorised.
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
_HEADER_WORDS = 7
_COMPRESSED_BIT = 0x8000


@njit(cache=True, nogil=True)
def _unpack(packed: NDArray[np.uint32], turn_us: int, out: NDArray[np.int64]) -> bool:
    """Unpack events; return whether all are valid."""
    valid = np.uint32(1)
    for i in range(packed.shape[0] // 2):
        bits = packed[2 * i]
        valid &= bits
        x, y, p = np.int64(bits >> 17), np.int64(bits >> 2) & 0x7FFF, np.int64(bits >> 1) & 1
        out[2 * i] = turn_us + np.int64(np.int32(packed[2 * i + 1]))
        out[2 * i + 1] = x | y << 16 | p << 32
    return bool(valid == 1)


@njit(cache=True, nogil=True)
def _without_invalid(packed: NDArray[np.uint32], out: NDArray[np.int64]) -> int:
    """Move the valid ones of unpacked events to the beginning; return how many there are."""
    kept = 0
    for i in range(packed.shape[0] // 2):
        out[2 * kept], out[2 * kept + 1] = out[2 * i], out[2 * i + 1]
        kept += int(packed[2 * i] & 1)
    return kept


@njit(inline="always")
def _signed(word):  # type: ignore[no-untyped-def]
    return np.int64(np.int32(word))


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
    data: NDArray[np.uint32],
    rest: int,
    source: int,
    left: int,
    turns: int,
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int, int, int, int]:
    """Decode packets until the bytes or the room for events are used up.

    Args:
        data: a part of the file that begins with a packet, or with an event in one.
        rest: how many bytes the file has from there on.
        source: number of the source to read, -1 for any.
        left: events of the present packet that are still to come.
        turns: how often the packet's clock of 31 bits had wrapped.
        out: (2 n,) the events.
        counts: (KINDS,) what is left out is added here.

    Returns:
        How many bytes were used, which may be more than there are; ``left`` and ``turns`` behind
        them; how many events there are; why it stopped.
    """
    at = kept = 0
    while True:
        if left == 0:
            if at + _HEADER_WORDS > data.shape[0]:
                return 4 * at, left, turns, kept, MORE
            kind, sender = np.int64(data[at]) & 0xFFFF, np.int64(data[at]) >> 16
            size, time_at = _signed(data[at + 1]), _signed(data[at + 2])
            capacity, number = _signed(data[at + 4]), _signed(data[at + 5])
            valid = _signed(data[at + 6])
            compressed = kind & _COMPRESSED_BIT != 0
            kind &= _COMPRESSED_BIT - 1
            wrong = size <= 0 or valid < 0 or valid > number or capacity < 0
            wrong |= not compressed and capacity < number
            wrong |= kind == POLARITY and (size != EVENT_BYTES or time_at != 4)
            if wrong:
                return 4 * at, left, turns, kept, DAMAGED
            # A compressed packet gives its bytes where others give their capacity.
            length = HEADER_BYTES + (capacity if compressed else size * number)
            if 4 * at + length > rest:
                return 4 * at, left, turns, kept, CUT
            if kind != POLARITY or (source >= 0 and sender != source):
                counts[_what(kind)] += number
                if length % 4 or 4 * at + length > 4 * data.shape[0]:
                    return 4 * at + length, left, turns, kept, MORE
                at += length // 4
                continue
            if compressed:
                return 4 * at, left, turns, kept, COMPRESSED
            left, turns = number, _signed(data[at + 3])
            at += _HEADER_WORDS
        count = min(left, (data.shape[0] - at) // 2, out.shape[0] // 2 - kept)
        if count == 0 and left:
            return 4 * at, left, turns, kept, MORE
        packed = data[at : at + 2 * count]
        valid = count
        if not _unpack(packed, turns << 31, out[2 * kept :]):
            valid = _without_invalid(packed, out[2 * kept :])
            counts[INVALID] += count - valid
        kept += valid
        left -= count
        at += 2 * count


@njit(cache=True, nogil=True)
def encode(events: NDArray[np.int64], out: NDArray[np.uint32]) -> None:
    """Encode events of one turn of the clock.

    Args:
        events: (2 n,) the events.
        out: (2 n,) the events as they stand in the file.
    """
    for i in range(events.shape[0] // 2):
        t, rest = events[2 * i], events[2 * i + 1]
        x, y, p = rest & 0x7FFF, (rest >> 16) & 0x7FFF, (rest >> 32) & 1
        out[2 * i] = np.uint32(x << 17 | y << 2 | p << 1 | 1)
        out[2 * i + 1] = np.uint32(t & 0x7FFFFFFF)

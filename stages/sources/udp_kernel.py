"""The Numba kernel of `stages.sources.udp`: datagrams of SPIF's words to events."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["NO_TIME_YET", "decode"]

NO_TIME_YET = -(2**62)
"""The latest time before the first event with a time."""


@njit(cache=True, nogil=True)
def decode(
    words: NDArray[np.uint32],
    lengths: NDArray[np.int64],
    arrived_us: NDArray[np.int64],
    last_us: int,
    out: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Decode datagrams; each begins at a word of its own.

    Args:
        words: all datagrams, the last word of each filled up.
        lengths: (datagrams,) bytes of each.
        arrived_us: (datagrams,) when each arrived, the time of events that have none.
        last_us: time of the last event with a time, `NO_TIME_YET` for none; times of 32 bits are
            unrolled to what lies nearest to it.
        out: (words, 2) events as time, and x | y << 16 | p << 32.

    Returns:
        How many events there are, the time of the last that has one, and how many datagrams were
        malformed, of which no event is left.
    """
    last = np.int64(last_us)
    count, malformed, end = 0, 0, 0
    for datagram in range(lengths.shape[0]):
        i, end = end, end + (lengths[datagram] + 3) // 4
        whole = lengths[datagram] % 4 == 0
        first, latest = count, last
        while i < end and whole:
            word = np.int64(words[i])
            t = arrived_us[datagram]
            i += 1
            if word < 0x8000_0000:
                if i == end:
                    whole = False
                    break
                low = np.int64(words[i])
                i += 1
                if latest == NO_TIME_YET:
                    latest = low
                step = (low - latest) & 0xFFFF_FFFF
                latest += step - ((step & 0x8000_0000) << 1)
                t = latest
            out[count, 0] = t
            x, y = (word >> 16) & 0x7FFF, word & 0x7FFF
            out[count, 1] = x | y << 16 | ((word >> 15) & 1) << 32
            count += 1
        if whole:
            last = latest
        else:
            count = first
            malformed += 1
    return count, int(last), malformed

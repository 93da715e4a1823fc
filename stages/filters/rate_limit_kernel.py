"""The Numba kernel of `rate_limit`; events are words, as in `event_filter`.

Of an interval with more events than may pass, those with the smallest keys do: every event has a
key that looks random and depends only on the interval and on the event's number within it. The
candidates are kept in the order in which they came; when there are twice as many as may pass, the
half with the larger keys goes, and what comes later must have a key below what is left.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.events import TIME_LIMIT_US

__all__ = [
    "ABOVE",
    "BACK_US",
    "FIRST",
    "HELD",
    "IMPOSSIBLE",
    "KEY",
    "LATEST",
    "SEEN",
    "START",
    "close",
    "limit",
]

IMPOSSIBLE, ABOVE = range(2)
"""What the counts hold."""

START, SEEN, HELD, FIRST, KEY, LATEST = range(6)
"""What is known of the open interval: its start, the events seen in it, the candidates held, the
earliest time among the events seen, and the key that a further candidate must be below; and the
latest time of all events so far."""

BACK_US = 1_000_000
"""An event this far before the open interval is of a clock that was reset, and opens its own."""


@njit(cache=True, nogil=True)
def _mix(value: int) -> np.int64:
    """Return a number that looks random; no two values give the same.

    It is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014).
    """
    bits = np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(bits ^ (bits >> np.uint64(31)))


@njit(cache=True, nogil=True)
def _thin(
    allowed: int,
    interval: NDArray[np.int64],
    held: NDArray[np.int64],
    keys: NDArray[np.int64],
    refused: NDArray[np.int64],
) -> None:
    """Reduce the candidates to as many as may pass."""
    count = interval[HELD]
    if count <= allowed:
        return
    largest = np.partition(keys[:count], allowed - 1)[allowed - 1]
    kept = 0
    for i in range(count):
        stays = keys[i] <= largest
        held[kept] = held[i]
        keys[kept] = keys[i]
        kept += stays
    refused[ABOVE] += count - kept
    interval[HELD] = kept
    interval[KEY] = largest


@njit(cache=True, nogil=True)
def close(
    allowed: int,
    interval: NDArray[np.int64],
    held: NDArray[np.int64],
    keys: NDArray[np.int64],
    out: NDArray[np.int64],
    refused: NDArray[np.int64],
) -> int:
    """Close the open interval: put what passes into ``out`` and return how many events that is.

    See `limit` for the arguments.
    """
    _thin(allowed, interval, held, keys, refused)
    count: int = interval[HELD]
    out[:count] = held[:count]
    interval[SEEN] = 0
    interval[HELD] = 0
    return count


@njit(cache=True, nogil=True)
def limit(
    words: NDArray[np.int64],
    interval_us: int,
    allowed: int,
    interval: NDArray[np.int64],
    held: NDArray[np.int64],
    keys: NDArray[np.int64],
    out: NDArray[np.int64],
    refused: NDArray[np.int64],
) -> int:
    """Take events; put out those of the intervals that they close.

    Args:
        words: (n, 2) events.
        interval_us: length of an interval.
        allowed: events that may pass in each.
        interval: (6,) the open interval; updated.
        held: (2·allowed, 2) its candidates; updated.
        keys: (2·allowed,) their keys; updated.
        out: (n + candidates, 2) the events that pass.
        refused: (2,) counts, added to.

    Returns:
        How many pass.
    """
    passed, salt = 0, _mix(interval[START])
    for i in range(words.shape[0]):
        t = words[i, 0]
        if t <= -TIME_LIMIT_US or t >= TIME_LIMIT_US:
            refused[IMPOSSIBLE] += 1
            continue
        ahead_us = t - interval[START]
        if interval[SEEN] == 0 or ahead_us >= interval_us or ahead_us <= -BACK_US:
            if interval[SEEN]:
                passed += close(allowed, interval, held, keys, out[passed:], refused)
            interval[START] = t - t % interval_us
            interval[FIRST] = t
            interval[KEY] = np.iinfo(np.int64).max
            salt = _mix(interval[START])
        key = _mix(interval[SEEN] ^ salt)
        interval[SEEN] += 1
        interval[FIRST] = min(interval[FIRST], t)
        interval[LATEST] = max(interval[LATEST], t)
        if key >= interval[KEY]:
            refused[ABOVE] += 1
            continue
        count = interval[HELD]
        held[count] = words[i]
        keys[count] = key
        interval[HELD] = count + 1
        if count + 1 == keys.shape[0]:
            _thin(allowed, interval, held, keys, refused)
    return passed

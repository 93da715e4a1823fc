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
    allowed: int, count: int, held: NDArray[np.int64], keys: NDArray[np.int64]
) -> tuple[int, int]:
    """Reduce ``count`` candidates to ``allowed``; return how many are left and the largest key."""
    largest = np.partition(keys[:count], allowed - 1)[allowed - 1]
    kept = 0
    for i in range(count):
        stays = keys[i] <= largest
        held[kept, 0] = held[i, 0]
        held[kept, 1] = held[i, 1]
        keys[kept] = keys[i]
        kept += stays
    return kept, largest


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
    count: int = interval[HELD]
    if count > allowed:
        refused[ABOVE] += count - allowed
        count, _ = _thin(allowed, count, held, keys)
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
    start, seen, count, first, below, latest = interval
    passed, salt = 0, _mix(start)
    for i in range(words.shape[0]):
        t = words[i, 0]
        if t <= -TIME_LIMIT_US or t >= TIME_LIMIT_US:
            refused[IMPOSSIBLE] += 1
            continue
        ahead_us = t - start
        if seen == 0 or ahead_us >= interval_us or ahead_us <= -BACK_US:
            interval[HELD] = count
            passed += close(allowed, interval, held, keys, out[passed:], refused)
            start, seen, count, first = t - t % interval_us, 0, 0, t
            below, salt = np.iinfo(np.int64).max, _mix(start)
        key = _mix(seen ^ salt)
        seen += 1
        first, latest = min(first, t), max(latest, t)
        if key >= below:
            refused[ABOVE] += 1
            continue
        held[count, 0] = t
        held[count, 1] = words[i, 1]
        keys[count] = key
        count += 1
        if count == keys.shape[0]:
            refused[ABOVE] += count - allowed
            count, below = _thin(allowed, count, held, keys)
    interval[:] = (start, seen, count, first, below, latest)
    return passed

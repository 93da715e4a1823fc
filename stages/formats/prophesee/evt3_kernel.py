"""The Numba kernels of EVT3: words of 16 bits to events, and back.

`decode` takes any stretch of a stream of words, so it also serves containers that hold EVT3 in
pieces, such as the packets of ``event_camera_msgs``::

    state, counts = start_state(), new_counts()
    while len(words):  # uint16, little endian, contiguous
        out = np.empty((65_536, 2), np.int64)  # at least `ROOM` rows
        used, made = decode(words, state, out, counts)
        events = out[:made].view(EVENT).reshape(-1)
        words = words[used:]

How the stream is cut never changes the events. Times are unrolled to int64. Source: Prophesee's
description of the EVT 3.0 format. Read literally, TIME_LOW replaces the low 12 bits and nothing
else, also where it drops: real cameras send a smaller one behind a larger now and then.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.memory_kernel import load8, load16, load64, store16, store64
from stages.formats.notes import OTHER_WORDS, TRIGGER_WORDS

__all__ = ["ROOM", "SKIPPED", "decode", "encode", "new_counts", "start_state"]

ROOM = 12
"""The most events that one word holds."""
SKIPPED = (TRIGGER_WORDS, OTHER_WORDS)
"""What `decode` counts behind unknown words and an example of them; OTHERS and CONTINUED words
are ``other words``."""

_NO_HIGH = -(1 << 50) - 1
# Before the first TIME_HIGH every time is impossible, before the first ADDR_Y and VECT_BASE_X
# every place is outside the sensor: inspection refuses and counts such events.
_NO_ROW = 0xFFFF << 16
_NO_BASE = -64
_ROW_AND_POLARITY = 0xFF_FFFF_0000
"""Of the second half of an event, whose upper bytes are padding."""
_FIRST = np.array([0] + [(v & -v).bit_length() - 1 for v in range(1, 1 << 12)], np.uint8)
"""The lowest bit that is set, for each vector of 12."""


def start_state(offset_us: int = 0) -> NDArray[np.int64]:
    """Return the state before the first word.

    It is TIME_HIGH with all wraps, time, row, base of vectors, their polarity, and the TIME_HIGH
    at which counting starts.

    Args:
        offset_us: what is added to all times; a multiple of 2²⁴ µs.
    """
    return np.array([_NO_HIGH, _NO_HIGH << 12, _NO_ROW, _NO_BASE, 0, offset_us >> 12], np.int64)


def new_counts() -> NDArray[np.int64]:
    """Return counts of nothing: unknown words, one of them, and each of `SKIPPED`."""
    return np.zeros(2 + len(SKIPPED), np.int64)


@njit(cache=True, nogil=True)
def decode(
    words: NDArray[np.uint16],
    state: NDArray[np.int64],
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int]:
    """Decode words until they or the room for events end.

    Args:
        words: (n,) uint16, contiguous: places are not checked.
        state: (6,) int64, changed in place; see `start_state`.
        out: (m, 2) int64, contiguous: events as they are in memory; m is at least `ROOM`.
        counts: what is skipped is added here; see `new_counts`.

    Returns:
        How many words were used, and how many events were made.
    """
    high, t, row = int(state[0]), int(state[1]), int(state[2])
    base, polarity, start = int(state[3]), int(state[4]), int(state[5])
    full = out.shape[0] - ROOM
    made, i = 0, 0
    while i < words.shape[0] and made <= full:
        word = load16(words, i)
        kind = word >> 12
        i += 1
        if kind <= 2:
            # Nearly all words; nothing could predict which are ADDR_Y and which are ADDR_X, an
            # event, so there is no branch between them and none for room.
            stop = min(words.shape[0], i + full - made)
            while True:
                store64(out, 2 * made, t)
                store64(out, 2 * made + 1, word & 0x7FF | row | (word & 0x800) << 21)
                made += kind >> 1
                row = (word & 0x7FF) << 16 if kind == 0 else row
                if kind == 1:
                    counts[0] += 1
                    counts[1] = word
                if i >= stop:
                    break
                word = load16(words, i)
                kind = word >> 12
                if kind > 2:
                    break
                i += 1
        elif kind == 3:  # VECT_BASE_X
            base = word & 0x7FF
            polarity = (word & 0x800) << 21
        elif kind <= 5:  # VECT_12, VECT_8
            vector = word & (0xFFF if kind == 4 else 0xFF)
            # Most hold one or two; two rows are written whatever there is.
            for _ in range(2):
                store64(out, 2 * made, t)
                place = (base + load8(_FIRST, vector)) & 0xFFFF | row | polarity
                store64(out, 2 * made + 1, place)
                made += vector != 0
                vector &= vector - 1
            while vector:
                store64(out, 2 * made, t)
                place = (base + load8(_FIRST, vector)) & 0xFFFF | row | polarity
                store64(out, 2 * made + 1, place)
                made += 1
                vector &= vector - 1
            base += 12 if kind == 4 else 8
            if base < 0 or base > 0x7FF:
                base = _NO_BASE
        elif kind == 6:  # TIME_LOW
            t = high << 12 | word & 0xFFF
        elif kind == 8:  # TIME_HIGH
            step = (word & 0xFFF) - (high & 0xFFF)
            if high == _NO_HIGH:
                high, step = start + (word & 0xFFF), 1
            elif step <= -0x800:
                high += step + 0x1000
            else:
                high += step
            # It is repeated; only a new one starts the low bits again.
            t = high << 12 if step else t
        elif kind == 10:  # EXT_TRIGGER
            counts[2] += 1
        elif kind == 14 or kind == 15 or kind == 7:  # OTHERS, CONTINUED
            counts[3] += 1
        else:
            counts[0] += 1
            counts[1] = word
    state[0], state[1], state[2], state[3], state[4] = high, t, row, base, polarity
    return i, made


@njit(cache=True, nogil=True)
def encode(
    events: NDArray[np.int64], state: NDArray[np.int64], out: NDArray[np.uint16]
) -> tuple[int, int]:
    """Encode events until they or the room end; see `stages.formats.words_writer.Encode`.

    Events of one time, row and polarity whose x rises become vectors where that saves words. Only
    the very next word goes on from a vector's base: readers differ in what else changes it. The
    state is the latest TIME_HIGH, counted on, the latest time, row, base of vectors and their
    polarity (none of them at first), and the time at which counting starts.
    """
    high, last, row = int(state[0]), int(state[1]), int(state[2])
    base, base_p, start = int(state[3]), int(state[4]), int(state[5])
    full = out.shape[0] - 6
    made, i = 0, 0
    while i < events.shape[0] and made <= full:
        t, rest = load64(events, 2 * i), load64(events, 2 * i + 1)
        now = t - start
        if now != last:
            step = (now >> 12) - high
            if step:
                # A step of half the range would be taken for one back.
                high += min(step, 0x7FF)
                store16(out, made, 8 << 12 | high & 0xFFF)
                made += 1
                if step > 0x7FF:
                    continue
            store16(out, made, 6 << 12 | now & 0xFFF)
            made += 1
            last, base = now, _NO_BASE
        x, y, p = rest & 0x7FF, rest >> 16 & 0x7FF, rest >> 32 & 1
        store16(out, made, y)
        made += y != row
        base = base if y == row else _NO_BASE
        row = y
        going_on = (p == base_p) & (base <= x) & (x < base + 12)
        first_x = base if going_on else x
        # One word less than without a vector, which has a base unless it goes on from another.
        other = i + (1 if going_on else 2)
        pays = False
        if other < events.shape[0]:
            other_x = load64(events, 2 * other + 1) & 0x7FF
            same = load64(events, 2 * other) == t
            same &= (load64(events, 2 * other + 1) ^ rest) & _ROW_AND_POLARITY == 0
            between_x = load64(events, 2 * i + 3) & 0x7FF
            rising = (x < between_x) & (between_x <= other_x) & (other_x < first_x + 12)
            pays = same & rising
        if not pays:
            store16(out, made, 2 << 12 | p << 11 | x)
            made += 1
            base = _NO_BASE
            i += 1
            continue
        vector, next_x = 0, x
        while next_x >= x and next_x < first_x + 12:
            vector |= 1 << (next_x - first_x)
            x = next_x + 1
            i += 1
            if i == events.shape[0] or load64(events, 2 * i) != t:
                break
            if (load64(events, 2 * i + 1) ^ rest) & _ROW_AND_POLARITY:
                break
            next_x = load64(events, 2 * i + 1) & 0x7FF
        if not going_on:
            store16(out, made, 3 << 12 | p << 11 | first_x)
            made += 1
        store16(out, made, 4 << 12 | vector)
        made += 1
        base, base_p = first_x + 12, p
        base = base if base <= 0x7FF else _NO_BASE
    state[0], state[1], state[2], state[3], state[4] = high, last, row, base, base_p
    return i, made

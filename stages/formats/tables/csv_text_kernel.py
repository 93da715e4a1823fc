"""The Numba kernels of `csv_text`: lines of numbers to events, and back.

Events are (n, 2) int64 words as they are in memory: time, and x | y << 16 | p << 32.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.events import TIME_LIMIT_US
from stages.formats.memory_kernel import load8

__all__ = ["LONGEST_ROW", "format_rows", "parse_rows"]

LONGEST_ROW = 48
"""The most bytes of a row that `format_rows` writes."""

_TIME, _X, _Y, _P = 0, 1, 2, 3
_LF, _CR, _TAB, _SPACE = 10, 13, 9, 32
_COMMA, _SEMICOLON, _HASH, _PERCENT = 44, 59, 35, 37
_PLUS, _MINUS, _POINT, _ZERO, _E = 43, 45, 46, 48, 101
_PLAIN_DIGITS = 18
_ROOM = 9 * 10**17
"""One digit more of such a number still is an int64, and beyond the limit of times."""
_IMPOSSIBLE = TIME_LIMIT_US
_TENS = np.array([10**k for k in range(19)], np.int64)


@njit(cache=True, nogil=True)
def _rounded(digits: int, exponent: int) -> int:
    """Digits × 10^exponent as a whole number, half to even; `_IMPOSSIBLE` beyond all limits."""
    if exponent >= 0:
        if digits == 0:
            return 0
        if exponent > 18 or digits > _IMPOSSIBLE // _TENS[exponent]:
            return _IMPOSSIBLE
        return int(digits * _TENS[exponent])
    if exponent < -18:
        return 0
    unit = int(_TENS[-exponent])
    whole = digits // unit
    rest = digits - whole * unit
    half = unit // 2
    if rest > half or (rest == half and whole & 1):
        whole += 1
    return whole


@njit(cache=True, nogil=True)
def _word(text: NDArray[np.uint8], i: int, end: int) -> tuple[int, int]:
    """``true`` and ``false`` in any case: 1 or 0, and where they end; -1 for anything else."""
    first = text[i] | 32
    length = 4 if first == 116 else 5
    if i + length > end:
        return -1, i
    letters = (116, 114, 117, 101, 0) if first == 116 else (102, 97, 108, 115, 101)
    for k in range(length):
        if text[i + k] | 32 != letters[k]:
            return -1, i
    return (1 if first == 116 else 0), i + length


@njit(cache=True, nogil=True)
def _skip_blanks(text: NDArray[np.uint8], i: int) -> int:
    while text[i] == _SPACE or text[i] == _TAB or text[i] == _CR:
        i += 1
    return i


@njit(cache=True, nogil=True)
def _skip_separator(text: NDArray[np.uint8], i: int) -> int:
    """Blanks, and at most one comma or semicolon among them."""
    if text[i] == _LF:
        return i
    i = _skip_blanks(text, i)
    if text[i] == _COMMA or text[i] == _SEMICOLON:
        i = _skip_blanks(text, i + 1)
    return i


@njit(cache=True, nogil=True)
def _plain(text: NDArray[np.uint8], i: int) -> tuple[int, int]:
    """Digits and nothing else, as nearly all numbers are, and where they end."""
    digits = 0
    digit = int(np.int64(text[i])) - _ZERO
    while 0 <= digit <= 9:
        digits = digits * 10 + digit
        i += 1
        digit = int(np.int64(text[i])) - _ZERO
    return digits, i


@njit(cache=True, nogil=True)
def _number(text: NDArray[np.uint8], i: int) -> tuple[bool, int, int, int]:
    """A number without its sign: whether there is one, digits and exponent, and where it ends."""
    digits, exponent, cut = 0, 0, 0
    point, seen = False, False
    while True:
        digit = int(np.int64(text[i])) - _ZERO
        if 0 <= digit <= 9:
            seen = True
            if digits < _ROOM:
                digits = digits * 10 + digit
                exponent -= point
            else:
                cut |= digit
                exponent += not point
        elif text[i] == _POINT and not point:
            point = True
        else:
            break
        i += 1
    if cut:
        # What was cut off is not taken for exactly a half.
        digits |= 1
    if seen and (text[i] | 32) == _E:
        i += 1
        below = text[i] == _MINUS
        if below or text[i] == _PLUS:
            i += 1
        power, seen = 0, False
        while _ZERO <= text[i] <= _ZERO + 9:
            power = min(power * 10 + int(np.int64(text[i])) - _ZERO, 1000)
            seen = True
            i += 1
        exponent += -power if below else power
    return seen, digits, exponent, i


@njit(cache=True, nogil=True)
def _whole(digits: int, exponent: int) -> int:
    """Digits × 10^exponent, `_IMPOSSIBLE` where that is no whole number."""
    if exponent >= 0 or digits == 0:
        return _rounded(digits, exponent)
    number = _rounded(digits, exponent)
    fits = exponent >= -18 and number * _TENS[-exponent] == digits
    return number if fits else _IMPOSSIBLE


@njit(cache=True, nogil=True)
def _plain_row(text: NDArray[np.uint8], i: int, time: int, values: NDArray[np.int64]) -> int:
    """Parse a row of digits with one separator between them, as most are.

    Args:
        text: the lines.
        i: where the row begins.
        time: the column that may have a point.
        values: (columns + 1,) the numbers, without the point, and how many digits are behind it.

    Returns:
        Where its line feed is; -1 where it is not such a row.
    """
    last = values.shape[0] - 2
    values[last + 1] = 0
    for column in range(last + 1):
        begin = i
        # A digit but for the bits of "0"; whatever is none is larger than 9.
        digit = load8(text, i) ^ _ZERO
        number = 0
        while digit <= 9:
            number = number * 10 + digit
            i += 1
            digit = load8(text, i) ^ _ZERO
        if load8(text, i) == _POINT and column == time and i > begin:
            i += 1
            point = i
            digit = load8(text, i) ^ _ZERO
            while digit <= 9:
                number = number * 10 + digit
                i += 1
                digit = load8(text, i) ^ _ZERO
            values[last + 1] = i - point
        values[column] = number
        end = load8(text, i)
        if i == begin or i - begin > _PLAIN_DIGITS:
            return -1
        if column == last:
            i += int(end == _CR)
            return i if load8(text, i) == _LF else -1
        if end != _COMMA and end != _SPACE and end != _TAB and end != _SEMICOLON:
            return -1
        i += 1
    return -1


@njit(cache=True, nogil=True)
def parse_rows(
    text: NDArray[np.uint8],
    roles: NDArray[np.int64],
    scale: int,
    stop: bool,
    out: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Parse whole lines until they or the room for events end.

    Empty lines and those that begin with # or % are passed over.

    Args:
        text: (n,) uint8; what is behind its last line feed is not looked at.
        roles: (columns,) what each column is: 0 time, 1 x, 2 y, 3 polarity, -1 nothing.
        scale: times are multiplied by 10^scale to be µs.
        stop: whether to stop behind the first line that means nothing.
        out: (m, 2) int64, the events.

    Returns:
        How many events were made, where the line behind them begins, how many lines mean nothing,
        and where the last of those begins.
    """
    columns, size = roles.shape[0], text.shape[0]
    # Whatever is read stops at a line feed, so only the last one needs to be looked for.
    while size and text[size - 1] != _LF:
        size -= 1
    made, odd, odd_at, start = 0, 0, -1, 0
    values = np.zeros(columns + 1, np.int64)
    where = np.zeros(4, np.int64)
    for column in range(columns):
        if roles[column] >= 0:
            where[roles[column]] = column
    while start < size and made < out.shape[0] and not (stop and odd):
        i = _plain_row(text, start, int(where[_TIME]), values)
        if i >= 0:
            x, y = int(values[where[_X]]), int(values[where[_Y]])
            p, t = int(values[where[_P]]), int(values[where[_TIME]])
            exponent = scale - int(values[columns])
            out[made, 0] = _rounded(t, exponent) if exponent else min(t, _IMPOSSIBLE)
            x, y = (x if x <= 32767 else 0xFFFF), (y if y <= 32767 else 0xFFFF)
            out[made, 1] = x | y << 16 | (p if p <= 1 else 2) << 32
            made += 1
            start = i + 1
            continue
        i = _skip_blanks(text, start)
        comment = text[i] == _LF or text[i] == _HASH or text[i] == _PERCENT
        t, x, y, p = 0, 0, 0, 0
        column, good = 0, not comment
        while good and text[i] != _LF:
            negative = text[i] == _MINUS
            i += int(negative or text[i] == _PLUS)
            exponent = 0
            digits, behind = _plain(text, i)
            end = text[behind]
            if behind == i or behind - i > _PLAIN_DIGITS or end == _POINT or (end | 32) == _E:
                good, digits, exponent, behind = _number(text, i)
                if not good and behind == i and not negative:
                    digits, behind = _word(text, i, size)
                    good, exponent = digits >= 0, 0
            i = _skip_separator(text, behind)
            good = good and column < columns and (i > behind or text[i] == _LF)
            if not good:
                break
            role = roles[column]
            column += 1
            if role == _TIME:
                t = _rounded(digits, exponent + scale) if exponent + scale else digits
                t = -t if negative else t
            elif role >= 0:
                number = _whole(digits, exponent) if exponent else digits
                number = -number if negative else number
                if role == _P:
                    # 1 is ON, 0 and -1 are OFF, others are unknown.
                    p = number if 0 <= number <= 1 else 2 * (number != -1)
                    continue
                if number < -32768 or number > 32767:
                    number = -1
                if role == _X:
                    x = number
                else:
                    y = number
        while text[i] != _LF:
            i += 1
        if good and column == columns:
            out[made, 0] = t
            out[made, 1] = x & 0xFFFF | (y & 0xFFFF) << 16 | p << 32
            made += 1
        elif not comment:
            odd += 1
            odd_at = start
        start = i + 1
    return made, start, odd, odd_at


@njit(cache=True, nogil=True)
def _put(number: int, out: NDArray[np.uint8], at: int) -> int:
    """Write a whole number; return where it ends."""
    if number < 0:
        out[at] = _MINUS
        at += 1
        number = -number
    count = 1
    while count < 19 and number >= _TENS[count]:
        count += 1
    for k in range(at + count - 1, at - 1, -1):
        next_number = number // 10
        out[k] = _ZERO + (number - next_number * 10)
        number = next_number
    return at + count


@njit(cache=True, nogil=True)
def format_rows(words: NDArray[np.int64], out: NDArray[np.uint8]) -> int:
    """Write events as lines ``t,x,y,p``; return how many bytes they take.

    Args:
        words: (n, 2) events, their coordinates not below zero.
        out: (n * LONGEST_ROW,) the text.
    """
    at = 0
    for i in range(words.shape[0]):
        rest = words[i, 1]
        at = _put(words[i, 0], out, at)
        out[at] = _COMMA
        at = _put(rest & 0xFFFF, out, at + 1)
        out[at] = _COMMA
        at = _put((rest >> 16) & 0xFFFF, out, at + 1)
        out[at] = _COMMA
        out[at + 1] = _ZERO + ((rest >> 32) & 0xFF)
        out[at + 2] = _LF
        at += 3
    return at

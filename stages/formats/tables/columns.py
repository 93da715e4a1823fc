"""Columns of any names, dtypes and time units, turned into events.

HDF5, NumPy, text and MATLAB files hold columns that everybody names and orders as they like. What
is known about them is here:

- Names: see `NAMES`; a name may end with its unit, as ``t_ns`` or ``time_ms``. Capitals do not
  matter.
- Time: whole numbers are µs and numbers with fractions are seconds, unless the name says the unit.
  What is finer than a µs is rounded half to even.
- Polarity: 1 is ON, 0 and -1 are OFF.
- Without names the order is told by the content, see `order_of_columns`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.events import LARGEST_SIDE_PX, TIME_LIMIT_US, EventArray, empty_events

__all__ = [
    "NAMES",
    "PAIRS",
    "SAMPLE_ROWS",
    "UNITS_PER_S",
    "columns_of_names",
    "events_of_columns",
    "order_of_columns",
    "sensor_size",
    "time_unit",
    "times_us",
    "unit_of_name",
]

PAIRS = ("sensor_resolution", "sensor_size", "resolution", "geometry")
"""Names of values that are both sides of the sensor."""

NAMES: dict[str, tuple[str, ...]] = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "col", "column"),
    "y": ("y", "ys", "row"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
"""What each of the four columns may be called."""

UNITS_PER_S: dict[str, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Units of time."""

SAMPLE_ROWS = 4096
"""Rows from which an order without names is told."""

_UNIT = re.compile(r"(.*?)[\s_]*(?:_|\(|\[)(s|ms|us|µs|ns)[)\]]?")
_USUAL = ((0, 1, 2, 3), (2, 0, 1, 3), (3, 0, 1, 2))
"""Where t, x, y, p usually are: ``t x y p``, ``x y t p`` and ``x y p t``."""
_BACK_SHARE = 0.02
_INT16 = np.iinfo(np.int16)


def columns_of_names(names: Iterable[str]) -> dict[str, str] | None:
    """Return which name stands for each of t, x, y and p; None where one of them is missing."""
    found: dict[str, str] = {}
    for name in names:
        plain, _ = _split_unit(name)
        for column, known in NAMES.items():
            if plain in known:
                found.setdefault(column, name)
    return found if len(found) == len(NAMES) else None


def unit_of_name(name: str) -> str | None:
    """Return the unit of time that a name ends with, None if it ends with none."""
    return _split_unit(name)[1]


def _split_unit(name: str) -> tuple[str, str | None]:
    plain = name.strip().lower()
    if found := _UNIT.fullmatch(plain):
        return found[1], found[2].replace("µ", "u")
    return plain, None


def time_unit(name: str, dtype: np.dtype[Any], sample: Callable[[], NDArray[Any]]) -> str:
    """Return the unit of a column of times, from its name or else its content.

    Args:
        name: the column's; may be empty.
        dtype: of its numbers; only where they may have fractions, the sample is asked for.
        sample: returns (n,) its first times.
    """
    named = unit_of_name(name)
    if named is not None:
        return named
    return "s" if dtype.kind == "f" and _has_fractions(sample()) else "us"


def _has_fractions(values: NDArray[Any]) -> bool:
    if values.dtype.kind != "f":
        return False
    finite = values[np.isfinite(values)]
    return bool(np.any(finite != np.rint(finite)))


def order_of_columns(sample: NDArray[Any]) -> tuple[int, int, int, int]:
    """Tell by their content which of four columns are t, x, y and p.

    The polarity is a column of nothing but 0 and 1, or of -1 and 1. The time is the one with
    fractions; if none has, then of those that hardly ever go back (at most one step in fifty) the
    one with the largest range. x and y are the others, in their order. Where several columns could
    be the polarity it is the one in its usual place: ``t x y p``, ``x y t p`` or ``x y p t``.

    Args:
        sample: (n, 4) the first rows.

    Raises:
        ValueError: the rule does not tell.
    """
    columns = [np.asarray(sample[:, k], np.float64) for k in range(4)]
    time = _time_of(columns)
    polarities = [k for k in range(4) if k != time and _is_polarity(columns[k])]
    usual = [order for order in _USUAL if order[0] == time and order[3] in polarities]
    if len(polarities) > 1 and usual:
        return usual[0]
    if time is None or len(polarities) != 1:
        raise ValueError("the content does not tell which columns are t, x, y and p")
    x, y = (k for k in range(4) if k not in (time, polarities[0]))
    return time, x, y, polarities[0]


def _time_of(columns: Sequence[NDArray[np.float64]]) -> int | None:
    candidates = [k for k in range(4) if _has_fractions(columns[k])]
    if not candidates:
        ranges = [0.0] * 4
        for k, column in enumerate(columns):
            steps = np.diff(column)
            if np.count_nonzero(steps < 0) <= _BACK_SHARE * len(steps) and not _is_polarity(column):
                ranges[k] = float(np.ptp(column)) if len(column) else 0.0
        candidates = [k for k in range(4) if ranges[k] == max(ranges)]
    return candidates[0] if len(candidates) == 1 else None


def _is_polarity(column: NDArray[np.float64]) -> bool:
    values = set(np.unique(column).tolist())
    return values <= {0.0, 1.0} or values <= {-1.0, 1.0}


def events_of_columns(
    t: NDArray[Any], x: NDArray[Any], y: NDArray[Any], p: NDArray[Any], unit: str
) -> EventArray:
    """Gather four columns of numbers into events, unchecked values marked for inspection.

    Args:
        t: (n,) times in ``unit``.
        x: (n,) columns in pixels; what is no whole number of 16 bits becomes -1.
        y: (n,) rows in pixels, downward; likewise.
        p: (n,) polarities: 1 is ON, 0 and -1 are OFF, others become 2.
        unit: a key of `UNITS_PER_S`.
    """
    events = empty_events(len(t))
    events["t"] = times_us(t, unit)
    events["x"], events["y"] = _coordinates(x), _coordinates(y)
    events["p"] = _polarities(p)
    return events


def times_us(times: NDArray[Any], unit: str) -> NDArray[Any]:
    """Return times in µs; what is beyond all limits becomes `TIME_LIMIT_US` or more.

    Args:
        times: (n,) numbers of any dtype.
        unit: a key of `UNITS_PER_S`.
    """
    per_s = UNITS_PER_S[unit]
    if times.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.rint(times.astype(np.float64) * (10**6 / per_s))
            possible = np.abs(scaled) < TIME_LIMIT_US
        return np.where(possible, scaled, float(TIME_LIMIT_US)).astype(np.int64)
    if times.dtype == np.uint64:
        times = np.minimum(times, np.uint64(2**63 - 1))
    times = times.astype(np.int64, copy=False)
    if per_s == 10**6:
        return times
    if per_s > 10**6:
        divisor = per_s // 10**6
        whole, rest = np.divmod(times, divisor)
        rounded: NDArray[Any] = whole + (2 * rest + (whole & 1) > divisor)
        return rounded
    factor = 10**6 // per_s
    possible = np.abs(times) < TIME_LIMIT_US // factor
    limited: NDArray[Any] = np.where(possible, times, TIME_LIMIT_US // factor + 1) * factor
    return limited


def _coordinates(values: NDArray[Any]) -> NDArray[Any]:
    kind, item_bytes = values.dtype.kind, values.dtype.itemsize
    if kind == "b" or (kind in "iu" and item_bytes <= 2):
        # Of 65 535, int16 makes -1 by itself.
        return values
    fits = (values >= _INT16.min) & (values <= _INT16.max)
    if values.dtype.kind == "f":
        fits &= values == np.rint(values)
    return values if fits.all() else np.where(fits, values, -1)


def _polarities(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "b" or values.dtype == np.uint8:
        # Of 255, int8 makes -1, which inspection takes for unknown as it does 255.
        return values
    if values.dtype.kind == "f" or values.dtype.itemsize > 1:
        known = (values == 0) | (values == 1) | (values == -1)
        values = np.where(known, values, 2).astype(np.int8)
    return np.where(values == -1, 0, values)


def sensor_size(values: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (height, width) where named values tell it, None where they do not.

    Known are ``width`` and ``height``, also behind ``sensor_``, and pairs called
    ``sensor_resolution``, ``sensor_size``, ``resolution`` or ``geometry``, also as a text like
    ``640x480``. Of a pair the larger is the width: authors order them either way.
    """
    plain = {key.lower(): value for key, value in values.items()}
    for before in ("", "sensor_"):
        sides = [_whole(plain.get(before + side)) for side in ("height", "width")]
        if len(sides[0]) == 1 and len(sides[1]) == 1:
            return _possible(sides[0][0], sides[1][0])
    for name in PAIRS:
        if len(pair := _whole(plain.get(name))) == 2:
            return _possible(min(pair), max(pair))
    return None


def _whole(value: Any) -> list[int]:
    """All whole numbers in a value of any kind, if it holds hardly anything else."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return [int(digits) for digits in re.findall(r"\d{1,9}", value[:64])]
    array = np.asarray(value)
    if array.dtype.kind in "iuf" and 1 <= array.size <= 2:
        return [int(number) for number in array.ravel().tolist() if np.isfinite(number)]
    return []


def _possible(height: int, width: int) -> tuple[int, int] | None:
    return (height, width) if all(0 < side <= LARGEST_SIDE_PX for side in (height, width)) else None

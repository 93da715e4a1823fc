"""The header of NumPy's .npy files, and how such an array holds events.

Source: NumPy's NEP 1, "A simple file format for NumPy arrays", versions 1.0 to 3.0. We read the
header ourselves because NumPy's own functions for it differ by version and one is private.
"""

import ast
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.events import EVENT, EventArray
from stages.formats.tables.columns import (
    columns_of_names,
    events_of_columns,
    order_of_columns,
    time_unit,
)

__all__ = [
    "HEADER_BYTES",
    "NpyArray",
    "converter",
    "encode_npy_header",
    "npy_header_bytes",
    "read_npy_header",
]

HEADER_BYTES = 1 << 16
"""Headers are no longer than this; NumPy's are 128 bytes."""

_MAGIC = b"\x93NUMPY"
_LARGEST_RECORD = 1 << 12
_OWN_HEADER_BYTES = 192
_EVENT_FIELDS: dict[str, tuple[tuple[str, ...], int]] = {
    "t": (("<i8",), 0),
    "x": (("<i2", "<u2"), 8),
    "y": (("<i2", "<u2"), 10),
    "p": (("|i1", "|u1", "|b1"), 12),
}
_PADDING = np.int64(40)
_CONTENT = (1 << 40) - 1


@dataclass(frozen=True)
class NpyArray:
    """What a header says: ``begin`` is where in the file the array begins, behind the header."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    begin: int

    @property
    def wide(self) -> bool:
        """Whether it is of plain numbers, four for each event."""
        return self.dtype.names is None and len(self.shape) == 2 and 4 in self.shape

    @property
    def rows(self) -> int:
        """Events, one a record or one a line of four numbers; values in a column."""
        if not self.wide:
            return math.prod(self.shape)
        return self.shape[0] if self.shape[1] == 4 else self.shape[1]

    @property
    def row_bytes(self) -> int:
        """Bytes of such a row."""
        return self.dtype.itemsize * (4 if self.wide else 1)

    @property
    def by_column(self) -> bool:
        """Whether it has one column behind the other instead of one line behind the other."""
        return self.wide and self.fortran == (self.shape[1] == 4)

    def rows_of(self, part: bytes) -> NDArray[Any]:
        """Return whole rows from their bytes: records, lines of four numbers, or values."""
        found = np.frombuffer(part, self.dtype)
        return found.reshape(-1, 4) if self.wide else found


def npy_header_bytes(begin: bytes) -> int:
    """Return how long a header is, from its first 12 bytes; never more than `HEADER_BYTES`."""
    size = 2 if begin[6:7] == b"\x01" else 4
    return min(8 + size + int.from_bytes(begin[8 : 8 + size], "little"), HEADER_BYTES)


def read_npy_header(begin: bytes) -> NpyArray:
    """Read a header.

    Args:
        begin: the first `HEADER_BYTES` of the file.

    Raises:
        ValueError: it is damaged.
    """
    size = 2 if begin[6:7] == b"\x01" else 4
    length = npy_header_bytes(begin)
    text = begin[8 + size : length]
    if not begin.startswith(_MAGIC) or len(begin) < length:
        raise ValueError("it is cut, or no header of an array")
    try:
        with warnings.catch_warnings():
            # What damage makes of it may look like code, or like names that NumPy used to have.
            warnings.simplefilter("ignore")
            found = ast.literal_eval(text.decode("utf-8" if begin[6] >= 3 else "latin-1").strip())
            dtype = np.lib.format.descr_to_dtype(found["descr"])
        fortran = bool(found["fortran_order"])
        shape = tuple(int(side) for side in found["shape"])
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OverflowError,
        SyntaxError,
        RecursionError,
        MemoryError,
    ) as error:
        raise ValueError(f"it cannot be understood ({type(error).__name__})") from None
    if any(side < 0 for side in shape) or dtype.itemsize > _LARGEST_RECORD:
        raise ValueError(f"it claims the shape {shape} of {dtype.itemsize} bytes")
    return NpyArray(dtype, shape, fortran, length)


def encode_npy_header(dtype: np.dtype[Any], rows: int) -> bytes:
    """Return a header of always 192 bytes, so that the number of rows can be changed later."""
    descr = np.lib.format.dtype_to_descr(dtype)
    text = repr({"descr": descr, "fortran_order": False, "shape": (rows,)})
    room = _OWN_HEADER_BYTES - 10
    return _MAGIC + b"\x01\x00" + room.to_bytes(2, "little") + f"{text:{room - 1}}\n".encode()


def converter(
    array: NpyArray, sample: Callable[[], NDArray[Any]]
) -> Callable[[NDArray[Any]], EventArray]:
    """Return a function that turns rows of an array into events.

    Args:
        array: what the header says; of one dimension with named fields, or (n, 4) or (4, n).
        sample: returns the first rows: (k,) records, or (k, 4) numbers.

    Raises:
        ValueError: these are no events; the text says why and what to do.
    """
    dtype = array.dtype
    if dtype.hasobject:
        raise ValueError("holds Python objects, which are never loaded; save it as numbers")
    if dtype.names is None:
        return _of_numbers(array, sample)
    columns = columns_of_names(dtype.names)
    if columns is None:
        raise ValueError(
            f"has fields {', '.join(dtype.names)}; events need t, x, y and p under these or"
            " similar names"
        )
    if any(dtype[name].kind not in "iufb" or dtype[name].shape for name in columns.values()):
        raise ValueError(f"its fields are no plain numbers but {dtype}; save them as such")
    if _is_event(dtype, columns):
        signed = dtype[columns["p"]].kind == "i"
        return lambda rows: _viewed(rows, signed)
    time = columns["t"]
    unit = time_unit(time, dtype[time], lambda: sample()[time].ravel())

    def convert(rows: NDArray[Any]) -> EventArray:
        t, x, y, p = (rows[columns[column]] for column in "txyp")
        return events_of_columns(t, x, y, p, unit)

    return convert


def _of_numbers(
    array: NpyArray, sample: Callable[[], NDArray[Any]]
) -> Callable[[NDArray[Any]], EventArray]:
    if not array.wide or array.dtype.kind not in "iuf":
        sides = "×".join(map(str, array.shape)) or "single"
        raise ValueError(
            f"holds {sides} values of {array.dtype}; events need fields t, x, y and p, or n×4"
            " numbers"
        )
    first = sample()
    try:
        t, x, y, p = order_of_columns(first)
    except ValueError as error:
        raise ValueError(f"{error}; save it as an array with fields t, x, y and p") from None
    unit = time_unit("", array.dtype, lambda: first[:, t])
    return lambda rows: events_of_columns(rows[:, t], rows[:, x], rows[:, y], rows[:, p], unit)


def _is_event(dtype: np.dtype[Any], columns: dict[str, str]) -> bool:
    """Whether it is `EVENT` but for the names, as dv-processing's and expelliarmus' records are."""
    assert dtype.fields is not None
    fields = {column: dtype.fields[name] for column, name in columns.items()}
    return dtype.itemsize == EVENT.itemsize and all(
        fields[column][0].str in forms and fields[column][1] == offset
        for column, (forms, offset) in _EVENT_FIELDS.items()
    )


def _viewed(rows: NDArray[Any], signed: bool) -> EventArray:
    events: EventArray = rows.reshape(-1).view(EVENT)
    words = events.view(np.int64).reshape(-1, 2)
    below_zero = signed and bool((events["p"] < 0).any())
    if below_zero or (words[:, 1] >> _PADDING).any():
        words = words & np.array([-1, _CONTENT])
        events = words.view(EVENT).reshape(-1)
        if below_zero:
            events["p"][events["p"] == -1] = 0
    return events

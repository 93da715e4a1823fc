"""MATLAB's .mat files (version 5 to 7.2) that hold events, read with SciPy.

Understood are four vectors t (or ts), x, y and p, in a struct such as N-MNIST's ``TD`` or as
variables, n×4 numbers, and ST-MNIST's ``spiketrain``. Version 7.3 is HDF5 and is read as such.

MATLAB's numbers are doubles: times with fractions are seconds, whole ones µs. Polarities of 1 and 2
are those of Orchard's functions for MATLAB (Read_Ndataset): 2 is ON, and x and y begin at 1.

ST-MNIST is of a tactile sensor of 10×10 taxels and no camera, but its spikes are events on a grid,
of two polarities and with times, and networks are trained on them as such: row k of ``spiketrain``
is the taxel in column k mod 10 and row k div 10, the last row is the time in seconds.

SciPy cannot read such a file in parts, so it comes to memory whole; one that takes more than 1 GiB
there is refused.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from pipeline.events import EventArray
from stages.formats.columns import (
    SAMPLE_ROWS,
    columns_of_names,
    events_of_columns,
    order_of_columns,
    time_unit,
)
from stages.formats.reader import Decoded
from stages.formats.table import TableReader

__all__ = ["MatReader"]

_LARGEST = 1 << 30
_HEADER_BYTES = 128
_COMPRESSED = 15
_PIECE = 1 << 16
_TAXELS = 10
_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    EOFError,
    NotImplementedError,
    struct.error,
    zlib.error,
)
"""What SciPy raises for damage."""


class MatReader(TableReader):
    """An open MATLAB file; ``stream`` is the variable that holds the events."""

    format = "MAT"

    def _open(self, stream: str | None) -> None:
        import scipy.io

        self._check_bytes()
        whole = io.BytesIO(self._read_at(0, self.file_bytes))
        try:
            names = [name for name, _, _ in scipy.io.whosmat(whole)]
            wanted = names if stream is None else [stream]
            found = scipy.io.loadmat(whole, variable_names=wanted, squeeze_me=True)
        except _DAMAGE as error:
            raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())}") from None
        variables = {name: found[name] for name in wanted if name in found}
        events = self._events_of(variables)
        if events is None:
            raise RecordingError(
                f"{self.path}: holds no events{f' in {stream!r}' if stream else ''}: no vectors t,"
                f" x, y and p or of similar names; its variables: {', '.join(names) or 'none'}"
            )
        self._events = events
        self._rows = self.event_count = len(events)

    def _check_bytes(self) -> None:
        """Inflate all that is deflated, a piece at a time, to see how much it is."""
        total = self.file_bytes
        offset = _HEADER_BYTES
        while offset < self.file_bytes and total <= _LARGEST:
            kind, size = struct.unpack("<II", self._read_at(offset, 8).ljust(8, b"\0"))
            offset += 8
            if kind == _COMPRESSED:
                total += self._inflated_bytes(offset, min(size, self.file_bytes - offset))
            offset += size
        if total > _LARGEST:
            raise RecordingError(
                f"{self.path}: takes more than 1 GiB of memory; convert it to HDF5 with MATLAB's"
                " save -v7.3"
            )

    def _inflated_bytes(self, offset: int, size: int) -> int:
        inflate = zlib.decompressobj()
        total, part = 0, b""
        end = offset + size
        while total <= _LARGEST and not inflate.eof:
            part = inflate.unconsumed_tail or self._read_at(offset, min(_PIECE, end - offset))
            offset += 0 if inflate.unconsumed_tail else len(part)
            if not part:
                break
            try:
                total += len(inflate.decompress(part, _PIECE))
            except zlib.error as error:
                raise ValueError(error) from None
        return total

    def _events_of(self, variables: dict[str, Any]) -> EventArray | None:
        """Return the events of the first variables that hold some."""
        columns = columns_of_names(variables)
        if columns is not None:
            return self._gathered({key: variables[name] for key, name in columns.items()}, columns)
        for name, value in variables.items():
            array = np.asarray(value)
            if array.dtype.names is not None and array.shape == ():
                columns = columns_of_names(array.dtype.names)
                if columns is not None:
                    parts = {key: array[field].item() for key, field in columns.items()}
                    return self._gathered(parts, columns)
            if name == "spiketrain" and array.ndim == 2 and len(array) == _TAXELS**2 + 1:
                return self._tactile(array)
            if array.ndim == 2 and array.shape[1] == 4 and array.dtype.kind in "iuf":
                return self._ordered(array)
        return None

    def _gathered(self, parts: dict[str, Any], names: dict[str, str]) -> EventArray:
        t, x, y, p = (np.atleast_1d(np.asarray(parts[column])).ravel() for column in "txyp")
        lengths = [len(column) for column in (t, x, y, p)]
        if len(set(lengths)) > 1:
            raise RecordingError(
                f"{self.path}: its columns t, x, y, p have {lengths} values, must be as many in"
                " each"
            )
        if any(column.dtype.kind not in "iufb" for column in (t, x, y, p)):
            raise RecordingError(f"{self.path}: its columns t, x, y, p are no plain numbers")
        if len(p) and p.max() == 2 and p.min() >= 1:
            x, y, p = (column.astype(np.float64) - 1 for column in (x, y, p))
        unit = time_unit(names["t"], t.dtype, lambda: t[:SAMPLE_ROWS])
        return events_of_columns(t, x, y, p, unit)

    def _ordered(self, rows: NDArray[Any]) -> EventArray:
        try:
            order = order_of_columns(rows[:SAMPLE_ROWS])
        except ValueError as error:
            raise RecordingError(
                f"{self.path}: {error}; save them as variables t, x, y and p"
            ) from None
        t, x, y, p = (rows[:, column] for column in order)
        return events_of_columns(t, x, y, p, time_unit("", t.dtype, lambda: t[:SAMPLE_ROWS]))

    def _tactile(self, train: NDArray[Any]) -> EventArray:
        self.declared_size = (_TAXELS, _TAXELS)
        self.source = "ST-MNIST tactile sensor"
        spike, taxel = np.nonzero(train[:-1].T)
        values = train[taxel, spike]
        t = train[-1][spike]
        return events_of_columns(t, taxel % _TAXELS, taxel // _TAXELS, values, "s")

    def _decode_from(self, row: int) -> Iterator[Decoded]:
        for begin in range(row, self._rows, self.slice_rows):
            part = self._events[begin : begin + self.slice_rows]
            # A copy: inspection marks what it passes on as read-only.
            yield Decoded(part.copy(), (begin + len(part),))

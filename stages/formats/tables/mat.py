"""MATLAB's .mat files (version 5 to 7.2) that hold events.

Understood are four vectors t (or ts), x, y and p, in a struct such as N-MNIST's ``TD`` or as
variables, n×4 numbers, and ST-MNIST's ``spiketrain``. Version 7.3 is HDF5 and is read as such.

MATLAB's numbers are doubles: times with fractions are seconds, whole ones µs. Polarities of 1 and 2
are those of Orchard's functions for MATLAB (Read_Ndataset): 2 is ON, and x and y begin at 1.

ST-MNIST is of a tactile sensor of 10×10 taxels and no camera, but its spikes are events on a grid,
of two polarities and with times, and networks are trained on them as such: row k of ``spiketrain``
is the taxel in column k mod 10 and row k div 10, the last row is the time in seconds.

A file comes to memory whole; one that takes more than 1 GiB there is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from pipeline.events import EventArray
from stages.formats.reader import Decoded
from stages.formats.tables.columns import (
    SAMPLE_ROWS,
    columns_of_names,
    events_of_columns,
    order_of_columns,
    time_unit,
)
from stages.formats.tables.mat_elements import TooLarge, Value, read_variables
from stages.formats.tables.table import TableReader

__all__ = ["MatReader"]

_LARGEST = 1 << 30
_TAXELS = 10


class MatReader(TableReader):
    """An open MATLAB file; ``stream`` is the variable that holds the events."""

    format = "MAT"

    def _open(self, stream: str | None) -> None:
        try:
            variables = read_variables(self._read_at, self.file_bytes, _LARGEST)
        except TooLarge:
            raise RecordingError(
                f"{self.path}: takes more than {_LARGEST >> 20} MiB of memory; convert it to HDF5"
                " with MATLAB's save -v7.3"
            ) from None
        wanted = {name: one for name, one in variables.items() if stream in (None, name)}
        events = self._events_of(wanted)
        if events is None:
            raise RecordingError(
                f"{self.path}: holds no events{f' in {stream!r}' if stream else ''}: no vectors t,"
                f" x, y and p or of similar names; its variables: {', '.join(variables) or 'none'}"
            )
        self._events = events
        self._rows = self.event_count = len(events)

    def _events_of(self, variables: Mapping[str, Value]) -> EventArray | None:
        """Return the events of the first variables that hold some."""
        arrays = {name: one for name, one in variables.items() if isinstance(one, np.ndarray)}
        structs = [one for one in variables.values() if isinstance(one, dict)]
        for columns in (arrays, *structs):
            names = columns_of_names(columns)
            if names is not None:
                return self._gathered({key: columns[name] for key, name in names.items()}, names)
        for name, array in arrays.items():
            if name == "spiketrain" and array.ndim == 2 and len(array) == _TAXELS**2 + 1:
                return self._tactile(array)
            if array.ndim == 2 and array.shape[1] == 4:
                return self._ordered(array)
        return None

    def _gathered(self, parts: dict[str, NDArray[Any]], names: dict[str, str]) -> EventArray:
        t, x, y, p = (parts[column].ravel() for column in "txyp")
        lengths = [len(column) for column in (t, x, y, p)]
        if len(set(lengths)) > 1:
            raise RecordingError(
                f"{self.path}: its columns t, x, y, p have {lengths} values, must be as many in"
                " each"
            )
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

"""MATLAB's .mat files (version 5 to 7.2) that hold events.

Understood are four vectors t (or ts), x, y and p, in a struct such as N-MNIST's ``TD`` or as
variables, n×4 numbers, and ST-MNIST's ``spiketrain``. Version 7.3 is HDF5 and is read as such.

MATLAB's numbers are doubles: times with fractions are seconds, whole ones µs. Polarities of 1 and 2
are those of Orchard's functions for MATLAB (Read_Ndataset): 2 is ON, and x and y begin at 1.

ST-MNIST is of a tactile sensor of 10×10 taxels and no camera, but its spikes are events on a grid,
of two polarities and with times, and networks are trained on them as such: row k of ``spiketrain``
is the taxel in column k mod 10 and row k div 10, the last row is the time in seconds.

Numbers are read in slices from where they are in the file. What is compressed is inflated as a
stream, once for each column that is in it, and to resume means to inflate what is before. Of a file
that is cut or damaged in its columns the events before are given; as one column is behind the
other, there are some only if the cut is in the last one.
"""

from collections.abc import Callable, Iterator
from functools import partial
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
from stages.formats.tables.mat_elements import Value, read_variables
from stages.formats.tables.mat_numbers import Numbers, Stream
from stages.formats.tables.table import TableReader

__all__ = ["MatReader"]

_TAXELS = 10


class MatReader(TableReader):
    """An open MATLAB file; ``stream`` is the variable that holds the events."""

    format = "MAT"
    named_streams = True

    _parts: tuple[Numbers, ...]
    """The columns t, x, y and p, or the one matrix of tactile spikes."""
    _row_values: int = 1
    """Numbers of a row in each part."""
    _convert: Callable[..., EventArray]
    """Turns as many rows of each part into events."""

    def _open(self, stream: str | None) -> None:
        variables, end = read_variables(self._read_at, self.file_bytes)
        streams = self._streams(variables)
        name = next(iter(streams), "") if stream is None else stream
        if name in streams:
            self.other_streams = tuple(other for other in streams if other != name)
            streams[name]()
            return
        if end > self.file_bytes:
            raise ValueError(f"it is truncated at byte {self.file_bytes}, before its last column")
        raise RecordingError(
            f"{self.path}: holds no events{f' in {stream!r}' if stream else ''}: no vectors t, x, y"
            f" and p or of similar names; its variables: {', '.join(variables) or 'none'}; save"
            " them under these names"
        )

    def _streams(self, variables: dict[str, Value]) -> dict[str, Callable[[], None]]:
        """Return what holds events, by name, and what takes it for the one to read."""
        found: dict[str, Callable[[], None]] = {}
        numbers = {name: one for name, one in variables.items() if isinstance(one, Numbers)}
        structs = {name: one for name, one in variables.items() if isinstance(one, dict)}
        for name, fields in ((None, numbers), *structs.items()):
            vectors = {field: one for field, one in fields.items() if one.is_vector}
            names = columns_of_names(vectors)
            if names is not None:
                columns = {column: vectors[names[column]] for column in "txyp"}
                # Variables that are columns are together one stream.
                called = name or ", ".join(names[column] for column in "txyp")
                found[called] = partial(self._of_vectors, columns, names["t"])
        for name, matrix in numbers.items():
            if len(matrix.shape) != 2:
                continue
            if name == "spiketrain" and matrix.shape[0] == _TAXELS**2 + 1:
                found[name] = partial(self._of_spikes, matrix)
            elif matrix.shape[1] == 4:
                found[name] = partial(self._of_matrix, name, matrix)
        return found

    def _of_vectors(self, columns: dict[str, Numbers], time_name: str) -> None:
        self._parts = tuple(columns[column] for column in "txyp")
        lengths = [part.count for part in self._parts]
        if len(set(lengths)) > 1:
            raise RecordingError(
                f"{self.path}: its columns t, x, y, p have {lengths} values, must be as many in"
                " each"
            )
        t, p = columns["t"], columns["p"]
        self._rows = self.event_count = t.count
        unit = time_unit(time_name, t.dtype, lambda: t.first(SAMPLE_ROWS))
        self._convert = partial(_events, unit=unit, first=int(self._begins_at_one(p)))

    def _begins_at_one(self, p: Numbers) -> bool:
        """Whether polarities are 1 and 2; only all of them can tell."""
        stream, twos = p.stream(), False
        for begin in range(0, p.count, self.slice_rows):
            part = p.take(stream, min(self.slice_rows, p.count - begin))
            if not np.isin(part, (1, 2)).all():
                return False
            twos |= bool((part == 2).any())
        return twos

    def _of_matrix(self, name: str, matrix: Numbers) -> None:
        columns = [matrix.column(number) for number in range(4)]
        firsts = [column.first(SAMPLE_ROWS) for column in columns]
        count = min(len(first) for first in firsts)
        if count < min(matrix.shape[0], 1):
            raise ValueError(f"it is cut or damaged before the first whole row of {name}")
        sample = np.stack([first[:count] for first in firsts], axis=1)
        try:
            order = order_of_columns(sample)
        except ValueError as error:
            raise RecordingError(
                f"{self.path}: {error}; save them as variables t, x, y and p"
            ) from None
        self._parts = tuple(columns[column] for column in order)
        self._rows = self.event_count = matrix.shape[0]
        unit = time_unit("", matrix.dtype, lambda: sample[:, order[0]])
        self._convert = partial(_events, unit=unit, first=0)

    def _of_spikes(self, train: Numbers) -> None:
        self.declared_size = (_TAXELS, _TAXELS)
        self.source = "ST-MNIST tactile sensor"
        self._parts = (train,)
        self._row_values, self._rows = train.shape
        self._convert = _spikes

    def _decode_from(self, row: int) -> Iterator[Decoded]:
        each = self._row_values
        streams = [part.stream(row * each) for part in self._parts]
        while row < self._rows:
            wanted = min(max(self.slice_rows // each, 1), self._rows - row)
            found = [
                part.take(stream, wanted * each)
                for part, stream in zip(self._parts, streams, strict=True)
            ]
            count = min(len(numbers) for numbers in found) // each
            if count:
                row += count
                yield Decoded(self._convert(*(one[: count * each] for one in found)), (row,))
            if count < wanted:
                break
        else:
            # Of streams of one element the foremost sees to the checksum.
            for stream in {
                stream.element: stream for stream in sorted(streams, key=_place)
            }.values():
                stream.finish()
        broken = next((stream for stream in streams if stream.fault), None)
        if broken is not None:
            row_bytes = sum(part.dtype.itemsize for part in self._parts) * each
            lost_bytes = (self._rows - row) * row_bytes
            self._damaged(str(broken.fault), broken.element.offset, lost_bytes)


def _place(stream: Stream) -> int:
    return stream.at


def _events(
    t: NDArray[Any], x: NDArray[Any], y: NDArray[Any], p: NDArray[Any], unit: str, first: int
) -> EventArray:
    """Gather columns, of which x, y and p begin at ``first``."""
    if first:
        x, y, p = (column.astype(np.float64) - first for column in (x, y, p))
    return events_of_columns(t, x, y, p, unit)


def _spikes(numbers: NDArray[Any]) -> EventArray:
    """Gather rows of the values of all taxels and their time."""
    train = numbers.reshape(-1, _TAXELS**2 + 1)
    spike, taxel = np.nonzero(train[:, :-1])
    values = train[spike, taxel]
    return events_of_columns(train[spike, -1], taxel % _TAXELS, taxel // _TAXELS, values, "s")

"""HDF5 recordings, read with h5py; see `hdf5_layout` for what is understood.

Times of DSEC begin at ``t_offset``, which is added. Slices are whole chunks, which are decompressed
once. A slice cannot be larger than what the file stores for it, whatever shape is claimed. HDF5
opens no file that is cut, so that it gives no event; where columns have grown to different lengths
the whole rows are read.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from pipeline.events import TIME_LIMIT_US, EventArray
from stages.formats.reader import BEGINNING, Decoded, Position
from stages.formats.tables.columns import SAMPLE_ROWS, events_of_columns, time_unit, times_us
from stages.formats.tables.hdf5_layout import Layout, attributes, find_layouts, refusal_of, scalar
from stages.formats.tables.npy_header import NpyArray, converter
from stages.formats.tables.table import TableReader

if TYPE_CHECKING:
    import h5py

__all__ = ["CACHE_BYTES", "ORDERED", "Hdf5Reader"]

CACHE_BYTES = 1 << 20
"""For chunks of a column; whole ones are read and written, so that none need be kept."""

ORDERED = "ordered"
"""Attribute of files written here: times never go back, and every event is as it must be."""

_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError)
"""What h5py raises for damage."""
_LARGEST_CHUNK = 1 << 28
_INDICES = ("ms_to_idx", "ms_map_idx")


class Hdf5Reader(TableReader):
    """An open HDF5 recording; ``stream`` is the path of the group or table in the file."""

    format = "HDF5"
    named_streams = True
    _h5: "h5py.File | None" = None

    def _open(self, stream: str | None) -> None:
        try:
            self._h5 = self._opened()
            self._layout = layout = self._choose(find_layouts(self._h5), stream)
            self.declared_size = layout.size
            self.source = _text(attributes(self._h5).get("source"))
            for dataset in layout.datasets:
                if (refusal := refusal_of(dataset)) is not None:
                    raise RecordingError(f"{self.path}: {refusal}")
            self.event_count = max(_length(dataset) for dataset in layout.datasets)
            self._rows = min(_stored_rows(dataset) for dataset in layout.datasets)
            self._chunk = max(_chunk_rows(dataset) for dataset in layout.datasets)
            self._convert = self._converter()
            self._offset_us = self._time_offset()
            self._ordered = bool(self._h5.attrs.get(ORDERED, False))
        except _DAMAGE as error:
            raise ValueError(_line(error)) from None

    def close(self) -> None:
        """Close the file."""
        if self._h5 is not None:
            self._h5.close()
            self._h5 = None
        super().close()

    def _opened(self) -> "h5py.File":
        import h5py

        try:
            return h5py.File(self.path, "r", locking=False, rdcc_nbytes=CACHE_BYTES)
        except OSError as error:
            cut = re.search(r"truncated file: .*stored_eof = (\d+)", str(error))
            if cut is None:
                raise
            raise RecordingError(
                f"{self.path}: is truncated: it has {self.file_bytes} bytes of {cut[1]}, and HDF5"
                " opens no file that is cut; copy or record it again"
            ) from None

    def _choose(self, layouts: list[Layout], stream: str | None) -> Layout:
        known = ", ".join(layout.name for layout in layouts) or "none"
        if not layouts:
            raise RecordingError(
                f"{self.path}: holds no events: no group or table of t, x, y and p, or of similar"
                " names; save them as columns of these names in a group events"
            )
        for layout in layouts:
            if stream is None or layout.name.strip("/") == stream.strip("/"):
                self.other_streams = tuple(one.name for one in layouts if one is not layout)
                return layout
        raise RecordingError(f"{self.path}: has no stream {stream!r}; it has: {known}")

    def _converter(self) -> Callable[..., EventArray]:
        columns, first = self._layout.columns, self._layout.datasets[0]
        count = min(self._rows, SAMPLE_ROWS)
        if columns is not None:
            self._unit = time_unit(columns["t"], first.dtype, lambda: _rows_of(first, 0, count))
            return partial(events_of_columns, unit=self._unit)
        self._unit = "us"
        table = NpyArray(first.dtype, first.shape, fortran=False, begin=0)
        try:
            return converter(table, lambda: _rows_of(first, 0, count))
        except ValueError as error:
            raise RecordingError(f"{self.path}: its table {self._layout.name} {error}") from None

    def _time_offset(self) -> int:
        """DSEC's ``t_offset`` in µs, beside the group of events or in it."""
        for group in (self._layout.datasets[0].parent, self._h5):
            offset = scalar(group, "t_offset")
            if offset is not None:
                offset_us = int(times_us(np.atleast_1d(offset), self._unit)[0])
                if abs(offset_us) >= TIME_LIMIT_US:
                    raise ValueError(f"its t_offset is {offset}")
                return offset_us
        return 0

    def _decode_from(self, row: int) -> Iterator[Decoded]:
        step = self._chunk * max(1, self.slice_rows // self._chunk)
        while row < self._rows:
            end = min((row // step + 1) * step, self._rows)
            try:
                events = self._events(row, end)
            except _DAMAGE as error:
                if step > self._chunk:
                    # One chunk at a time, to lose no more than what is damaged.
                    step = self._chunk
                    continue
                self._damaged(f"is damaged ({_line(error)})", *self._stored_at(row))
            else:
                yield Decoded(events, (end,))
            row = end
        self._report_rest()

    def _report_rest(self) -> None:
        """Say what is in no whole row."""
        datasets = self._layout.datasets
        lengths = [_length(dataset) for dataset in datasets]
        if self._rows < min(lengths):
            self._damaged("is truncated", self.file_bytes, 0)
        elif self._rows < max(lengths):
            rest = sum(
                (length - self._rows) * dataset.dtype.itemsize
                for length, dataset in zip(lengths, datasets, strict=True)
            )
            how = f"ends within a row (its columns have {min(lengths)} to {max(lengths)} values)"
            self._damaged(how, self.file_bytes, rest)

    def _events(self, row: int, end: int) -> EventArray:
        parts = [_rows_of(dataset, row, end) for dataset in self._layout.datasets]
        events = self._convert(*parts)
        if self._offset_us:
            events["t"] += self._offset_us
        return events

    def _time_at(self, row: int) -> int:
        return int(self._events(row, row + 1)["t"][0])

    def _place_at(self, t_us: int) -> Position | None:
        # A gap that must not be, and a sensor that the file does not know, change what is kept.
        if self.policies.on_gap != "keep" or self.declared_size != self._layout.size:
            return None
        try:
            if self._ordered:
                row = bisect_left(range(self._rows), t_us, key=self._time_at)
            elif (indexed := self._indexed_row(t_us)) is not None:
                row = indexed
            else:
                return None
            return (self._time_at(row - 1), row) if row else BEGINNING
        except _DAMAGE:
            return None

    def _indexed_row(self, t_us: int) -> int | None:
        """Look into ``ms_to_idx`` (DSEC) or ``ms_map_idx`` (M3ED).

        It is the first row of every ms of the times in the file; it is not trusted blindly.
        """
        groups = (self._layout.datasets[0].parent, self._h5)
        found = [group.get(name) for group in groups for name in _INDICES if group is not None]
        index = next((one for one in found if one is not None), None)
        if index is None or index.ndim != 1 or not index.size or index.dtype.kind not in "iu":
            return None
        ms = min(max((t_us - self._offset_us) // 1000, 0), index.size - 1)
        row = int(index[ms])
        edge_us = ms * 1000 + self._offset_us
        told_rightly = (
            0 <= row < self._rows
            and self._time_at(row) >= edge_us
            and (not row or self._time_at(row - 1) < edge_us)
        )
        return row if told_rightly else None

    def _stored_at(self, row: int) -> tuple[int, int]:
        """Where in the file the chunk of a row is, and how long; (0, 0) where that is damaged."""
        first = self._layout.datasets[0]
        try:
            if first.chunks is None:
                return int(first.id.get_offset() or 0) + row * first.dtype.itemsize, 0
            corner = (row // first.chunks[0] * first.chunks[0],) + (0,) * (first.ndim - 1)
            chunk = first.id.get_chunk_info_by_coord(corner)
            return int(chunk.byte_offset or 0), int(chunk.size)
        except _DAMAGE:
            return 0, 0


def _row_axis(dataset: "h5py.Dataset") -> int:
    """MATLAB's columns lie across: (1, n)."""
    return 1 if dataset.ndim == 2 and dataset.shape[0] == 1 and dataset.shape[1] != 4 else 0


def _length(dataset: "h5py.Dataset") -> int:
    return int(dataset.shape[_row_axis(dataset)])


def _rows_of(dataset: "h5py.Dataset", row: int, end: int) -> NDArray[Any]:
    """Rows of a table, or values of a column."""
    if _row_axis(dataset):
        return np.asarray(dataset[0, row:end])
    rows = np.asarray(dataset[row:end])
    return rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 else rows


def _chunk_rows(dataset: "h5py.Dataset") -> int:
    if dataset.chunks is None:
        return 1
    rows: int = dataset.chunks[_row_axis(dataset)]
    if math.prod(dataset.chunks) * dataset.dtype.itemsize > _LARGEST_CHUNK:
        raise ValueError(f"its chunks of {dataset.chunks} are larger than 256 MiB")
    return rows


def _stored_rows(dataset: "h5py.Dataset") -> int:
    """Rows for which the file has storage: a shape may claim any number."""
    length = _length(dataset)
    per_row = math.prod(dataset.shape) // max(length, 1)
    stored: int
    if dataset.chunks is not None:
        stored = dataset.id.get_num_chunks() * math.prod(dataset.chunks)
    else:
        stored = dataset.id.get_storage_size() // max(dataset.dtype.itemsize, 1)
    rows: int = min(length, stored // max(per_row, 1))
    return rows


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

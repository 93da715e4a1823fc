"""NumPy's .npz files that hold events: a ZIP archive of .npy files.

The columns t, x, y and p are members of their own under these or similar names, or one member holds
all of them as a .npy file may; or there is a member for each polarity (`es_imagenet`). Members are
read as streams, stored or deflated, so that neither a long recording nor an archive made to burst
comes to memory whole. To resume in a deflated member means to inflate what is before. An archive's
directory is at its end: one that is cut or was not closed cannot be opened, and gives no event.
"""

import io
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from pipeline.events import EventArray
from stages.formats.reader import Decoded, Reader
from stages.formats.tables.columns import (
    SAMPLE_ROWS,
    columns_of_names,
    events_of_columns,
    sensor_size,
    time_unit,
)
from stages.formats.tables.es_imagenet import (
    MOST_EVENTS,
    POLARITIES,
    SIDE_PX,
    events_of_polarities,
)
from stages.formats.tables.npy_header import NpyArray, converter, npy_header_bytes, read_npy_header
from stages.formats.tables.table import TableReader

__all__ = ["NpzReader"]

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What `zipfile` raises at damage, encryption and compressions that it does not know."""
_VALUE_BYTES = 4096
_FIXED_BYTES = 12


class NpzReader(TableReader):
    """An open .npz file; ``stream`` is the member that holds all columns, where there are more."""

    format = "NPZ"
    named_streams = True

    def _open(self, stream: str | None) -> None:
        try:
            self._archive = zipfile.ZipFile(_File(self))
            names = [name[:-4] for name in self._archive.namelist() if name.endswith(".npy")]
        except zipfile.BadZipFile as error:
            if str(error) != "File is not a zip file":
                raise ValueError(error) from None
            raise RecordingError(
                f"{self.path}: is truncated or was not closed: the directory of a .npz file is at"
                " its end, and is not there; copy or record it again"
            ) from None
        except _DAMAGE as error:
            raise ValueError(error) from None
        values = {name: self._value(name) for name in ("width", "height", "sensor_size", "source")}
        self.declared_size = sensor_size(values)
        self.source = str(values["source"] or "")
        columns = columns_of_names(names) if stream is None else None
        if columns is not None:
            self._by_columns(columns)
        elif stream is None and set(POLARITIES) <= set(names):
            self._by_polarities()
        else:
            self._by_table(names, stream)
        self.event_count = self._rows
        others = [name for name in names if name not in self._members]
        self.other_streams = tuple(name for name in others if self._is_sound_table(name))

    def _by_columns(self, columns: dict[str, str]) -> None:
        self._members = [columns[column] for column in "txyp"]
        arrays = [self._header(name) for name in self._members]
        lengths = [array.rows for array in arrays]
        if len(set(lengths)) > 1:
            raise RecordingError(
                f"{self.path}: its columns {', '.join(self._members)} have {lengths} values, must"
                " be as many in each"
            )
        if any(array.dtype.kind not in "iufb" for array in arrays):
            forms = ", ".join(str(array.dtype) for array in arrays)
            raise RecordingError(f"{self.path}: its columns are no plain numbers but {forms}")
        self._rows = lengths[0]
        name, first = self._members[0], arrays[0]
        unit = time_unit(name, first.dtype, lambda: self._sample(name, first))
        self._convert: Callable[..., EventArray] = partial(events_of_columns, unit=unit)

    def _by_table(self, names: list[str], stream: str | None) -> None:
        if stream is None and len(events := [name for name in names if self._is_table(name)]) == 1:
            stream = events[0]
        if stream is None or stream not in names:
            known = ", ".join(names) or "none"
            raise RecordingError(
                f"{self.path}: holds no arrays t, x, y and p; name the one that holds events as"
                f" the stream, its arrays: {known}"
            )
        self._members = [stream]
        array = self._header(stream)
        if array.by_column:
            raise RecordingError(
                f"{self.path}: its array {stream} has one column behind the other, which cannot be"
                " read as a stream; save it as n×4 numbers in C order"
            )
        self._rows = array.rows
        try:
            self._convert = converter(array, partial(self._sample, stream, array))
        except ValueError as error:
            raise RecordingError(f"{self.path}: its array {stream} {error}") from None

    def _by_polarities(self) -> None:
        self._members = list(POLARITIES)
        for name in POLARITIES:
            array = self._header(name)
            plain = array.dtype.kind in "iu" and len(array.shape) == 2 and array.shape[1] == 3
            if not plain or array.fortran or array.shape[0] > MOST_EVENTS:
                sides = "×".join(map(str, array.shape)) or "single"
                raise RecordingError(
                    f"{self.path}: its array {name} holds {sides} values of {array.dtype}; those of"
                    f" a polarity are n×3 whole numbers (row, column, step), n up to {MOST_EVENTS}"
                )
        self._rows = sum(self._header(name).shape[0] for name in POLARITIES)
        self.declared_size = (SIDE_PX, SIDE_PX)

    def _sample(self, name: str, array: NpyArray) -> NDArray[Any]:
        try:
            with self._archive.open(f"{name}.npy") as member:
                return _take(member, array, 0, min(array.rows, SAMPLE_ROWS))
        except _DAMAGE as error:
            raise ValueError(f"{name}: {error}") from None

    def _is_table(self, name: str) -> bool:
        array = self._header(name)
        return array.wide or columns_of_names(array.dtype.names or ()) is not None

    def _is_sound_table(self, name: str) -> bool:
        try:
            return self._is_table(name)
        except ValueError:
            return False

    def _decode_from(self, row: int) -> Iterator[Decoded]:
        polarities = self._members == list(POLARITIES)
        yield from self._decode_polarities(row) if polarities else self._decode_columns(row)

    def _decode_polarities(self, row: int) -> Iterator[Decoded]:
        """Read both arrays whole, which are small, as they must be sorted by time."""
        try:
            arrays = []
            for name in POLARITIES:
                with self._archive.open(f"{name}.npy") as member:
                    array = self._header(name)
                    member.seek(array.begin)
                    part = member.read(math.prod(array.shape) * array.dtype.itemsize)
                    arrays.append(np.frombuffer(part, array.dtype).reshape(array.shape))
        except _DAMAGE as error:
            self._broken(error)
            return
        events = events_of_polarities(*arrays)
        for begin in range(row, self._rows, self.slice_rows):
            end = min(begin + self.slice_rows, self._rows)
            yield Decoded(events[begin:end], (end,))

    def _decode_columns(self, row: int) -> Iterator[Decoded]:
        with ExitStack() as stack:
            try:
                members = [
                    stack.enter_context(self._archive.open(f"{name}.npy")) for name in self._members
                ]
                arrays = [self._header(name) for name in self._members]
                for member, array in zip(members, arrays, strict=True):
                    member.seek(array.begin + row * array.row_bytes)
            except _DAMAGE as error:
                self._broken(error)
                return
            while row < self._rows:
                count = min(self.slice_rows, self._rows - row)
                try:
                    parts = [
                        _take(member, array, None, count)
                        for member, array in zip(members, arrays, strict=True)
                    ]
                except _DAMAGE as error:
                    self._broken(error)
                    return
                row += count
                yield Decoded(self._convert(*parts), (row,))

    def _broken(self, error: Exception) -> None:
        info = self._archive.getinfo(f"{self._members[0]}.npy")
        self._damaged(f"is damaged ({error})", info.header_offset, info.compress_size)

    def _header(self, name: str) -> NpyArray:
        try:
            with self._archive.open(f"{name}.npy") as member:
                # No more than it is: at the end of a member its checksum is held against it.
                begin = member.read(_FIXED_BYTES)
                return read_npy_header(begin + member.read(npy_header_bytes(begin) - len(begin)))
        except _DAMAGE as error:
            raise ValueError(f"{name}: {error}") from None

    def _value(self, name: str) -> Any:
        """Return a small member as numbers or a text, None where there is none."""
        if f"{name}.npy" not in self._archive.namelist():
            return None
        array = self._header(name)
        if array.dtype.hasobject or array.rows * array.row_bytes > _VALUE_BYTES:
            return None
        try:
            with self._archive.open(f"{name}.npy") as member:
                found = _take(member, array, 0, array.rows)
        except _DAMAGE as error:
            raise ValueError(f"{name}: {error}") from None
        return str(found[0]) if array.dtype.kind == "U" and len(found) else found


def _take(member: IO[bytes], array: NpyArray, row: int | None, count: int) -> NDArray[Any]:
    """Return ``count`` rows from ``row`` on, or from where the member is."""
    if row is not None:
        member.seek(array.begin + row * array.row_bytes)
    part = member.read(count * array.row_bytes)
    if len(part) < count * array.row_bytes:
        raise EOFError("an array is truncated")
    return array.rows_of(part)


class _File(io.RawIOBase):
    """The recording as a file with a position of its own, as `zipfile` wants it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._at = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self._at, 2: self._reader.file_bytes}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, count: int = -1) -> bytes:
        if count < 0:
            count = self._reader.file_bytes - self._at
        part = self._reader._read_at(self._at, count)
        self._at += len(part)
        return part

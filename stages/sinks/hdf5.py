"""HDF5: a table of all predictions and an array of their scores, written when the run ends.

HDF5's library changes a file in many places at once, and what a crash leaves may be unreadable. So
predictions are kept as JSON Lines beside the file until the end, which can be cut back to a
checkpoint and followed meanwhile, and the file is made of them as a whole.
"""

import errno
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pipeline.errors import StageError
from stages.formats.tables.hdf5_file import new_hdf5
from stages.record_file import RecordFile, sync
from stages.sinks.jsonl import encode_line
from stages.sinks.line_file import FilePosition, LineFile
from stages.sinks.prediction import LOST, SHED, Prediction
from stages.sinks.prediction_file import PredictionFileConfig
from stages.stamp import is_ours, stamp, take_back

__all__ = ["Hdf5", "Hdf5Config"]

_BLOCK_ROWS = 4096
_OVERHEAD_BYTES = 1 << 16
_KINDS = {"epoch": "<i8", "window": "<i8", "t_start_us": "<i8", "t_end_us": "<i8", "class": "<i4"}
_KINDS |= dict.fromkeys((*SHED, *LOST), "<i8")


class Hdf5Config(PredictionFileConfig):
    """Options of `hdf5`."""


class Hdf5(LineFile[Hdf5Config]):
    """Write predictions to an HDF5 file: a table of all, and their scores as an array.

    The table ``predictions`` has a row for each, with the fields of `jsonl` under the same names,
    but for ``scores``, which is an array of its own, (predictions, classes), float32. ``truth`` is
    there with ``labels`` only, and empty where `jsonl` has null. The attribute ``classes`` names
    the classes; all inputs must predict the same.

    The file is written when the run ends, at once. Until then predictions are in ``NAME.part``
    beside it, as `jsonl` writes them, and a crash loses none of them.
    """

    Config = Hdf5Config
    unit = "rows"

    def port(self) -> None:
        """Look at the classes too."""
        super().port()
        self._classes()

    def close(self) -> None:
        """Make the file of the lines."""
        if self._file is None:
            return
        try:
            with self._explained():
                self._build()
        finally:
            super().close()
            self._file = None

    def commit(self) -> FilePosition:
        """Write the lines to the disk, and return where they end."""
        if self._file is None and self._appends:
            # What is there already is among the lines from the start, so that they can be cut.
            with self._explained():
                self._begin()
        return super().commit()

    def rewind(self, position: FilePosition) -> None:
        """Cut the lines back; where the file was made of them already, take them from it."""
        with self._explained():
            if position.mark is None:
                take_back(self.config.path, position.owner)
            elif (
                position.begun
                and not self._path.exists()
                and is_ours(self.config.path, position.owner)
            ):
                self._take_lines(position)
        super().rewind(position)

    @property
    def _appends(self) -> bool:
        return self.config.if_exists == "append" and self.config.path.exists()

    @property
    def _path(self) -> Path:
        return self.config.path.with_name(f"{self.config.path.name}.part")

    def _begin(self) -> None:
        if self.config.if_exists == "refuse" and self.config.path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        file = RecordFile(self._path)
        stamp(self._path, self._owner)
        if self._appends:
            for block in self._rows():
                file.append(b"".join(map(encode_line, block)))
        self._file = file

    def _line(self, prediction: Prediction) -> bytes:
        return encode_line(prediction)

    def _take_lines(self, position: FilePosition) -> None:
        """Write the lines anew, up to a position, from the file that was made of them."""
        assert position.mark is not None
        file = RecordFile(_beside(self.config.path))
        try:
            for line in (encode_line(each) for block in self._rows() for each in block):
                if file.end == position.mark.end:
                    break
                file.append(line)
        finally:
            file.close()
        file.path.rename(self._path)

    def _rows(self) -> Iterator[list[Prediction]]:
        """Yield the predictions of the file, some at a time."""
        import h5py

        path = self.config.path
        fields = [name for name in self._fields() if name != "scores"]
        try:
            file = h5py.File(path, "r", locking=False)
        except OSError as error:
            raise StageError(f"{path}: is no HDF5 file ({error}); name another file") from None
        with file:
            found = file.get("predictions"), file.get("scores")
            if not all(isinstance(each, h5py.Dataset) for each in found):
                names: list[str] = []
            else:
                names = list(found[0].dtype.names or ())
            if names != fields or list(file.attrs.get("classes", ())) != list(self._classes()):
                raise StageError(
                    f"{path}: does not hold predictions of these classes and fields; name another"
                    ' file, or set if_exists = "replace"'
                )
            table, scores = found
            for begin in range(0, len(table), _BLOCK_ROWS):
                rows = table[begin : begin + _BLOCK_ROWS]
                yield list(map(_prediction, rows, scores[begin : begin + _BLOCK_ROWS]))

    def _build(self) -> None:
        """Make the file, whole or not at all, and remove the lines."""
        assert self._file is not None
        self._file.commit()
        path = Path(os.path.realpath(self.config.path))
        new = _beside(path)
        try:
            self._write_file(new)
            stamp(new, self._owner)
            new.rename(path)
            sync(path.parent)
        except OSError as error:
            raise StageError(
                f"{path}: cannot be written: {error.strerror or error}; its predictions are in"
                f" {self._path} as JSON Lines; check space and permissions"
            ) from None
        self._path.unlink()

    def _write_file(self, path: Path) -> None:
        import h5py

        assert self._file is not None
        text = h5py.string_dtype()
        classes = self._classes()
        row = np.dtype(
            [
                (name, "?" if name == "partial" else _KINDS.get(name, text))
                for name in self._fields()
                if name != "scores"
            ]
        )
        with self._path.open("rb") as lines:
            count = sum(1 for _ in lines)
            lines.seek(0)
            # A row and its texts take less than twice its line.
            with new_hdf5(path, 2 * self._file.end + _OVERHEAD_BYTES) as file:
                file.attrs["classes"] = np.array(classes, text)
                table = file.create_dataset("predictions", (count,), row)
                scores = file.create_dataset("scores", (count, len(classes)), "<f4")
                for begin in range(0, count, _BLOCK_ROWS):
                    block = [_decode(line) for line in islice(lines, _BLOCK_ROWS)]
                    end = begin + len(block)
                    table[begin:end] = np.array([_values(each, row) for each in block], row)
                    scores[begin:end] = np.array([each.scores for each in block], np.float32)


def _beside(path: Path) -> Path:
    """Return where a file is made that takes its name when it is whole."""
    return path.with_name(f"{path.name}.new")


_decode = msgspec.json.Decoder(Prediction).decode


def _values(prediction: Prediction, row: "np.dtype[Any]") -> tuple[Any, ...]:
    values = msgspec.to_builtins(prediction)
    values = dict.fromkeys((*SHED, *LOST), 0) | values
    return tuple("" if values[name] is None else values[name] for name in row.names or ())


def _prediction(row: Any, scores: Any) -> Prediction:
    """Return the prediction that a row of the file was made of."""
    values = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in zip(row.dtype.names, row.item(), strict=True)
    }
    if "truth" in values:
        values["truth"] = values["truth"] or None
    for name in SHED:
        if not values.get(name):
            values.pop(name, None)
    if not any(values.get(name) for name in LOST):
        for name in LOST:
            values.pop(name, None)
    values["scores"] = [float(str(score)) for score in scores]
    return msgspec.convert(values, Prediction)

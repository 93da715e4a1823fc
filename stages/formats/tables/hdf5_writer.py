"""HDF5 recordings written: ``events/{t,x,y,p}``, which h5py and many loaders of data sets read.

The file has the attributes ``width``, ``height``, ``source`` and ``ordered``. Whole chunks are
written and flushed, so that all but the last of them can be read after a crash.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.events import EventArray
from stages.formats.tables.hdf5 import CACHE_BYTES, ORDERED
from stages.formats.writer import Writer
from stages.record_file import RecordFile

__all__ = ["Hdf5Writer"]

_CHUNK_EVENTS = 1 << 16
_COLUMNS = {"t": "<i8", "x": "<u2", "y": "<u2", "p": "|u1"}
_FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "lzf": {"compression": "lzf", "shuffle": True},
    "gzip": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
}


class Hdf5Writer(Writer):
    """Writes events to a new HDF5 file.

    Args:
        path: the file; an existing one is replaced.
        width: columns of the sensor, at most 32 768.
        height: rows of the sensor, at most 32 768.
        source: the camera's name.
        compression: ``none``, ``lzf`` or ``gzip``; the latter two, with bytes shuffled, take a
            quarter of the space and are read and written at a sixth of the rate.
    """

    format = "HDF5"
    compressions = tuple(_FILTERS)

    def __init__(
        self,
        path: Path | str,
        width: int,
        height: int,
        source: str = "pipeline",
        compression: str = "none",
    ) -> None:
        super().__init__(path, width, height, source)
        if compression not in _FILTERS:
            raise ValueError(
                f"compression must be one of {', '.join(_FILTERS)}, got {compression!r}"
            )
        import h5py

        # Of the file's own dtypes: HDF5's conversion is slow.
        self._columns = {name: np.empty(_CHUNK_EVENTS, form) for name, form in _COLUMNS.items()}
        self._held = 0
        try:
            # HDF5 empties a file before it locks it, so the lock is ours.
            self._lock = RecordFile(self.path)
        except OSError as error:
            raise self._failed(error) from None
        try:
            self._file = h5py.File(self.path, "w", locking=False, rdcc_nbytes=CACHE_BYTES)
            self._file.attrs.update({"width": width, "height": height, ORDERED: True})
            if source:
                # Of a fixed length; see stages.formats.tables.hdf5_layout.attributes.
                self._file.attrs["source"] = np.bytes_(source.encode())
            group = self._file.create_group("events")
            self._datasets = {
                name: group.create_dataset(
                    name,
                    (0,),
                    form,
                    maxshape=(None,),
                    chunks=(_CHUNK_EVENTS,),
                    **_FILTERS[compression],
                )
                for name, form in _COLUMNS.items()
            }
            self._file.flush()
        except OSError as error:
            self._lock.close()
            raise self._failed(error) from None

    def _write(self, events: EventArray) -> None:
        while len(events):
            part = events[: _CHUNK_EVENTS - self._held]
            for name, column in self._columns.items():
                column[self._held : self._held + len(part)] = part[name]
            self._held += len(part)
            events = events[len(part) :]
            if self._held == _CHUNK_EVENTS:
                self._append()

    def _append(self) -> None:
        begin = len(self._datasets["t"])
        for name, dataset in self._datasets.items():
            dataset.resize((begin + self._held,))
            dataset[begin:] = self._columns[name][: self._held]
        self._file.flush()
        self._held = 0

    def _finish(self) -> None:
        try:
            try:
                self._append()
            finally:
                self._file.close()
        finally:
            self._lock.close()

"""HDF5 recordings written: ``events/{t,x,y,p}``, which h5py and many loaders of data sets read.

The file has the attributes ``width``, ``height``, ``source`` and ``ordered``. It is made at the end
of the recording: HDF5's library changes a file in many places at once, and what a crash leaves of
it may be unreadable.
"""

from pathlib import Path
from typing import Any

import numpy as np

from stages.formats.tables.gathered_writer import GatheredWriter
from stages.formats.tables.hdf5 import CACHE_BYTES, ORDERED
from stages.formats.tables.hdf5_file import new_hdf5

__all__ = ["Hdf5Writer"]

_CHUNK_EVENTS = 1 << 16
_COLUMNS = {"t": "<i8", "x": "<u2", "y": "<u2", "p": "|u1"}
_EVENT_BYTES = 13
_CHUNK_OVERHEAD = 1 << 10
_OVERHEAD_BYTES = 1 << 17
_FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "lzf": {"compression": "lzf", "shuffle": True},
    "gzip": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
}


class Hdf5Writer(GatheredWriter):
    """Writes events to a new HDF5 file.

    Compressed as ``lzf`` or ``gzip``, with bytes shuffled, it takes a quarter of the space and is
    read and written at a sixth of the rate.
    """

    format = "HDF5"
    compressions = tuple(_FILTERS)

    def _make(self, path: Path) -> None:
        chunks = -(-self.events // _CHUNK_EVENTS)
        room = chunks * (_CHUNK_EVENTS * _EVENT_BYTES + _CHUNK_OVERHEAD) + _OVERHEAD_BYTES
        with new_hdf5(path, room, CACHE_BYTES) as file:
            file.attrs.update({"width": self.width, "height": self.height, ORDERED: True})
            if self.source:
                # Of a fixed length; see stages.formats.tables.hdf5_layout.attributes.
                file.attrs["source"] = np.bytes_(self.source.encode())
            group = file.create_group("events")
            datasets = {
                name: group.create_dataset(
                    name,
                    (self.events,),
                    form,
                    maxshape=(None,),
                    chunks=(_CHUNK_EVENTS,),
                    **_FILTERS[self._compression],
                )
                for name, form in _COLUMNS.items()
            }
            begin = 0
            for events in self._blocks():
                end = begin + len(events)
                for name, form in _COLUMNS.items():
                    # Of the file's own dtypes: HDF5's conversion is slow.
                    datasets[name][begin:end] = events[name].astype(form)
                begin = end

"""NumPy's .npz files written: members t, x, y, p, width, height and source.

A ZIP archive holds one member behind the other, so it is made at the end of the recording.
"""

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from stages.formats.tables.gathered_writer import GatheredWriter
from stages.formats.tables.npy_header import encode_npy_header

__all__ = ["NpzWriter"]

_COLUMNS = {"t": "<i8", "x": "<i2", "y": "<i2", "p": "|i1"}


class NpzWriter(GatheredWriter):
    """Writes events to a new .npz file, stored or deflated."""

    format = "NPZ"
    compressions = ("none", "deflate")

    def _make(self, path: Path) -> None:
        method = zipfile.ZIP_DEFLATED if self._compression == "deflate" else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, form in _COLUMNS.items():
                with _member(archive, name) as member:
                    member.write(encode_npy_header(np.dtype(form), self.events))
                    for events in self._blocks():
                        member.write(events[name].astype(form).tobytes())
            for name, value in (
                ("width", self.width),
                ("height", self.height),
                ("source", self.source),
            ):
                with _member(archive, name) as member:
                    np.lib.format.write_array(member, np.array(value), allow_pickle=False)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # Without the date of the day, so that the same events give the same file.
    info = zipfile.ZipInfo(f"{name}.npy")
    info.compress_type = archive.compression
    opened: IO[bytes] = archive.open(info, "w", force_zip64=True)
    return opened

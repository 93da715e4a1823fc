"""NumPy's .npz files written: members t, x, y, p, width, height and source.

A ZIP archive holds one member behind the other, so the columns are kept in files without a name
beside the target until the end, and vanish with the process whatever becomes of it. A crash
therefore leaves no recording: take another format where that matters.
"""

import shutil
import tempfile
import zipfile
from contextlib import ExitStack
from typing import IO

import numpy as np

from pipeline.events import EventArray
from stages.formats.tables.npy_header import encode_npy_header
from stages.formats.writer import Writer

__all__ = ["NpzWriter"]

_COLUMNS = {"t": "<i8", "x": "<i2", "y": "<i2", "p": "|i1"}
_COPIED_BYTES = 1 << 20


class NpzWriter(Writer):
    """Writes events to a new .npz file, stored or deflated."""

    format = "NPZ"
    compressions = ("none", "deflate")

    def _begin(self) -> None:
        with ExitStack() as opened:
            self._columns = {
                name: opened.enter_context(
                    tempfile.TemporaryFile(dir=self._file.path.parent, buffering=0)
                )
                for name in _COLUMNS
            }
            self._open = opened.pop_all()

    def _write(self, events: EventArray) -> None:
        for name, form in _COLUMNS.items():
            rest = memoryview(events[name].astype(form).tobytes())
            while rest:
                rest = rest[self._columns[name].write(rest) :]

    def _finish(self) -> None:
        """Copy the columns into the archive."""
        method = zipfile.ZIP_DEFLATED if self._compression == "deflate" else zipfile.ZIP_STORED
        with zipfile.ZipFile(self._file.path, "w", method) as archive:
            for name, form in _COLUMNS.items():
                with _member(archive, name) as member:
                    member.write(encode_npy_header(np.dtype(form), self.events))
                    self._columns[name].seek(0)
                    shutil.copyfileobj(self._columns[name], member, _COPIED_BYTES)
            for name, value in (
                ("width", self.width),
                ("height", self.height),
                ("source", self.source),
            ):
                with _member(archive, name) as member:
                    np.lib.format.write_array(member, np.array(value), allow_pickle=False)

    def _release(self) -> None:
        self._open.close()


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # Without the date of the day, so that the same events give the same file.
    info = zipfile.ZipInfo(f"{name}.npy")
    info.compress_type = archive.compression
    opened: IO[bytes] = archive.open(info, "w", force_zip64=True)
    return opened

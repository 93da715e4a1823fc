"""NumPy's .npz files written: members t, x, y, p, width, height and source.

A ZIP archive holds one member behind the other, so the columns are kept in files without a name
beside the target until the end, and vanish with the process whatever becomes of it. A crash
therefore leaves no recording: take another format where that matters.
"""

import shutil
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np

from pipeline.events import EventArray
from stages.formats.tables.npy_header import encode_npy_header
from stages.formats.writer import Writer
from stages.record_file import RecordFile

__all__ = ["NpzWriter"]

_COLUMNS = {"t": "<i8", "x": "<i2", "y": "<i2", "p": "|i1"}
_COPIED_BYTES = 1 << 20


class NpzWriter(Writer):
    """Writes events to a new .npz file.

    Args:
        path: the file; an existing one is replaced.
        width: columns of the sensor, at most 32 768.
        height: rows of the sensor, at most 32 768.
        source: the camera's name.
        compression: ``none`` or ``deflate``.
    """

    format = "NPZ"
    compressions = ("none", "deflate")

    def __init__(
        self,
        path: Path | str,
        width: int,
        height: int,
        source: str = "pipeline",
        compression: str = "none",
    ) -> None:
        super().__init__(path, width, height, source)
        if compression not in self.compressions:
            raise ValueError(
                f"compression must be one of {', '.join(self.compressions)}, got {compression!r}"
            )
        self._method = zipfile.ZIP_STORED if compression == "none" else zipfile.ZIP_DEFLATED
        self._open = ExitStack()
        try:
            # Holds the file, empty, so that no other run writes it meanwhile.
            self._file = RecordFile(self.path)
        except OSError as error:
            raise self._failed(error) from None
        self._open.callback(self._file.close)
        try:
            self._columns = {
                name: self._open.enter_context(
                    tempfile.TemporaryFile(  # noqa: SIM115, the stack closes it
                        dir=self.path.parent, buffering=0
                    )
                )
                for name in _COLUMNS
            }
        except OSError as error:
            self._open.close()
            raise self._failed(error) from None

    def _write(self, events: EventArray) -> None:
        for name, form in _COLUMNS.items():
            rest = memoryview(events[name].astype(form).tobytes())
            while rest:
                rest = rest[self._columns[name].write(rest) :]

    def _finish(self) -> None:
        """Copy the columns into the archive."""
        try:
            with zipfile.ZipFile(self.path, "w", self._method) as archive:
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
        finally:
            self._open.close()


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # Without the date of the day, so that the same events give the same file.
    info = zipfile.ZipInfo(f"{name}.npy")
    info.compress_type = archive.compression
    opened: IO[bytes] = archive.open(info, "w", force_zip64=True)
    return opened

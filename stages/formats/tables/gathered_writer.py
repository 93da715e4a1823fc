"""Writers of formats that are made at the end: until then their events are kept beside the target.

They are in ``NAME.part``, as a NumPy recording (see `npy_writer`), which is brought up to date with
every batch. A crash therefore loses nothing: what it leaves is a recording too, and a run can go on
from a checkpoint of it.
"""

import errno
import os
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.errors import RecordingError
from pipeline.events import EVENT, EventArray
from stages.formats.tables.npy_header import encode_npy_header
from stages.formats.tables.npy_writer import event_bytes
from stages.formats.writer import Writer, WriterPosition
from stages.record_file import DraftFile, RecordFile, sync
from stages.stamp import stamp

__all__ = ["GatheredWriter"]

_BLOCK_EVENTS = 1 << 16


class GatheredWriter(Writer):
    """Gathers events, and makes the file of them when it is closed."""

    @abstractmethod
    def _make(self, path: Path) -> None:
        """Write the file, of the events that `_blocks` yields.

        Raises:
            OSError: it cannot be written.
        """

    def _blocks(self) -> Iterator[EventArray]:
        """Yield all events, 65 536 at a time."""
        with self._file.path.open("rb") as file:
            file.seek(_header_bytes())
            while len(block := np.fromfile(file, EVENT, _BLOCK_EVENTS)):
                yield block

    def _begin(self) -> None:
        if self._file.is_published:
            raise OSError(errno.ESPIPE, "it is no file, and the format is made at its end")
        self._file.begin(encode_npy_header(EVENT, 0))

    def _write(self, events: EventArray) -> None:
        self._file.gather(event_bytes(events))
        self._file.overwrite(0, encode_npy_header(EVENT, self.events + len(events)))

    def _resume(self, position: WriterPosition) -> None:
        self._file.overwrite(0, encode_npy_header(EVENT, self.events))

    def _recover(self, position: WriterPosition) -> None:
        """Gather the events again from the file, where it was made already."""
        from stages.formats import open_recording

        target = Path(os.path.realpath(self.path))
        if DraftFile.name_of(target).exists() or not target.exists():
            return
        gathered = RecordFile(_beside(target))
        try:
            gathered.append(encode_npy_header(EVENT, position.events))
            with open_recording(target) as reader:
                left = position.events
                for packet in reader.packets():
                    gathered.append(event_bytes(packet.events[:left].copy()))
                    left -= min(len(packet.events), left)
        finally:
            gathered.close()
        gathered.path.rename(DraftFile.name_of(target))

    def _finish(self) -> None:
        made = _beside(Path(os.path.realpath(self.path)))
        try:
            self._make(made)
            sync(made)
            if self._owner:
                stamp(made, self._owner)
            self._file.publish_as(made)
        except OSError as error:
            made.unlink(missing_ok=True)
            if not self.events or isinstance(error, BlockingIOError):
                raise
            raise RecordingError(
                f"{self.path}: cannot be written: {error.strerror or error}; its events are in"
                f" {self._file.path}, which is a recording too; check space and permissions"
            ) from None


def _header_bytes() -> int:
    return len(encode_npy_header(EVENT, 0))


def _beside(path: Path) -> Path:
    """Return where a file is made that takes its name when it is whole."""
    return path.with_name(f"{path.name}.new")

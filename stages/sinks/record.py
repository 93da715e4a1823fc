"""Recording: the sink that writes events to a file, in the format that its name ends with.

One recording a file. It has its name from its first events on, and replaces an old one then; see
`stages.formats.writer.Writer`. The first of a run is written to ``path``, the k-th after it to
``NAME-00k.ENDING`` beside it: each time a source starts anew (the next file, the next turn of a
loop, a camera that came back), its size may differ and its clock begins again.

Events are handed to the format in blocks of a tenth of a second, however they arrive: the file is
the same to the byte, its packets are not as small as a camera's, and a crash loses no more. Of a
run with checkpoints it loses nothing: the file is cut back to the checkpoint and written on, and
files that were begun since are removed.
"""

import itertools
import os
import re
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import numpy as np

from pipeline.config import FilePath
from pipeline.errors import StageError
from pipeline.events import EventArray, concatenate_events, events_from_columns
from pipeline.messages import Events, Message, Start
from pipeline.ports import EventsPort
from pipeline.stage import Account, ExactSink, StageConfig
from stages.counts import Counts
from stages.formats import Policies, create_recording
from stages.formats.inspection import NO_TIME_US, Inspector
from stages.formats.writer import Writer, WriterPosition
from stages.record_file import DraftFile, explain, sync
from stages.recordings.target import check_target, create_target, resume_target
from stages.stamp import new_owner, take_back

__all__ = ["Record", "RecordConfig", "RecordPosition", "RecordState"]

_BLOCK_US = 100_000
_TRIAL_SIZE = (128, 128)
"""Of the DVS128, which every format can hold."""
_BLOCK_EVENTS = 1 << 20

_LEAVE_OUT = Policies(on_time_back="drop", on_gap="keep", on_outside="drop", on_unknown="drop")
"""Recordings are in order of time; what is not, as a source may let pass, is refused."""


class RecordConfig(StageConfig):
    """Options of `record`."""

    path: FilePath
    """The file to write; its ending names the format. Its folder is made if need be."""
    compression: str | None = None
    """How to compress, where the format can: for AEDAT4 none, lz4, lz4_high, zstd or zstd_high."""
    if_exists: Literal["refuse", "replace", "number"] = "refuse"
    """What to do with a file of that name; ``replace`` replaces it once there are events, or the
    recording has ended without any; ``number`` leaves it alone and writes to the first of
    NAME-001, NAME-002, ... that does not exist."""


class RecordState(NamedTuple):
    """What became of this recording so far."""

    width: int
    height: int
    block: tuple[EventArray, ...]
    """Events of the block that is being gathered."""
    kept: int
    """Events written or in the block."""
    last_us: int
    """Time of the latest event."""
    refused: Counts
    """Events left out, by reason."""


class RecordPosition(NamedTuple):
    """What a checkpoint knows of the files."""

    owner: str
    """The run; see `stages.stamp`."""
    there: tuple[str, ...]
    """Names of files that the run or one before it wrote."""
    writer: WriterPosition | None
    """Of the file that is being written."""


class Record(ExactSink[RecordConfig, RecordState, RecordPosition]):
    """Write events to a recording."""

    Config = RecordConfig
    takes = (EventsPort,)
    writes = ("path",)

    def port(self) -> None:
        """Look whether the file may be written, and whether its format can be."""
        size = None
        for port in self.inputs:
            if isinstance(port, EventsPort) and port.height is not None and port.width is not None:
                size = port.height, port.width
        # Of a run that goes on the file is there, and is its own.
        if_exists = "replace" if self.resumes else self.config.if_exists
        check_target(self.config.path, if_exists, self.config.compression, size)

    def open(self) -> None:
        """Compile what writes the format; files are opened as recordings start."""
        self._owner = new_owner()
        self._writer: Writer | None = None
        self._complete: list[Path] = []
        """Files that are complete, but not on the disk for sure."""
        trial = events_from_columns([0, 1], [0, 1], [0, 1], [0, 1])
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"trial{self.config.path.suffix}"
            with create_recording(path, *_TRIAL_SIZE) as writer:
                writer.write(trial)
        trial["p"] = 2
        Inspector(*_TRIAL_SIZE, _LEAVE_OUT).inspect(trial)

    def close(self) -> None:
        """Complete the file of a recording that was not ended; without events there is none."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abandon()
            self._complete.append(writer.path)

    def results(self) -> list[Path]:
        """Return none: whoever collects recordings may take away what is complete."""
        return []

    def commit(self) -> RecordPosition:
        """Write the files to the disk, and return where the one that is being written ends."""
        folder = self.config.path.parent
        try:
            if self._complete:
                for path in self._complete:
                    with suppress(FileNotFoundError):  # someone took it away, which is no harm
                        sync(path)
                sync(folder)
                self._complete.clear()
        except OSError as error:
            raise StageError(explain(self.config.path, error)) from None
        position = None if self._writer is None else self._writer.commit()
        return RecordPosition(self._owner, tuple(path.name for path in self._files()), position)

    def rewind(self, position: RecordPosition) -> None:
        """Cut the file back, and remove those that were begun since."""
        self._owner, there, writer = position
        is_draft = writer is None or not writer.events
        for path in self._files():
            is_written = not is_draft and writer is not None and path == Path(writer.path)
            if path.name not in there and not is_written:
                try:
                    take_back(path, self._owner)
                except OSError as error:
                    raise StageError(explain(path, error)) from None
        if writer is not None:
            self._writer = resume_target(writer, self.config.compression)
            self._writer.stamp(self._owner)

    def start(self, header: Start) -> RecordState:
        """Begin the recording's file."""
        self.close()
        self._writer = create_target(
            self._path(header.epoch),
            (header.height, header.width),
            header.source,
            self.config.compression,
        )
        self._writer.stamp(self._owner)
        return RecordState(header.width, header.height, (), 0, NO_TIME_US, ())

    def write(self, state: RecordState, message: Message) -> RecordState:
        """Take the events of a message; write the blocks that are complete."""
        assert isinstance(message.header, Events)
        inspector = Inspector(state.width, state.height, _LEAVE_OUT, state.last_us)
        events = inspector.inspect(message.array)
        inspector.refused.update(dict(state.refused))
        return state._replace(
            block=self._write_blocks(state.block, events, message.header.watermark_us),
            kept=state.kept + len(events),
            last_us=inspector.last_us,
            refused=tuple(sorted(inspector.refused.items())),
        )

    def end(self, state: RecordState) -> RecordState:
        """Write the last block and complete the recording's file."""
        assert self._writer is not None
        self._writer.write(concatenate_events(state.block))
        self._writer.close()
        self._complete.append(self._writer.path)
        self._writer = None
        return state._replace(block=())

    def account(self, state: RecordState) -> Account:
        """Return events written, and those refused because no recording can hold them."""
        return Account(
            taken=state.kept + sum(count for _, count in state.refused),
            used=state.kept,
            made=state.kept,
            unit_in="events",
            unit_out="events",
            refused=dict(state.refused),
            due=state.kept,
        )

    def _files(self) -> list[Path]:
        """Return the files that this stage may have written, drafts too."""
        path = self.config.path
        name = re.compile(rf"{re.escape(path.stem)}(-\d{{3,}})?{re.escape(path.suffix)}(\.part)?")
        try:
            names = os.listdir(path.parent)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [path.with_name(each) for each in sorted(names) if name.fullmatch(each)]

    def _path(self, epoch: int) -> Path:
        """Return the file of a recording."""
        first, if_exists = self.config.path, self.config.if_exists
        if if_exists == "number":
            return next(p for k in itertools.count() if _is_free(p := _numbered(first, k)))
        path = _numbered(first, epoch)
        if if_exists == "refuse" and path.exists():
            raise StageError(f'{path} exists already; remove it or set if_exists = "replace"')
        return path

    def _write_blocks(
        self, block: tuple[EventArray, ...], events: EventArray, watermark_us: int
    ) -> tuple[EventArray, ...]:
        """Write what is complete of a block and the events behind it; return what is left."""
        assert self._writer is not None
        while block or len(events):
            first = block[0] if block else events
            end_us = int(first["t"][0]) + _BLOCK_US
            room = _BLOCK_EVENTS - sum(map(len, block))
            count = min(int(np.searchsorted(events["t"], end_us)), room)
            if count:
                block = (*block, events[:count])
            if count == len(events) and count < room and watermark_us < end_us:
                break
            self._writer.write(concatenate_events(block))
            block, events = (), events[count:]
        return block


def _is_free(path: Path) -> bool:
    # Another run may be about to write its first events.
    return not path.exists() and not DraftFile.name_of(path).exists()


def _numbered(path: Path, number: int) -> Path:
    return path.with_stem(f"{path.stem}-{number:03d}") if number else path

"""Sources of files that are a short recording of frames each, such as a picture or a volume.

A file is read whole, then sent step by step. Its steps have no length of their own: ``step_us`` is
what they are given, from 0 on in every file; nothing but pacing and the times shown depends on it.
"""

import glob
from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import FilePath
from pipeline.errors import RecordingError
from pipeline.messages import EndRecording, Frames, Message, Start, Windows, control, data
from pipeline.stage import Account, Played, PortError, Source, StageConfig
from stages.counts import Counts, add_counts
from stages.natural import natural

__all__ = ["Content", "FrameFiles", "FrameFilesConfig", "FrameFilesState"]

_MESSAGE_BYTES = 16 << 20


class FrameFilesConfig(StageConfig):
    """Options that these sources have in common."""

    path: FilePath | list[FilePath]
    """The file; or a folder: its files by name, then those of the folders in it; or a pattern such
    as ``set/*/1*.png``; or a list of those. Hidden files, and those of a folder or a pattern whose
    names end otherwise, are passed over."""
    speed: float = Field(0.0, ge=0, allow_inf_nan=False)
    """1 lets a step last ``step_us``, 2 half as long; 0 is as fast as the pipeline can."""
    step_us: int = Field(1_000, ge=1, le=3_600_000_000)
    """What a step is taken to last, in µs; it changes times and pace only."""
    on_damage: Literal["raise", "drop"] = "raise"
    """At a file that cannot be used: ``raise`` ends the run when all before it was worked on,
    ``drop`` passes it over, says so and counts it."""


class FrameFilesState(NamedTuple):
    """Where the source is: ``step`` steps behind the start of file ``turn``."""

    turn: int
    """The file being played, or to be played next."""
    within: bool
    """Whether it was begun."""
    step: int
    """Steps of it that were sent."""
    sent: int
    """Steps sent in all."""
    damaged: int
    """Files passed over."""
    due: int
    """Steps that the files begun so far have."""
    notes: Counts
    """What was found in them that is no loss of steps, such as values that were cut."""


class Content(NamedTuple):
    """What is in a file."""

    frames: NDArray[np.uint8]
    """(steps, channels, height, width), at least one step; it may be a view."""
    notes: Mapping[str, int] = MappingProxyType({})
    """What to count of it in the ledger, by kind."""
    remark: str = ""
    """What a person watching should know of it now."""


C = TypeVar("C", bound=FrameFilesConfig)


class FrameFiles(Source[C, FrameFilesState]):
    """Play files, each a recording of its own: Start, its steps, EndRecording.

    Attributes:
        endings: How the names of such files end, in lower case.
        unit: What such files are called in the ledger.
    """

    free = ("speed",)
    endings: ClassVar[tuple[str, ...]]
    unit: ClassVar[str]

    @abstractmethod
    def read(self, path: Path) -> Content:
        """Read a file.

        Raises:
            RecordingError: it cannot be used.
        """

    def files(self) -> list[Path]:
        """Return the files in the order in which they are played.

        Raises:
            RecordingError: a folder cannot be read, or there is no such file.
        """
        paths = self.config.path if isinstance(self.config.path, list) else [self.config.path]
        if not paths:
            raise RecordingError("the list is empty; name at least one file or folder")
        try:
            return [file for path in paths for file in self._meant_by(path)]
        except OSError as error:
            raise RecordingError(
                f"{error.filename}: cannot be read: {error.strerror}; check the path"
            ) from None

    @property
    def speed(self) -> float:
        """How many times faster than ``step_us`` says; 0 is as fast as possible."""
        return self.config.speed

    def initial_state(self) -> FrameFilesState:
        """Return the place before the first file."""
        return FrameFilesState(0, False, 0, 0, 0, 0, ())

    def play(self, state: FrameFilesState) -> Iterator[Played[FrameFilesState]]:
        """Yield the files from ``state`` on."""
        for path in self.files()[state.turn :]:
            try:
                content = self.read(path)
            except RecordingError as error:
                if self.config.on_damage == "raise":
                    raise
                state = state._replace(turn=state.turn + 1, damaged=state.damaged + 1)
                yield Played([], state, remark=f"{error}; passed over")
                continue
            state = yield from self._play(state, path, content)

    def account(self, state: FrameFilesState) -> Account:
        """Return files read and steps sent."""
        taken = state.turn + state.within
        return Account(
            taken=taken,
            used=taken - state.damaged,
            made=state.sent,
            unit_in=self.unit,
            unit_out="windows",
            refused={"damaged": state.damaged} if state.damaged else {},
            due=None if state.within else state.due,
            notes=dict(state.notes),
        )

    def require_files(self) -> list[Path]:
        """Return the files, for `pipeline check`.

        Raises:
            PortError: there is none, or a folder cannot be read.
        """
        try:
            return self.files()
        except RecordingError as error:
            raise PortError("path", str(error)) from None

    def _meant_by(self, path: Path) -> list[Path]:
        if glob.has_magic(str(path)) and not path.exists():
            matches = map(Path, glob.glob(str(path), recursive=True))
            found = sorted(filter(self._is_meant, matches), key=natural)
        elif not path.is_dir():
            if not path.exists():
                raise RecordingError(f"{path}: there is no such file or folder; check the path")
            return [path]
        else:
            found = self._below(path)
        if not found:
            raise RecordingError(
                f"{path}: holds no {self.unit}; their names end in {', '.join(self.endings)}"
            )
        return found

    def _below(self, folder: Path) -> list[Path]:
        """Return the files of a folder, then those of its folders; links to folders end here."""
        shown = [path for path in folder.iterdir() if not path.name.startswith(".")]
        shown.sort(key=natural)
        files = [one for one in shown if self._is_meant(one)]
        folders = [one for one in shown if one.is_dir() and not one.is_symlink()]
        return files + [file for one in folders for file in self._below(one)]

    def _is_meant(self, path: Path) -> bool:
        return path.suffix.lower() in self.endings and path.is_file()

    def _play(
        self, state: FrameFilesState, path: Path, content: Content
    ) -> Generator[Played[FrameFilesState], None, FrameFilesState]:
        """Play one file from ``state`` on; return the state behind it."""
        frames = content.frames
        steps, _, height, width = frames.shape
        epoch = state.turn
        if not state.within:
            notes = add_counts(state.notes, content.notes)
            state = state._replace(within=True, step=0, due=state.due + steps, notes=notes)
            start = Start(
                stream=self.name,
                epoch=epoch,
                width=width,
                height=height,
                source=str(path),
                t_first_us=0,
            )
            yield Played([control(start)], state, remark=content.remark)
        at_once = 1 if self.config.speed else max(1, _MESSAGE_BYTES // max(1, frames[0].nbytes))
        while state.step < steps:
            first, end = state.step, min(state.step + at_once, steps)
            state = state._replace(step=end, sent=state.sent + end - first)
            message = self._message(frames[first:end], first, epoch)
            yield Played([message], state, first * self.config.step_us)
        state = state._replace(turn=state.turn + 1, within=False, step=0)
        ending = EndRecording(stream=self.name, epoch=epoch)
        yield Played([control(ending)], state, steps * self.config.step_us)
        return state

    def _message(self, frames: NDArray[Any], first: int, epoch: int) -> Message:
        step_us = self.config.step_us
        # A picture is there when its step begins: that is what latency is counted from.
        begins_us = tuple(range(first * step_us, (first + len(frames)) * step_us, step_us))
        windows = Windows(first, begins_us[0], step_us, step_us, begins_us)
        return data(
            Frames,
            np.ascontiguousarray(frames),
            stream=self.name,
            epoch=epoch,
            t_first_us=begins_us[0],
            t_last_us=begins_us[-1] + step_us,
            windows=windows,
        )

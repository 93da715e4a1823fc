"""What a simulated set is: pieces made once, side by side, read by the reader of the real set."""

import json
import os
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pipeline.errors import ConfigError, RecordingError
from stages.batch import Engine, Work
from stages.datasets.data_set import DataSet, Item, Origin, Progress

__all__ = ["MARK", "ORIGIN", "Piece", "SimulatedSet"]

MARK = "simulated.json"
"""A file in each tree: that it is simulated, which set with which options, whether it is whole."""

ORIGIN = Origin(
    title="the simulated set",
    publisher="`pipeline simulate`, which makes it",
    licence="Apache-2.0",
    layout="what it makes",
)


class Piece(NamedTuple):
    """A file, or a folder of files, that is made at a time."""

    path: str
    """Relative to the set's folder."""
    arguments: tuple[Any, ...]
    """What `SimulatedSet.write` needs besides the path; each piece depends on nothing else."""


class SimulatedSet(DataSet):
    """A set that is made before it is read.

    `make` keeps what is there if it is what was asked for, and goes on where it was interrupted.
    Each piece gets its name when it is complete.
    """

    origin: ClassVar[Origin] = ORIGIN
    about: ClassVar[str]
    """What is simulated, in a sentence."""

    @property
    @abstractmethod
    def real(self) -> DataSet:
        """The real set, at the simulated one's place: it reads the tree."""

    @abstractmethod
    def pieces(self) -> Sequence[Piece]:
        """List what is made, always in the same order."""

    @staticmethod
    @abstractmethod
    def write(path: Path, *arguments: Any) -> None:
        """Make a piece; called in other processes.

        Raises:
            OSError: it cannot be written.
        """

    def finish(self) -> None:
        """Write the lists that the real set has beside its pieces.

        Raises:
            OSError: one cannot be written.
        """

    @property
    def classes(self) -> tuple[str, ...]:
        """The real set's."""
        return self.real.classes

    def items(self) -> list[Item]:
        """List what the real set's reader finds."""
        if not (self.folder / MARK).exists():
            raise self.missing(self.folder / MARK)
        return self.real.items()

    def learn(self, training: Sequence[Item], folder: Path) -> dict[str, Any]:
        """Learn what the real set learns."""
        return self.real.learn(training, folder)

    def make(self, engine: Engine, progress: Progress) -> None:
        """Make what is missing.

        Raises:
            ConfigError: the folder holds something else, or a package is missing.
            RecordingError: something cannot be written.
        """
        mark = self.folder / MARK
        asked = {"set": self.name, "options": self.options.model_dump(mode="json")}
        try:
            if self._is_whole(asked):
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_mark(mark, {"simulated": self.about, **asked, "complete": False})
            pieces = [one for one in self.pieces() if not (self.folder / one.path).exists()]
            total = len(pieces)
            made = engine.map(Pieces(type(self), self.folder), _batches(pieces))
            for done, _ in enumerate(made, start=1):
                progress("simulating", done, total)
            self.finish()
            _write_mark(mark, {"simulated": self.about, **asked, "complete": True})
        except OSError as error:
            raise RecordingError(
                f"{error.filename or self.folder}: cannot be written: {error.strerror}; check the"
                " path and its permissions"
            ) from None
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"data.set: {self.name} needs the package {error.name}; install"
                ' "event-pipeline[train,video]"'
            ) from None

    def _is_whole(self, asked: dict[str, Any]) -> bool:
        """Return whether all was made before; what is not ours is never written over."""
        mark = self.folder / MARK
        if not mark.exists():
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise ConfigError(
                    f"{self.folder}: holds something else than a simulated set; name a new folder"
                )
            return False
        try:
            found = json.loads(mark.read_text("utf-8"))
            same = {key: found[key] for key in asked} == asked
            complete = bool(found["complete"])
        except (ValueError, KeyError, TypeError):
            same = complete = False
        if not same:
            raise ConfigError(
                f"{self.folder}: holds another simulated set, see {MARK} there; name a new folder,"
                " or remove this one"
            )
        return complete


class Pieces(Work[Sequence[Piece], str]):
    """Pieces of a set, as work of an engine; each is told by its path when it is made.

    Args:
        kind: of the set.
        folder: of the set.
    """

    def __init__(self, kind: type[SimulatedSet], folder: Path) -> None:
        self._kind, self._folder = kind, folder.absolute()

    def do(self, task: Sequence[Piece]) -> Iterator[str]:
        """Make some pieces."""
        for piece in task:
            _write_piece(self._kind, self._folder, piece)
            yield piece.path

    def called(self, task: Sequence[Piece]) -> str:
        """Return their paths."""
        return ", ".join(piece.path for piece in task)

    def folder(self) -> Path:
        """Return the set's folder."""
        return self._folder


def _batches(pieces: Sequence[Piece]) -> list[Sequence[Piece]]:
    """Deal out pieces: several together, as one may take a millisecond; few, so progress shows."""
    return [pieces[begin : begin + 4] for begin in range(0, len(pieces), 4)]


def _write_piece(kind: type[SimulatedSet], folder: Path, piece: Piece) -> None:
    path = folder / piece.path
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: writers go by it.
    draft = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        kind.write(draft, *piece.arguments)
        draft.rename(path)
    finally:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def _write_mark(mark: Path, content: dict[str, Any]) -> None:
    draft = mark.with_name(f".{os.getpid()}-{mark.name}")
    draft.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    draft.rename(mark)

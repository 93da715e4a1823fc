"""Sinks whose file is text that grows line by line, and is cut back by its length."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from stages.record_file import Mark, RecordFile, mark_of
from stages.sinks.prediction import Prediction
from stages.sinks.prediction_file import PredictionFile, PredictionFileConfig
from stages.stamp import stamp, take_back

__all__ = ["FilePosition", "LineFile"]


class FilePosition(NamedTuple):
    """What a checkpoint knows of a file."""

    owner: str
    """The run; see `stages.stamp`."""
    begun: bool
    """Whether the run had begun to write it."""
    mark: Mark | None
    """Where it ended; None if there was no file."""


C = TypeVar("C", bound=PredictionFileConfig)


class LineFile(PredictionFile[C, FilePosition], Generic[C]):
    """Writes lines to a file that can be followed while it grows."""

    unit = "lines"

    def open(self) -> None:
        """Prepare; the file itself is opened when the run starts."""
        super().open()
        self._file: RecordFile | None = None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def commit(self) -> FilePosition:
        """Write the file to the disk, and return where it ends."""
        with self._explained():
            if self._file is not None:
                return FilePosition(self._owner, True, self._file.commit())
            return FilePosition(self._owner, False, mark_of(self.config.path))

    def rewind(self, position: FilePosition) -> None:
        """Cut the file back; one that was begun since is removed, or left to be replaced."""
        self._owner, begun, mark = position
        with self._explained():
            if begun:
                self._file = RecordFile(self._path, mark=mark)
            elif mark is None:
                take_back(self._path, self._owner)
            elif self.config.if_exists == "append":
                RecordFile(self._path, mark=mark).close()

    @property
    def _path(self) -> Path:
        """Where the lines are."""
        return self.config.path

    @property
    def _is_begun(self) -> bool:
        return self._file is not None

    def _begin(self) -> None:
        self._file = RecordFile(self._path, self.config.if_exists)
        stamp(self._path, self._owner)

    def _append(self, predictions: Sequence[Prediction]) -> None:
        assert self._file is not None
        self._file.append(b"".join(map(self._line, predictions)))

    @abstractmethod
    def _line(self, prediction: Prediction) -> bytes:
        """Return a prediction as a line, with its end."""

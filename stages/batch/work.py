"""What is done to tasks: the one thing that whoever needs many tasks done has to write."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["Work"]

T = TypeVar("T")
R = TypeVar("R")


class Work(ABC, Generic[T, R]):
    """What is done to each task. It is copied to each worker before it is opened, by pickle.

    A task may be done twice, where a worker was lost: what it writes must have its name only when
    it is whole. Tasks and results are pickled too.
    """

    def open(self) -> None:
        """Get ready for tasks, once in each worker."""

    def close(self) -> None:
        """Let go of what `open` took."""

    @abstractmethod
    def do(self, task: T) -> Iterable[R]:
        """Return what comes of a task.

        Raises:
            PipelineError: it fails; the message names what.
        """

    def called(self, task: T) -> str:
        """Return what messages call a task."""
        return str(task)

    def files(self) -> Iterable[str]:
        """Return what `open` reads, absolute paths: another host must have the same."""
        return ()

    def reads(self, task: T) -> Iterable[str]:
        """Return what a task reads, absolute paths: another host must have it too."""
        return ()

    def folder(self) -> Path | None:
        """Return where tasks write, absolute: it must be one folder for all hosts."""
        return None

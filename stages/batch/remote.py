"""A worker's side, on whatever host: what it is compared by, and tasks in and out as bytes."""

import os
import pickle
import platform
import socket
import threading
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipeline.errors import ConfigError, StageError
from stages.batch.engine import Answer, Broke, Done, Ready
from stages.batch.files import check
from stages.batch.work import Work

__all__ = ["Remote", "end_with", "portable", "versions"]

_DECIDE = ("event-pipeline", "numpy", "numba", "torch", "dv-processing", "h5py")
"""Packages whose version may show in the last digit of a result, or in a byte of a file."""


def versions() -> dict[str, str]:
    """Return the versions that must be the same wherever tasks of one work are done."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in _DECIDE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not there"
    return found


class Remote:
    """Does tasks that come as bytes; each answer is an `Answer`, as bytes too."""

    def __init__(self) -> None:
        end_with(os.getppid())  # of Ray's own check a worker hears half a minute later
        self._host = socket.gethostname()
        self._work: Work[Any, Any] | None = None

    def open(self, theirs: dict[str, str], pickled: bytes, files: bytes) -> bytes:
        """Open the work, if this host is fit for it."""
        try:
            self._compare(theirs)
            check(pickle.loads(files), self._host)
            work: Work[Any, Any] = pickle.loads(pickled)
            work.open()
            self._work = work
            return _packed(Ready())
        except ImportError as error:
            told = f"host {self._host} lacks what this work needs: {error}; install there what is"
            return _packed(Broke(ConfigError(f"{told} installed here")))
        except Exception as error:
            return _packed(Broke(portable(error)))

    def do(self, pickled: bytes, files: bytes) -> bytes:
        """Do a task, if its files are here."""
        assert self._work is not None
        try:
            check(pickle.loads(files), self._host)
            return _packed(Done(list(self._work.do(pickle.loads(pickled)))))
        except Exception as error:
            return _packed(Broke(portable(error)))

    def _compare(self, theirs: dict[str, str]) -> None:
        for name, ours in versions().items():
            if ours != theirs.get(name):
                raise ConfigError(
                    f"host {self._host} has {name} {ours}, and here it is {theirs.get(name)};"
                    " install the same on all hosts, or the numbers may differ"
                )


def end_with(parent: int) -> None:
    """Let this process end when its parent has, however that ended.

    Args:
        parent: the parent's process id, as it was when this was still certain.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def portable(error: Exception) -> Exception:
    """Return an error that can be pickled, and keeps in a note where it came from."""
    if not hasattr(error, "exit_code"):
        error.add_note("in a worker: " + "".join(traceback.format_exception(error)))
    try:
        again = pickle.loads(pickle.dumps(error))
    except Exception:
        again = None
    if type(again) is type(error) and str(again) == str(error):
        return error
    return StageError(f"{type(error).__name__}: {error}")


def _packed(answer: Answer) -> bytes:
    return pickle.dumps(answer)

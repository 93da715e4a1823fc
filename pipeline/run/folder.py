"""The folder of a run: sockets, a key and the plan, private to the user, gone when the run is.

A lock held on a file in it tells a live run from the remains of one that was killed together with
all its workers; remains are swept when the next run starts.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.queue.keys import KeyPair, write_secret

__all__ = ["RUN_KEY", "RunDirectory", "is_live", "live_runs", "private", "process_of", "unwritable"]

RUN_KEY = "key"
"""The file that holds the secret key which the processes of the run share."""
_LOCK = "lock"
_LONGEST_SOCKET_PATH = 107
_LONGEST_NAME = 20
_ADVICE = "set TMPDIR, and XDG_RUNTIME_DIR if you have it, to"


class RunDirectory:
    """Creates the folder on entry and removes it on exit."""

    def __enter__(self) -> Path:
        home = _home()
        try:
            self._create(home)
        except OSError as error:
            raise unwritable(home, error) from None
        return self.path

    def _create(self, home: Path) -> None:
        # One run at a time sweeps and creates, so that no folder is seen before it is locked.
        gate = os.open(home, os.O_RDONLY)
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            for remains in home.iterdir():
                _sweep(remains)
            self.path = Path(tempfile.mkdtemp(prefix="", dir=home))
            self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            os.write(self._lock, str(os.getpid()).encode())
            write_secret(self.path / RUN_KEY, KeyPair.new())
        finally:
            os.close(gate)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def live_runs() -> list[Path]:
    """Return the folders of the user's runs that are going on, oldest first.

    Raises:
        PipelineError: the user's folder for runs cannot be used.
    """
    found = [(folder.stat().st_mtime, folder) for folder in _home().iterdir() if is_live(folder)]
    return [folder for _, folder in sorted(found)]


def is_live(folder: Path) -> bool:
    """Tell whether a run holds the lock of its folder."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        # Shared: two who look at once must not take each other for the run.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def process_of(folder: Path) -> int:
    """Return the process that supervises a run, 0 if it is not known."""
    try:
        return int((folder / _LOCK).read_bytes() or 0)
    except (OSError, ValueError):
        return 0


def unwritable(folder: Path, error: OSError) -> PipelineError:
    """Return the error of a folder for sockets that cannot be used."""
    return PipelineError(
        f"{folder}: the folder for sockets cannot be made: {error.strerror};"
        f" {_ADVICE} a folder that can be written"
    )


def private(folder: Path) -> Path:
    """Make a folder that is the user's alone, or make sure that it is.

    Raises:
        PipelineError: it cannot be made, or others could write to it or have put it there.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not through a link: whoever can write to /tmp could point us at any folder of the user's.
        owner = folder.lstat()
    except OSError as error:
        raise unwritable(folder, error) from None
    if not stat.S_ISDIR(owner.st_mode):
        raise PipelineError(f"{folder}: is a link; remove it, or {_ADVICE} another folder")
    if owner.st_uid != os.getuid() or owner.st_mode & 0o077:
        who = f"owner {owner.st_uid}, mode {owner.st_mode & 0o777:o}"
        raise PipelineError(
            f"{folder}: is not private to you ({who}); remove it, or {_ADVICE} another folder"
        )
    return folder


def _home() -> Path:
    """Return the user's own folder for runs, on a path short enough for sockets."""
    try:
        preferred = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    except OSError as error:  # no folder for temporary files can be written
        raise unwritable(Path("/tmp"), error) from None
    home = preferred / f"pipeline-{os.getuid()}"
    if len(os.fsencode(home)) + _LONGEST_NAME > _LONGEST_SOCKET_PATH:
        home = Path("/tmp") / f"pipeline-{os.getuid()}"
    return private(home)


def _sweep(remains: Path) -> None:
    try:
        lock = os.open(remains / _LOCK, os.O_RDWR)
    except (NotADirectoryError, PermissionError):
        return
    except FileNotFoundError:
        shutil.rmtree(remains, ignore_errors=True)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(remains, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)

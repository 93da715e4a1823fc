"""Whose a file is: each is stamped with the run that began it, beside its content.

After a crash a run takes back the files that it began behind its checkpoint. The name of a file
does not tell that it is one of them: another run may have written it since. The stamp is an
extended attribute, which is lost where a file is copied, and which some file systems do not have;
there a file counts as the run's own if it was not there at the checkpoint.
"""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["is_ours", "new_owner", "stamp", "take_back"]

_NAME = "user.pipeline.run"
_UNKNOWN = (errno.ENOTSUP, errno.EPERM)


def new_owner() -> str:
    """Return what stands for a run; a run that goes on from a checkpoint keeps its own."""
    return secrets.token_hex(8)


def stamp(path: Path, owner: str) -> None:
    """Say that a file is a run's own, where its file system can hold that."""
    with suppress(OSError, AttributeError):  # not every system has them either
        os.setxattr(path, _NAME, owner.encode())


def is_ours(path: Path, owner: str) -> bool:
    """Whether a file that was not there at a checkpoint was begun by the run since."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        return os.getxattr(path, _NAME) == owner.encode()
    except AttributeError:
        return True
    except OSError as error:
        return error.errno in _UNKNOWN


def take_back(path: Path, owner: str) -> None:
    """Remove a file that was not there at a checkpoint, if the run began it since.

    Raises:
        OSError: it cannot be removed.
    """
    if is_ours(path, owner):
        os.unlink(os.path.realpath(path))

"""The file that a sink is to write, looked at before the run starts."""

import os
from pathlib import Path

from pipeline.stage import PortError

__all__ = ["check_output"]


def check_output(path: Path, if_exists: str, key: str = "path") -> None:
    """Look whether a file may be written; nothing is made or changed.

    Args:
        path: the file; folders that it lies in may be missing.
        if_exists: what is to be done with a file of that name; ``refuse`` refuses it here.
        key: the option that names the file.

    Raises:
        PortError: it may not be written.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise PortError(
            key, f"{path}: cannot be written: {error.strerror}; choose another"
        ) from None
    folder = next((parent for parent in path.parents if parent.exists()), path)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise PortError(key, f"{path}: nothing can be written in {folder}; choose another")
    if path.is_dir():
        raise PortError(key, f"{path} is a folder; name a file in it")
    if path.exists() and if_exists == "refuse":
        raise PortError(key, f'{path} exists already; remove it or set if_exists = "replace"')

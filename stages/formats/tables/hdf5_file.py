"""New HDF5 files that a full disk cannot harm.

HDF5's library does not survive that a write fails: what it has in its cache cannot be given up, and
the process may crash later on. So room is reserved before it writes, which fails as any write does.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.record_file import sync

__all__ = ["new_hdf5"]


@contextmanager
def new_hdf5(path: Path, room: int, cache_bytes: int = 1 << 20) -> Iterator[Any]:
    """Make an HDF5 file, and write it to the disk at the end; without an end nothing is left.

    Args:
        path: the file; an existing one is replaced at once.
        room: bytes that it will need, at most.
        cache_bytes: of the cache for chunks.

    Raises:
        OSError: there is no room, or it cannot be written.
    """
    import h5py

    with h5py.File(path.name, "w", driver="core", backing_store=False) as empty:
        empty.flush()
        image = empty.id.get_file_image()
    try:
        with path.open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, len(image) + room)
            file.write(image)
        # Opened so it is not emptied, which would give the room away. What is left is cut off.
        with h5py.File(path, "r+", locking=False, rdcc_nbytes=cache_bytes) as made:
            yield made
        sync(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise

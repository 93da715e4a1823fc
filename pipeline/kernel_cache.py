"""Where Numba keeps the kernels that it has compiled, so that only a first run waits for them."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["kernel_cache", "provide_kernel_cache"]


def provide_kernel_cache() -> None:
    """Name a folder for compiled kernels where Numba would find none.

    Numba keeps them beside their sources, or in the user's cache folder where that cannot be
    written. Where neither can, as in a read-only container whose user has no home, it would not
    compile at all: there they go where temporary files do.
    """
    if "NUMBA_CACHE_DIR" in os.environ or kernel_cache() is not None:
        return
    import tempfile

    from pipeline.errors import PipelineError
    from pipeline.run.folder import private

    with suppress(OSError, PipelineError):  # Numba will say that there is no place
        folder = Path(tempfile.gettempdir()) / f"pipeline-kernels-{os.getuid()}"
        os.environ["NUMBA_CACHE_DIR"] = str(private(folder))


def kernel_cache() -> Path | None:
    """Return the folder in which Numba keeps kernels, or that of one beside its source."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named) if _can_be_written(Path(named)) else None
    users = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    places = (Path(__file__).parent, users)
    return next((place for place in places if _can_be_written(place)), None)


def _can_be_written(folder: Path) -> bool:
    """Tell whether a folder can be written to, or made."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    return os.access(there, os.W_OK)

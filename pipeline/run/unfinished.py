"""Runs that were ended before their time: whether there is one to go on with, or in the way."""

import time

from pipeline.checkpoint.folder import CheckpointFolder, files_in
from pipeline.config import PipelineConfig
from pipeline.errors import CheckpointError, ConfigError

__all__ = ["ago", "can_go_on", "refuse_in", "refuse_unfinished"]


def can_go_on(config: PipelineConfig) -> bool:
    """Return whether there are checkpoints to go on from; whether they can be read is not asked."""
    return config.checkpoint is not None and bool(files_in(config.checkpoint.directory))


def refuse_unfinished(config: PipelineConfig) -> None:
    """Refuse to start over where a run goes on or was not finished; nothing is made or changed.

    Raises:
        CheckpointError: the folder is in use, or holds checkpoints that cannot be read.
        ConfigError: it holds checkpoints that are of use.
    """
    if config.checkpoint is not None and config.checkpoint.directory.is_dir():
        folder = CheckpointFolder(config.checkpoint.directory, config.checkpoint.keep)
        try:
            refuse_in(folder)
        finally:
            folder.close()


def refuse_in(folder: CheckpointFolder) -> None:
    """Refuse to start over on checkpoints that are of use; raises as `refuse_unfinished`."""
    try:
        found = folder.newest()
    except CheckpointError as error:
        raise CheckpointError(f"{error}; remove it, or start over by --fresh") from None
    if found is not None and not found.checkpoint.finished and found.checkpoint.number > 0:
        raise ConfigError(
            f"{folder.path}: holds checkpoint {found.checkpoint.number} of a run that was not"
            f" finished, made {ago(time.time() - found.checkpoint.made_at_s)}; go on with it by"
            " --resume, or start over by --fresh"
        )


def ago(seconds: float) -> str:
    """Return how long ago that is, in words."""
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name} ago"
    return f"{seconds:.0f} s ago"

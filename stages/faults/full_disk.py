"""Fault: a disk is full."""

import errno
import os
from pathlib import Path

from pydantic import Field

from pipeline.config import FilePath
from pipeline.errors import StageError
from pipeline.ports import Port
from pipeline.stage import PortError
from stages.faults.few import FewConfig, FewFault

__all__ = ["FaultFullDisk", "FaultFullDiskConfig"]

_STEP_BYTES = 64 << 20


class FaultFullDiskConfig(FewConfig):
    """Options of `fault_full_disk`."""

    folder: FilePath
    """A folder on the disk that is filled."""
    max_mb: int = Field(64, gt=0, le=1_000_000)
    """So many megabytes are filled at most. A disk that has more of them free is refused, so that
    nobody fills that of a whole machine by mistake: use a small file system, such as a tmpfs."""


class FaultFullDisk(FewFault[FaultFullDiskConfig]):
    """Fill a disk to the last byte, with a file that goes when the stage closes or starts again."""

    Config = FaultFullDiskConfig
    told = "filled a disk on purpose"

    @property
    def filler(self) -> Path:
        """The file that fills the disk."""
        return self.config.folder / f"fault-full-disk-{self.name}"

    def port(self) -> Port:
        """Return the input's port; look how much room there is."""
        folder = self.config.folder
        try:
            disk = os.statvfs(folder)
        except OSError as error:
            raise PortError("folder", f"{folder}: cannot be used: {error.strerror}") from None
        free_mb = disk.f_bavail * disk.f_frsize / 1e6
        if free_mb > self.config.max_mb:
            raise PortError(
                "max_mb",
                f"{folder} has {free_mb:.0f} MB free, more than the {self.config.max_mb} MB that"
                " may be filled; name a folder of a smaller disk, or raise it",
            )
        return super().port()

    def open(self) -> None:
        """Take away what a killed process has left."""
        super().open()
        self._remove()

    def close(self) -> None:
        """Take the file away."""
        self._remove()

    def do(self) -> None:
        """Fill the disk: in large steps, then in ever smaller ones."""
        step, size, limit = _STEP_BYTES, 0, self.config.max_mb * 1_000_000
        try:
            with self.filler.open("ab") as file:
                while step and size < limit:
                    more = min(step, limit - size)
                    if _reserve(file.fileno(), size, more):
                        size += more
                    else:
                        step //= 2
        except OSError as error:
            raise self._failed(error) from None

    def _remove(self) -> None:
        try:
            self.filler.unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> StageError:
        return StageError(
            f"stage '{self.name}': folder: {self.filler}: cannot be used: {error.strerror}; name"
            " another folder"
        )


def _reserve(file: int, offset: int, size: int) -> bool:
    """Take room on the disk; return whether there was so much."""
    try:
        os.posix_fallocate(file, offset, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False
    return True

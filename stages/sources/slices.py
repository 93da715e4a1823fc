"""Volumes slice by slice: the source of networks that go through a CT scan as through time."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import SensorSize
from pipeline.errors import RecordingError
from pipeline.ports import FramesPort
from pipeline.stage import PortError
from stages.sources.frame_files import FrameFiles, FrameFilesConfig

__all__ = ["Slices", "SlicesConfig"]

_LOOKED_AT = 32
"""Volumes whose headers `pipeline check` reads; a set may have thousands."""


class SlicesConfig(FrameFilesConfig):
    """Options of `slices`."""

    range: tuple[float, float] | None = None
    """Values that become 0 and 255; what lies between is scaled, what lies outside is cut. Needed
    where a volume is not of bytes: [-1200, 600] for Hounsfield units of a lung."""
    steps: int | None = Field(None, ge=1, le=1_000_000)
    """Slices to take from the middle; all when left out."""
    size: SensorSize | None = None
    """(height, width) to cut out of the middle of a slice; all of it when left out."""


class Slices(FrameFiles[SlicesConfig]):
    """Play volumes (.npy files of slices × height × width), each a recording of a slice a step."""

    Config = SlicesConfig
    endings = (".npy",)
    unit = "volumes"

    def port(self) -> FramesPort:
        """Read the volumes' headers for their size; None where they differ."""
        low, high = self.config.range or (0.0, 1.0)
        if not low < high:
            raise PortError("range", f"must be [low, high] with low < high, got [{low}, {high}]")
        sizes: set[tuple[int, int]] = set()
        for path in self.require_files()[:_LOOKED_AT]:
            try:
                volume = self._open(path)
            except RecordingError as error:
                if self.config.on_damage == "raise":
                    raise PortError("path", str(error)) from None
            else:
                sizes.add(volume.shape[1:])
        height, width = sizes.pop() if len(sizes) == 1 else self.config.size or (None, None)
        step_us = self.config.step_us
        return FramesPort(1, height, width, step_us, step_us, "slices")

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Read a volume: (slices, 1, height, width) bytes.

        Raises:
            RecordingError: it cannot be read or used.
        """
        values = self._open(path)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise RecordingError(
                f"{path}: holds values that are no numbers; write it again without them, or set"
                ' on_damage = "drop"'
            )
        if self.config.range is not None:
            low, high = self.config.range
            # Rounded down, as is usual for windows of Hounsfield units.
            shares = (values.astype(np.float64) - low) / (high - low)
            values = (np.clip(shares, 0, 1) * 255).astype(np.uint8)
        return np.ascontiguousarray(values)[:, None]

    def _open(self, path: Path) -> NDArray[Any]:
        """Return the part of a volume that is asked for, (slices, height, width), not read yet."""
        try:
            volume: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
        except OSError as error:
            raise RecordingError(
                f"{path}: cannot be read: {error.strerror or error}; check the path"
            ) from None
        except (ValueError, EOFError, SyntaxError) as error:
            raise RecordingError(
                f"{path}: is no whole .npy file ({error}); copy or write it again, or set"
                ' on_damage = "drop"'
            ) from None
        if volume.ndim != 3 or not volume.size or volume.dtype.kind not in "iuf":
            raise RecordingError(
                f"{path}: must be numbers (slices, height, width), is {volume.dtype}"
                f" {volume.shape}; write it again, or leave it out"
            )
        if volume.dtype != np.uint8 and self.config.range is None:
            raise RecordingError(
                f"{path}: holds {volume.dtype}, and frames are bytes; set range = [low, high], the"
                " values to become 0 and 255 (-1200 and 600 for Hounsfield units of a lung)"
            )
        wanted = (self.config.steps, *(self.config.size or (None, None)))
        cut = [slice(None)] * 3
        for axis, (want, has) in enumerate(zip(wanted, volume.shape, strict=True)):
            if want is not None and want > has:
                raise RecordingError(
                    f"{path}: is {volume.shape}, smaller than what is asked for: {want} of {has}"
                    f" {('slices', 'rows', 'columns')[axis]}; ask for fewer, or leave it out"
                )
            if want is not None:
                begin = (has - want) // 2
                cut[axis] = slice(begin, begin + want)
        return volume[tuple(cut)]

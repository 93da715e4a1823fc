"""Volumes slice by slice: the source of networks that go through a CT scan as through time."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import SensorSize
from pipeline.errors import RecordingError
from pipeline.ports import FramesPort
from pipeline.stage import PortError
from stages.sources.frame_files import Content, FrameFiles, FrameFilesConfig

__all__ = ["Slices", "SlicesConfig"]

_LOOKED_AT = 32
"""Volumes whose headers `pipeline check` reads; a set may have thousands."""
_LARGEST_BYTE = 255
_SET = "set range = [low, high] to the values that are to become 0 and 255"
_MUCH_CUT = 0.5
"""Share of a volume's values outside ``range`` from which on this is said at once."""


class SlicesConfig(FrameFilesConfig):
    """Options of `slices`."""

    range: tuple[float, float] | None = None
    """Values that become 0 and 255; what lies between is scaled, what lies outside is cut. Needed
    where a volume is not of bytes: [-1200, 600] for Hounsfield units of a lung. How many
    values were cut is told at the end; a volume that lies wholly outside is refused."""
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
        """Read the volumes' headers for their size, None where they differ; hold one to `range`."""
        low, high = self.config.range or (0.0, 1.0)
        if not -math.inf < low < high < math.inf:
            raise PortError("range", f"must be [low, high] with low < high, got [{low}, {high}]")
        sizes: set[tuple[int, int]] = set()
        for number, path in enumerate(self.require_files()[:_LOOKED_AT]):
            key = "path"
            try:
                volume = self._open(path)
                if number == 0 and self.config.range is not None:
                    extent = _extent(path, volume)
                    key = "range"
                    _check_extent(path, volume.dtype, extent, self.config.range)
            except RecordingError as error:
                if self.config.on_damage == "raise":
                    raise PortError(key, str(error)) from None
            else:
                sizes.add(volume.shape[1:])
        height, width = sizes.pop() if len(sizes) == 1 else self.config.size or (None, None)
        step_us = self.config.step_us
        steps = self.config.steps
        return FramesPort(1, height, width, step_us, step_us, "slices", "slices", steps)

    def read(self, path: Path) -> Content:
        """Read a volume; its frames are (slices, 1, height, width) bytes.

        Raises:
            RecordingError: it cannot be read or used, or its values are elsewhere than ``range``.
        """
        values = self._open(path)
        if self.config.range is None:
            return Content(np.ascontiguousarray(values)[:, None])
        extent, (low, high) = _extent(path, values), self.config.range
        _check_extent(path, values.dtype, extent, (low, high))
        below, above = int((values < low).sum()), int((values > high).sum())
        cut, remark = (below + above) / values.size, ""
        if cut > _MUCH_CUT:
            remark = (
                f"{path}: holds values from {extent[0]:g} to {extent[1]:g}, range = [{low:g},"
                f" {high:g}] cuts {cut:.0%} of them; is it right?"
            )
        notes = {f"values below {low:g}": below, f"values above {high:g}": above}
        return Content(_as_bytes(values, low, high)[:, None], notes, remark)

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


def _extent(path: Path, values: NDArray[Any]) -> tuple[float, float]:
    """Return the lowest and the highest value; refuse what is no number."""
    lowest, highest = float(values.min()), float(values.max())
    if not math.isfinite(lowest) or not math.isfinite(highest):
        raise RecordingError(
            f"{path}: holds values that are no numbers; write it again without them, or set"
            ' on_damage = "drop"'
        )
    return lowest, highest


def _check_extent(
    path: Path, dtype: np.dtype[Any], extent: tuple[float, float], wanted: tuple[float, float]
) -> None:
    """Refuse a volume of which ``range`` leaves nothing to see, or that is of bytes already."""
    (lowest, highest), (low, high) = extent, wanted
    if dtype == np.uint8 and (low < 0 or high > _LARGEST_BYTE):
        problem, remedy = (
            "as bytes, which cannot fill",
            "leave range out, bytes are sent as they are",
        )
    elif highest < low or lowest > high:
        problem, remedy = "none of them within", _SET
    elif lowest < highest and np.ptp(_as_bytes(np.array(extent), low, high)) == 0:
        problem, remedy = "which are all one grey with", _SET
    else:
        return
    raise RecordingError(
        f"{path}: holds values from {lowest:g} to {highest:g}, {problem} range = [{low:g},"
        f" {high:g}]; {remedy}"
    )


def _as_bytes(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Scale values so that ``low`` becomes 0 and ``high`` 255, and cut what lies outside."""
    # Rounded down, as is usual for windows of Hounsfield units.
    shares = (values.astype(np.float64) - low) / (high - low)
    scaled: NDArray[np.uint8] = (np.clip(shares, 0, 1) * _LARGEST_BYTE).astype(np.uint8)
    return scaled

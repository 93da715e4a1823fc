"""iniVation's cameras, through dv-processing.

dv-processing 2.0 shows no overflow flag in Python: what the camera itself loses it only logs.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from pipeline.errors import DeviceError
from pipeline.events import EVENT, EventArray
from stages.sources.cameras import dv_cameras, dv_driver, first_line, not_there, serial_of
from stages.sources.capture import Device, Lost, NotThere
from stages.sources.live import ConnectionConfig, LiveSource

__all__ = ["DvCamera", "DvCameraConfig"]

_POLL_S = 0.001
_EVENT_BITS = 0xFF_FFFF_FFFF
"""Of the second half of an event; the rest is padding."""


class DvCameraConfig(ConnectionConfig):
    """Options of `dv_camera`."""

    serial: str | None = None
    """Serial number, or name as ``DVXplorer_DXA00093``; the first camera when left out."""
    interval_us: int | None = Field(None, ge=100, le=1_000_000)
    """How often the camera hands its events over, in µs; as it is set when left out (10 ms)."""


class DvCamera(LiveSource[DvCameraConfig]):
    """Read an iniVation camera."""

    Config = DvCameraConfig
    driver: ClassVar[Callable[[], Any]] = staticmethod(dv_driver)
    """Gives dv-processing's module of cameras."""

    def connect(self) -> Device:
        """Open the camera."""
        driver = type(self).driver()
        cameras = dv_cameras(driver)
        serial = serial_of(cameras, self.config.serial)
        if serial is None:
            raise not_there("iniVation camera", self.config.serial, cameras)
        try:
            return _Camera(driver.open(serial), self.config)
        except RuntimeError as error:
            raise NotThere(
                f"an iniVation camera cannot be opened: {first_line(error)}; close other programs"
                " that use it, and check its udev rules"
            ) from None


class _Camera(Device):
    """An open camera."""

    def __init__(self, camera: Any, config: DvCameraConfig) -> None:
        super().__init__()
        self.source = camera.getCameraName()
        size = camera.getEventResolution()
        if size is None:
            raise DeviceError(f"{self.source}: has no events, only frames; use another camera")
        self.width, self.height = size
        if config.interval_us is not None:
            camera.setTimeInterval(timedelta(microseconds=config.interval_us))
        self.interval_us = camera.getTimeInterval() // timedelta(microseconds=1)
        self._camera: Any = camera

    def read(self) -> EventArray | None:
        """Return the next packet."""
        try:
            running = self._camera.isRunning()
            batch = self._camera.getNextEventBatch()
        except RuntimeError as error:
            raise Lost(f"{self.source}: {first_line(error)}") from None
        if batch is not None:
            # The memory is the library's, and what pads its events need not be zero.
            words: EventArray = batch.numpy().view(np.int64).reshape(-1, 2).copy()
            words[:, 1] &= _EVENT_BITS
            return words.reshape(-1).view(EVENT)
        if not running:
            raise Lost(f"{self.source}: was unplugged")
        time.sleep(_POLL_S)
        return None

    def close(self) -> None:
        """Let the library close the camera, which it does when nobody holds it."""
        self._camera = None

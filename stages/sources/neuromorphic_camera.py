"""Prophesee's and other cameras, through the package neuromorphic-drivers (MIT).

It is the extra ``prophesee`` of this package, and needs no SDK. It reports each overflow of its own
ring, which is counted and told.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from pipeline.events import EventArray, empty_events
from stages.sources.cameras import (
    first_line,
    neuromorphic_cameras,
    neuromorphic_driver,
    not_there,
    serial_of,
)
from stages.sources.capture import Device, Lost, NotThere
from stages.sources.live import ConnectionConfig, LiveSource

__all__ = ["NeuromorphicCamera", "NeuromorphicCameraConfig"]

_READ_S = 0.005


class NeuromorphicCameraConfig(ConnectionConfig):
    """Options of `neuromorphic_camera`."""

    serial: str | None = None
    """Serial number; the first camera when left out."""


class NeuromorphicCamera(LiveSource[NeuromorphicCameraConfig]):
    """Read a Prophesee camera, or another one that neuromorphic-drivers knows."""

    Config = NeuromorphicCameraConfig
    driver: ClassVar[Callable[[], Any]] = staticmethod(neuromorphic_driver)
    """Gives the package neuromorphic-drivers."""

    def connect(self) -> Device:
        """Open the camera."""
        driver = type(self).driver()
        cameras = neuromorphic_cameras(driver)
        serial = serial_of(cameras, self.config.serial)
        if serial is None:
            raise not_there("camera", self.config.serial, cameras)
        try:
            return _Camera(driver.open(serial=serial or None, iterator_timeout=_READ_S))
        except RuntimeError as error:
            raise NotThere(
                f"a camera cannot be opened: {first_line(error)}; close other programs that use"
                " it, and run neuromorphic-drivers-install-udev-rules"
            ) from None


class _Camera(Device):
    """An open camera."""

    def __init__(self, camera: Any) -> None:
        super().__init__()
        properties = camera.properties()
        self.width, self.height = int(properties.width), int(properties.height)
        self.source = f"{camera.name().value} {camera.serial()}"
        self._camera = camera

    def read(self) -> EventArray | None:
        """Return the events of the packets that have come."""
        try:
            status, packet = next(self._camera)
        except (RuntimeError, StopIteration) as error:
            raise Lost(f"{self.source}: {first_line(error)}") from None
        if status.ring is not None:
            self.notes["packets dropped by the driver"] += status.ring.dropped_packets
        if packet is None:
            return None
        if packet.polarity_events_overflow_indices is not None:
            overflows = len(packet.polarity_events_overflow_indices)
            self.notes["overflows reported by the camera"] += overflows
        theirs = packet.polarity_events
        if theirs is None:
            return None
        events = empty_events(len(theirs))
        events["t"], events["p"] = theirs["t"], theirs["on"]
        events["x"], events["y"] = theirs["x"], theirs["y"]
        return events

    def close(self) -> None:
        """Close the camera; one that was unplugged may say that it cannot be."""
        with suppress(RuntimeError):
            self._camera.close()

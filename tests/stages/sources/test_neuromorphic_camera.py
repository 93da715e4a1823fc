"""Prophesee's and other cameras, by a double of the package neuromorphic-drivers."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from live import Playing, kinds
from numpy.typing import NDArray

from pipeline.errors import DeviceError
from pipeline.events import events_from_columns
from pipeline.messages import Start
from stages.sources.neuromorphic_camera import NeuromorphicCamera, NeuromorphicCameraConfig

THEIRS = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
"""As the package makes them: 13 bytes, without padding."""


def packet(*t: int, overflows: int = 0) -> Any:
    events: NDArray[Any] = np.zeros(len(t), THEIRS)
    events["t"], events["x"], events["y"], events["on"] = t, 1279, 719, True
    return SimpleNamespace(
        polarity_events=events if len(t) else None,
        polarity_events_overflow_indices=np.zeros(overflows, np.uint64) if overflows else None,
    )


class Camera:
    """An open device: packets, then nothing, or the error that an unplugged one raises."""

    def __init__(self, *packets: Any, unplugged: bool = False, dropped: int = 0) -> None:
        self.packets = list(packets)
        self.unplugged = unplugged
        self.dropped = dropped
        self.closed = False

    def properties(self) -> Any:
        return SimpleNamespace(width=1280, height=720)

    def name(self) -> Any:
        return SimpleNamespace(value="Prophesee EVK4")

    def serial(self) -> str:
        return "00ff"

    def __next__(self) -> tuple[Any, Any]:
        if self.packets:
            dropped, self.dropped = self.dropped, 0
            ring = SimpleNamespace(dropped_packets=dropped, backlog=0)
            return SimpleNamespace(ring=ring), self.packets.pop(0)
        if self.unplugged:
            raise RuntimeError("Rusb(NoDevice)")
        return SimpleNamespace(ring=None), None

    def close(self) -> None:
        self.closed = True
        if self.unplugged:
            raise RuntimeError("Rusb(NoDevice)")


class Package:
    """The package: its list of devices, and how one is opened."""

    def __init__(self, camera: Camera | None = None, problem: str = "") -> None:
        self.camera = camera
        self.problem = problem
        self.opened_with: dict[str, Any] = {}

    def list_devices(self) -> list[Any]:
        if self.camera is None:
            return []
        return [
            SimpleNamespace(
                name=SimpleNamespace(value="Prophesee EVK4"),
                connection=SimpleNamespace(value="USB 3.0 SuperSpeed (5.0 Gb/s)"),
                address="1:2",
                serial="00ff",
                error=None,
            )
        ]

    def open(self, **options: Any) -> Camera:
        self.opened_with = options
        if self.problem:
            raise RuntimeError(self.problem)
        assert self.camera is not None
        return self.camera


def source(package: Package | None, **options: Any) -> NeuromorphicCamera:
    def driver() -> Any:
        if package is None:
            raise DeviceError("neuromorphic-drivers cannot be loaded")
        return package

    class Doubled(NeuromorphicCamera):
        pass

    Doubled.driver = staticmethod(driver)
    return Doubled("camera", NeuromorphicCameraConfig(**options))


def test_every_event_of_the_package_is_sent() -> None:
    package = Package(Camera(packet(1, 2), packet(), packet(3)))
    with Playing(source(package, serial="00ff")) as playing:
        playing.until_events(3)
    start = playing.headers[0]
    assert isinstance(start, Start)
    assert (start.width, start.height, start.source) == (1280, 720, "Prophesee EVK4 00ff")
    known = events_from_columns([1, 2, 3], [1279] * 3, [719] * 3, [1] * 3)
    assert playing.events.tobytes() == known.tobytes()
    assert package.opened_with["serial"] == "00ff"
    # It must never block: the thread that reads it could not be stopped.
    assert 0 < package.opened_with["iterator_timeout"] < 0.1


def test_overflows_that_the_camera_reports_are_told() -> None:
    camera = Camera(packet(1, overflows=2), packet(2, overflows=1), dropped=5)
    with Playing(source(Package(camera))) as playing:
        playing.until_events(2)
        assert playing.notes == {
            "overflows reported by the camera": 3,
            "packets dropped by the driver": 5,
        }


def test_it_is_unplugged_and_plugged_in_again() -> None:
    package = Package(Camera(packet(1), unplugged=True))
    first = package.camera
    with Playing(source(package)) as playing:
        playing.until(lambda playing: kinds(playing.messages).endswith("E0"))
        package.camera = Camera(packet(2))
        playing.until_events(2)
        assert first is not None
        assert first.closed
        assert playing.notes["reconnections"] >= 1


@pytest.mark.parametrize(
    ("package", "message"),
    [
        (None, "neuromorphic-drivers cannot be loaded"),
        (
            Package(),
            "no camera is connected (see pipeline cameras); plug it in",
        ),
        (
            Package(Camera(), problem="Access denied (insufficient permissions)"),
            "a camera cannot be opened: Access denied (insufficient permissions); close other"
            " programs that use it, and run neuromorphic-drivers-install-udev-rules",
        ),
    ],
    ids=["not installed", "not there", "not allowed"],
)
def test_a_camera_that_cannot_be_used_is_one_clear_error(
    package: Package | None, message: str
) -> None:
    with pytest.raises(DeviceError) as caught:
        source(package).connect()
    assert str(caught.value) == message


def test_the_real_package_has_what_is_used() -> None:
    package = pytest.importorskip("neuromorphic_drivers")
    device = package.device.Device
    assert {"close", "name", "properties", "serial", "__next__"} <= set(dir(device))
    options = package.open.__annotations__
    assert {"serial", "iterator_timeout"} <= set(options)
    fields = package.ListedDevice.__dataclass_fields__
    assert {"name", "connection", "address", "serial", "error"} <= set(fields)
    ring = package.status.RingStatus.__dataclass_fields__
    assert "dropped_packets" in ring

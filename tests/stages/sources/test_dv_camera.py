"""iniVation's cameras, by a double of dv-processing's module of cameras."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import dv_processing as dv
import numpy as np
import pytest
from live import Playing, kinds

from pipeline.errors import DeviceError
from pipeline.events import EventArray, events_from_columns
from pipeline.messages import Start
from stages.sources.dv_camera import DvCamera, DvCameraConfig


class Camera:
    """What dv-processing's camera objects do, as far as they are used."""

    def __init__(self, *batches: EventArray, unplugged: bool = False, frames: bool = False) -> None:
        self.batches = [store_of(batch) for batch in batches]
        self.unplugged = unplugged
        self.frames = frames
        self.interval = timedelta(milliseconds=10)

    def getCameraName(self) -> str:
        return "DVXplorer_DXA00093"

    def getEventResolution(self) -> tuple[int, int] | None:
        return None if self.frames else (64, 48)

    def getTimeInterval(self) -> timedelta:
        return self.interval

    def setTimeInterval(self, interval: timedelta) -> None:
        self.interval = interval

    def isRunning(self) -> bool:
        return not self.unplugged

    def getNextEventBatch(self) -> Any:
        return self.batches.pop(0) if self.batches else None


class Module:
    """What ``dv_processing.io.camera`` does: the cameras by their serial numbers."""

    def __init__(self, **cameras: Camera | RuntimeError) -> None:
        self.cameras = cameras

    def discover(self) -> list[Any]:
        return [
            SimpleNamespace(
                cameraModel=dv.io.camera.CameraModel.DVXPLORER,
                serialNumber=serial,
                busNumber=1,
                devAddress=4,
            )
            for serial in self.cameras
        ]

    def open(self, serial: str) -> Camera:
        camera = self.cameras[serial]
        if isinstance(camera, RuntimeError):
            raise camera
        return camera


def store_of(events: EventArray) -> "dv.EventStore":
    store = dv.EventStore()
    for t, x, y, p in events.tolist():
        store.push_back(t, x, y, bool(p))
    return store


def events(*t: int) -> EventArray:
    return events_from_columns(list(t), [63] * len(t), [47] * len(t), [k % 2 for k in t])


def source(module: Module, **options: Any) -> DvCamera:
    class Doubled(DvCamera):
        driver: ClassVar[Callable[[], Any]] = staticmethod(lambda: module)

    return Doubled("camera", DvCameraConfig(**options))


def test_every_event_of_the_library_is_sent() -> None:
    camera = Camera(events(1, 2, 3), events(), events(4))
    with Playing(source(Module(DXA00093=camera))) as playing:
        playing.until_events(4)
        camera.unplugged = True
        playing.until(lambda playing: kinds(playing.messages).endswith("E0"))
    start = playing.headers[0]
    assert isinstance(start, Start)
    assert (start.width, start.height, start.source) == (64, 48, "DVXplorer_DXA00093")
    assert playing.events.tobytes() == events(1, 2, 3, 4).tobytes()


def test_what_pads_the_librarys_events_is_left_out() -> None:
    words = events(1, 2).view(np.int64).reshape(-1, 2)
    words[:, 1] |= 0x55 << 40
    batch = SimpleNamespace(numpy=lambda: words.reshape(-1).view(events().dtype))
    camera = Camera()
    camera.batches = [batch]
    with Playing(source(Module(DXA00093=camera))) as playing:
        assert playing.until_events(2).events.tobytes() == events(1, 2).tobytes()


@pytest.mark.parametrize("serial", ["B2", "DVXplorer_B2"])
def test_a_camera_is_chosen_by_its_serial_or_name(serial: str) -> None:
    module = Module(A1=Camera(events(1)), B2=Camera(events(2)))
    with Playing(source(module, serial=serial)) as playing:
        assert playing.until_events(1).events["t"].tolist() == [2]


def test_a_camera_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(DeviceError) as caught:
        source(Module(A1=Camera()), serial="B2").connect()
    assert str(caught.value) == (
        "no iniVation camera 'B2' is connected, there is DVXPLORER A1; choose its serial"
    )
    with pytest.raises(DeviceError) as caught:
        source(Module()).connect()
    assert str(caught.value) == (
        "no iniVation camera is connected (see pipeline cameras); plug it in"
    )


def test_the_real_library_finds_no_camera_that_does_not_exist() -> None:
    with pytest.raises(DeviceError, match="no iniVation camera 'NONE' is connected"):
        DvCamera("camera", DvCameraConfig(serial="NONE")).connect()


def test_what_the_library_says_is_told_without_its_stack() -> None:
    said = "/project/include/discovery.hpp(88): open()\nRuntimeError: Device is busy\nStacktrace:\n"
    module = Module(A1=RuntimeError(said + " 0# 0x00 in some.so\n"))
    with pytest.raises(DeviceError) as caught:
        source(module).connect()
    assert str(caught.value) == (
        "an iniVation camera cannot be opened: Device is busy; close other programs that use it,"
        " and check its udev rules"
    )


def test_the_interval_is_set_and_known() -> None:
    camera = Camera()
    assert source(Module(A1=camera)).connect().interval_us == 10_000
    assert source(Module(A1=camera), interval_us=1000).connect().interval_us == 1000
    assert camera.interval == timedelta(milliseconds=1)


def test_a_camera_without_events_is_refused() -> None:
    with pytest.raises(DeviceError, match="DVXplorer_DXA00093: has no events, only frames"):
        source(Module(A1=Camera(frames=True))).connect()


def test_it_is_plugged_in_again() -> None:
    module = Module(A1=Camera(events(1), unplugged=True))
    with Playing(source(module)) as playing:
        playing.until(lambda playing: kinds(playing.messages).endswith("E0"))
        module.cameras["A1"] = Camera(events(2))
        playing.until_events(2)
        assert playing.account.notes["reconnections"] >= 1

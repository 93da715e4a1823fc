"""Listing what is connected, with the lines to use it by."""

import json
import re
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli.commands import app
from pipeline.errors import DeviceError
from stages.sources import cameras
from stages.sources.cameras import Camera, Found, connected_cameras, serial_of


class Dv:
    def __init__(self, *serials: str, problem: str = "") -> None:
        self.serials, self.problem = serials, problem

    def discover(self) -> list[Any]:
        if self.problem:
            raise RuntimeError(self.problem)
        model = SimpleNamespace(name="DVXPLORER")
        return [
            SimpleNamespace(cameraModel=model, serialNumber=serial, busNumber=1, devAddress=4)
            for serial in self.serials
        ]


class Neuromorphic:
    def __init__(self, *serials: str | None, problem: str = "") -> None:
        self.serials, self.problem = serials, problem

    def list_devices(self) -> list[Any]:
        if self.problem:
            raise RuntimeError(self.problem)
        return [
            SimpleNamespace(
                name=SimpleNamespace(value="Prophesee EVK4"),
                connection=SimpleNamespace(value="USB 3.0"),
                address="2:7",
                serial=serial,
                error=None if serial else "access denied",
            )
            for serial in self.serials
        ]


def fails_with(error: Exception) -> Any:
    def driver() -> Any:
        raise error

    return driver


def test_every_driver_is_asked_and_a_camera_listed_once() -> None:
    found = connected_cameras(lambda: Dv("A1"), lambda: Neuromorphic("A1", "B2", None))
    assert found == Found(
        [
            Camera("dv_camera", "DVXPLORER", "A1", "USB bus 1 device 4"),
            Camera("neuromorphic_camera", "Prophesee EVK4", "B2", "USB 3.0, 2:7"),
            Camera("neuromorphic_camera", "Prophesee EVK4", "", "USB 3.0, 2:7", "access denied"),
        ],
        ["dv-processing", "neuromorphic-drivers"],
        [],
    )


def test_a_driver_that_is_missing_or_fails_is_told() -> None:
    usb = (
        "check that this user may use USB devices; a container must be given them, as with docker"
        " run --device=/dev/bus/usb"
    )
    found = connected_cameras(lambda: Dv("A1"), lambda: Neuromorphic(problem="Other error"))
    assert [camera.serial for camera in found.cameras] == ["A1"]
    assert (found.looked, found.problems) == (
        ["dv-processing"],
        [
            "neuromorphic-drivers cannot look for cameras: Other error (libusb says no more; often"
            f" there is no USB at all); {usb}"
        ],
    )
    found = connected_cameras(lambda: Dv(problem="no USB"), fails_with(DeviceError("is missing")))
    assert found == Found(
        [], [], [f"dv-processing cannot look for cameras: no USB; {usb}", "is missing"]
    )


@pytest.mark.parametrize(
    ("package", "driver", "remedy"),
    [
        ("dv_processing", cameras.dv_driver, "install event-pipeline again"),
        (
            "neuromorphic_drivers",
            cameras.neuromorphic_driver,
            "install it with: pip install neuromorphic-drivers",
        ),
    ],
)
def test_a_package_that_is_missing_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, package: str, driver: Callable[[], Any], remedy: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    name = package.replace("_", "-")
    with pytest.raises(DeviceError, match=f"^{name} cannot be loaded: .*; {re.escape(remedy)}$"):
        driver()


def test_a_serial_is_found_by_number_or_name() -> None:
    listed = connected_cameras(lambda: Dv("A1", "B2"), lambda: Neuromorphic()).cameras
    assert serial_of(listed, None) == "A1"
    assert serial_of(listed, "B2") == "B2"
    assert serial_of(listed, "DVXplorer_B2") == "B2"
    assert serial_of(listed, "C3") is None
    assert serial_of([], None) is None


def run(monkeypatch: pytest.MonkeyPatch, found: Found, *arguments: str) -> str:
    monkeypatch.setattr(cameras, "connected_cameras", lambda: found)
    result = CliRunner().invoke(app, ["cameras", *arguments])
    assert result.exit_code == 0
    return result.stdout


def test_the_lines_to_use_a_camera_by_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [
        Camera("dv_camera", "DVXPLORER", "A1", "USB bus 1 device 4"),
        Camera("neuromorphic_camera", "Prophesee EVK4", "", "USB 3.0", "access denied"),
    ]
    assert run(monkeypatch, Found(listed, ["a driver"], ["another driver is missing"])) == (
        "DVXPLORER A1 (USB bus 1 device 4)\n"
        "    [[stage]]\n"
        '    name = "camera"\n'
        '    use = "dv_camera"\n'
        '    serial = "A1"\n'
        "Prophesee EVK4 (USB 3.0)\n"
        "    cannot be opened: access denied\n"
        "note: another driver is missing\n"
    )


def test_nothing_connected_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, Found([], ["one", "another"], [])) == (
        "one and another found no camera; plug one in, and check that you may use USB devices\n"
    )


def test_cameras_that_nobody_could_look_for_may_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run(monkeypatch, Found([], [], ["a driver is missing"]))
    assert shown == "cameras could not be looked for\nnote: a driver is missing\n"


def test_a_program_reads_json(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found([Camera("dv_camera", "DVXPLORER", "A1", "USB")], ["a driver"], ["a note"])
    assert json.loads(run(monkeypatch, found, "--json")) == {
        "cameras": [
            {
                "use": "dv_camera",
                "model": "DVXPLORER",
                "serial": "A1",
                "connection": "USB",
                "problem": "",
            }
        ],
        "looked": ["a driver"],
        "problems": ["a note"],
    }


def test_this_machine_can_be_looked_at() -> None:
    found = connected_cameras()
    assert all(camera.use and camera.model for camera in found.cameras)
    assert all(problem for problem in found.problems)

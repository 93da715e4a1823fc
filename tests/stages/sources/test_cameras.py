"""Listing what is connected, with the lines to use it by."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli.commands import app
from stages.sources import cameras
from stages.sources.cameras import Camera, Found, connected_cameras, serial_of


class Dv:
    def __init__(self, *serials: str) -> None:
        self.serials = serials

    def discover(self) -> list[Any]:
        model = SimpleNamespace(name="DVXPLORER")
        return [
            SimpleNamespace(cameraModel=model, serialNumber=serial, busNumber=1, devAddress=4)
            for serial in self.serials
        ]


class Neuromorphic:
    def __init__(self, *serials: str | None) -> None:
        self.serials = serials

    def list_devices(self) -> list[Any]:
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
        [],
    )


def test_a_driver_that_is_missing_or_fails_is_told() -> None:
    found = connected_cameras(fails_with(RuntimeError("no USB")), fails_with(ImportError("none")))
    assert found.cameras == []
    assert found.problems == [
        "dv-processing cannot look for cameras: no USB; check that this user may use USB devices;"
        " a container must be given them, as with docker run --device=/dev/bus/usb",
        "Prophesee's and other cameras need neuromorphic-drivers;"
        " install event-pipeline[prophesee]",
    ]
    broken = connected_cameras(fails_with(ImportError("none")), fails_with(RuntimeError("Other")))
    assert [problem.partition(": ")[2].partition("; ")[::2] for problem in broken.problems] == [
        ("none", "install event-pipeline again"),
        ("Other", found.problems[0].partition("; ")[2]),
    ]


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
    assert run(monkeypatch, Found(listed, ["another driver is missing"])) == (
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
    assert run(monkeypatch, Found([], [])) == (
        "no camera was found; plug one in, and check that you may use USB devices\n"
    )


def test_a_program_reads_json(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found([Camera("dv_camera", "DVXPLORER", "A1", "USB")], ["a note"])
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
        "problems": ["a note"],
    }


def test_this_machine_can_be_looked_at() -> None:
    found = connected_cameras()
    assert all(camera.use and camera.model for camera in found.cameras)
    assert all(problem for problem in found.problems)

"""The doctor: what it finds, and what it advises."""

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import CommandLine

from pipeline import doctor
from pipeline.doctor import CHECKS, Finding, examine
from stages.sources import cameras


def quick(monkeypatch: pytest.MonkeyPatch, **checks: object) -> None:
    for name in [*CHECKS]:
        if name not in checks:
            monkeypatch.delitem(CHECKS, name)
    for name, check in checks.items():
        monkeypatch.setitem(CHECKS, name, check)


def test_each_line_has_a_state_and_what_is_not_well_a_remedy() -> None:
    for name in ("python", "packages", "queues", "folders", "limits", "ka200"):
        found = [*CHECKS[name]()]
        assert found
        for finding in found:
            assert finding.said
            assert bool(finding.remedy) == (finding.state != "ok"), finding


def test_a_check_that_breaks_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Finding]:
        raise OSError("libusb.so: not found")
        yield

    quick(monkeypatch, queues=CHECKS["queues"], torch=broken)
    first, second = examine()
    assert first.state == "ok"
    assert second == ("torch", "fail", "OSError: libusb.so: not found", "install it again")


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_only_what_fails_ends_with_1(
    state: doctor.State, code: int, monkeypatch: pytest.MonkeyPatch, command_line: CommandLine
) -> None:
    found = Finding("usb", state, "a camera [x]", "" if state == "ok" else "plug it in")
    quick(monkeypatch, usb=lambda: iter([found]))
    ended = command_line("doctor", "--json")
    assert (ended.code, ended.err) == (code, "")
    assert json.loads(ended.out) == {"ok": code == 0, "findings": [found._asdict()]}
    ended = command_line("doctor")
    assert ended.code == code
    assert "a camera [x]" in ended.out
    assert ("→ plug it in" in ended.out) == (state != "ok")


def camera(devices: Path, vendor: str, product: str) -> None:
    device = devices / "1-2"
    device.mkdir(parents=True)
    for name, text in zip(
        ("idVendor", "idProduct", "busnum", "devnum"), (vendor, product, "1", "7"), strict=True
    ):
        (device / name).write_text(f"{text}\n")
    (devices / "usb1").mkdir()


def test_a_camera_that_may_not_be_opened_is_told_with_its_rule(tmp_path: Path) -> None:
    camera(tmp_path / "devices", "152a", "841a")
    nodes = tmp_path / "nodes"
    (found,) = doctor._usb(tmp_path / "devices", nodes)
    assert found.state == "fail"
    assert found.said == (
        f"an iniVation camera (152a:841a) at {nodes}/001/007 cannot be opened by this user"
    )
    assert 'ATTRS{idVendor}=="152a"' in found.remedy
    (nodes / "001").mkdir(parents=True)
    (nodes / "001" / "007").touch()
    (found,) = doctor._usb(tmp_path / "devices", nodes)
    assert (found.state, found.remedy) == ("ok", "")


def test_other_devices_are_no_cameras(tmp_path: Path) -> None:
    camera(tmp_path, "046d", "c077")
    (found,) = doctor._usb(tmp_path)
    assert found == ("usb", "ok", "no event camera is plugged in", "")
    (found,) = doctor._usb(tmp_path / "none")
    assert found.state == "warn"


def test_packages_are_held_to_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["numpy>=99.1", "no-such-thing>=1", 'no-such-extra>=2; extra == "train"', "pyzmq>=1.0"]
    monkeypatch.setattr(doctor, "requires", lambda _: [*asked, 'ruff>=99; extra == "dev"'])
    numpy, other, rest = CHECKS["packages"]()
    assert (numpy.state, numpy.remedy) == ("fail", "pip install 'numpy>=99.1'")
    assert (other.state, other.said) == ("fail", "missing: no-such-thing")
    assert rest.said.endswith("1 as they must be; extras that are not installed: train")


def test_few_files_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    first, *_ = CHECKS["limits"]()
    assert (first.state, first.said) == ("warn", "256 open files a process")


def test_extras_that_nobody_asked_for_are_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["none-a>=1", "none-a>=2", "none-b>=1", "none-c>=1", "numpy>=1"]
    extras = ["train", "train", "cluster", "interop", "interop"]
    listed = [f'{name}; extra == "{extra}"' for name, extra in zip(asked, extras, strict=True)]
    monkeypatch.setattr(doctor, "requires", lambda _: listed)
    half, whole = CHECKS["packages"]()
    assert (half.state, half.said) == ("warn", "missing: none-c (interop)")
    assert half.remedy == "pip install 'event-pipeline[interop]', where they are needed"
    assert whole.state == "ok"
    assert whole.said.endswith("; extras that are not installed: train, cluster")


@pytest.mark.parametrize("there", [False, True])
def test_what_keeps_drivers_from_looking_is_told_once_and_where_it_matters(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remedy = "check that this user may use USB devices; see Cameras"
    problems = [f"{driver} cannot look: no access; {remedy}" for driver in ("one", "another")]
    monkeypatch.setattr(cameras, "connected_cameras", lambda: cameras.Found([], [], problems))
    if there:
        camera(tmp_path, "152a", "841a")
    said = "one cannot look: no access; another cannot look: no access"
    assert [*doctor._cameras(tmp_path)] == [("cameras", "warn", said, remedy)] * there


def test_a_camera_that_may_not_be_opened_is_not_told_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = cameras.Camera("dv_camera", "DVXplorer", "DXA00093", "USB", "access denied")
    found = cameras.Found([busy], ["dv-processing"], [])
    monkeypatch.setattr(cameras, "connected_cameras", lambda: found)
    (told,) = doctor._cameras(tmp_path)
    assert (told.state, told.remedy) == ("fail", "close other programs that use it")
    camera(tmp_path, "152a", "841a")
    assert [*doctor._cameras(tmp_path)] == []

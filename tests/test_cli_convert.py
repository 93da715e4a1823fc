"""``pipeline convert``: what is written and said, and what is refused before anything is done."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine

from pipeline.events import EventArray, concatenate_events
from recordings import some_events, write_recording
from stages.formats import open_recording


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "some.aedat4", some_events())


def read(path: Path) -> EventArray:
    with open_recording(path) as reader:
        return concatenate_events([packet.events for packet in reader.packets()])


def test_it_says_what_was_written(command_line: CommandLine, path: Path) -> None:
    target = path.with_name("new") / "other.npz"
    assert command_line("convert", path, target) == (
        0,
        f"{target}: NPZ, 128×128, 5,000 events\n",
        "",
    )
    np.testing.assert_array_equal(read(target), some_events())


def test_a_part_in_seconds_and_times_from_zero(command_line: CommandLine, path: Path) -> None:
    target = path.with_name("part.aedat4")
    ended = command_line(
        "convert", path, target, "--start-s", 0.1, "--stop-s", "0.2", "--from-zero", "--json"
    )
    events = read(target)
    t = some_events()["t"] - some_events()["t"][0]
    np.testing.assert_array_equal(events["t"], t[(t >= 100_000) & (t < 200_000)] - 100_000)
    done = json.loads(ended.out)
    assert (done["events"], done["bytes"]) == (len(events), target.stat().st_size)


def test_mistakes_are_dealt_with_as_asked_and_told(command_line: CommandLine, path: Path) -> None:
    cut, target = path.with_name("cut.aedat4"), path.with_name("whole.aedat4")
    cut.write_bytes(path.read_bytes()[:20_000])
    code, out, err = command_line("convert", cut, target)
    kept = len(read(target))
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {cut}: is truncated at byte ")
    assert err.endswith(f"; {target} holds the {kept} events before it\n")
    code, out, _ = command_line("convert", cut, target, "--on-damage", "drop", "--replace")
    assert code == 0
    assert out.splitlines()[1].startswith("the recording is damaged: damaged bytes: ")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["some.aedat4"], "some.aedat4: is the recording to be read; name another file to write"),
        (["old.aedat4"], "old.aedat4: exists already; remove it or give --replace"),
        (["new.xyz"], "its name must end with the format to write: .aedat4, "),
        (["."], "is a folder; name a file in it"),
        (["new.es", "--compression", "lz4"], "--compression: must be left out for ES, got 'lz4'"),
        (["new.aedat4", "--start-s", "3", "--stop-s", "2"], "--stop-s: must be > 3, where it"),
        (["new.aedat4", "--start-s", "inf"], "--start-s: must be 0 to 1e+12 s, got inf"),
        (["new.aedat4", "--start-s", "nan"], "--start-s: must be 0 to 1e+12 s, got nan"),
        (["new.aedat4", "--stop-s", "inf"], "--stop-s: must be 0 to 1e+12 s, got inf"),
        (["new.aedat4", "--size", "640"], "--size: must be WIDTHxHEIGHT, 1 to 32768 px each, such"),
        (["new.aedat4", "--size", "0x9"], "as 640x480, got '0x9'"),
        (["n" * 300 + ".es"], "cannot be written: File name too long"),
    ],
)
def test_wrong_requests_are_refused_and_change_nothing(
    arguments: list[str],
    problem: str,
    command_line: CommandLine,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(path.parent)
    Path("old.aedat4").write_bytes(b"precious")
    before = {file: file.read_bytes() for file in Path().iterdir()}
    code, _, err = command_line("convert", "some.aedat4", *arguments)
    assert code == 2
    assert problem in err
    assert err.count("error: ") == 1
    assert {file: file.read_bytes() for file in Path().iterdir()} == before


@pytest.mark.parametrize(
    "arguments",
    [["--on-gap", "no"], ["--on-time-back", "keep"], ["--gap-us", "0"], ["--on-damage", "keep"]],
)
def test_policies_are_those_that_it_has(
    arguments: list[str], command_line: CommandLine, path: Path
) -> None:
    code, _, err = command_line("convert", path, path.with_name("new.aedat4"), *arguments)
    assert code == 2
    assert f"Invalid value for '{arguments[0]}'" in err
    assert not path.with_name("new.aedat4").exists()


def write_text(path: Path, rows: list[tuple[int, int, int, int]]) -> Path:
    path.write_text("t,x,y,p\n" + "".join(f"{t},{x},{y},{p}\n" for t, x, y, p in rows))
    return path


@pytest.mark.parametrize(
    ("rows", "arguments", "advice"),
    [
        ([(0, 1, 1, 1), (5, 200, 1, 1)], ["--on-outside", "raise"], "--on-outside drop or clamp"),
        ([(9, 1, 1, 1), (5, 2, 1, 1)], ["--on-time-back", "raise"], "--on-time-back clamp or drop"),
        ([(10**7, 1, 1, 1), (5, 2, 1, 1)], [], "--on-time-back drop"),
        ([(0, 1, 1, 1), (5, 2, 1, 7)], ["--on-unknown", "raise"], "--on-unknown drop"),
        ([(0, 1, 1, 1), (50, 2, 1, 1)], ["--on-gap", "raise", "--gap-us", 9], "--on-gap keep"),
        ([(10**15, 1, 1, 1)], [], "--from-zero"),
    ],
)
def test_what_an_error_advises_can_be_done(
    rows: list[tuple[int, int, int, int]],
    arguments: list[str],
    advice: str,
    command_line: CommandLine,
    tmp_path: Path,
) -> None:
    source, target = write_text(tmp_path / "some.csv", rows), tmp_path / "new.es"
    call = ("convert", source, target, "--size", "128x100", "--replace")
    code, _, err = command_line(*call, *arguments)
    assert code == 1
    assert f"give {advice}" in err.replace("or give", "give")
    assert "set " not in err
    if "--gap-us" in arguments:
        assert "more than --gap-us 9;" in err
    flag, *choices = advice.split()
    for choice in choices or [""]:
        if choice != "or":
            assert command_line(*call, *arguments, flag, *filter(None, [choice])).code == 0


def test_damage_is_advised_about_in_the_words_of_the_command(
    command_line: CommandLine, path: Path
) -> None:
    path.write_bytes(path.read_bytes()[:20_000])
    _, _, err = command_line("convert", path, path.with_name("new.aedat4"))
    assert "; give --on-damage drop to accept that; " in err


def test_a_size_is_given_as_it_is_printed(command_line: CommandLine, tmp_path: Path) -> None:
    source = write_text(tmp_path / "some.csv", [(0, 1, 1, 1)])
    for size in ("320x240", "320×240", "320X240"):
        ended = command_line("convert", source, tmp_path / "a.es", "--size", size, "--replace")
        assert ended.out == f"{tmp_path / 'a.es'}: ES, 320×240, 1 events\n"


def test_what_the_format_has_no_place_for_is_told(command_line: CommandLine, path: Path) -> None:
    out = command_line("convert", path, path.with_name("new.npy")).out
    assert out.splitlines()[1] == (
        "NPY has no place for the sensor's size (give --size to read it) and the camera's name"
    )


def test_a_part_behind_the_end_is_an_error(command_line: CommandLine, path: Path) -> None:
    target = path.with_name("new.aedat4")
    code, _, err = command_line("convert", path, target, "--start-s", 10)
    times = some_events()["t"]
    assert code == 1
    assert f"{path}: ends at {(times[-1] - times[0]) / 1e6:.3f} s, before the part" in err
    assert not target.exists()


def test_ctrl_c_before_any_event_leaves_the_old_recording(
    command_line: CommandLine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = path.with_name("old.aedat4")
    target.write_bytes(b"precious")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stages.formats.writer.Writer.write", stop)
    code, out, err = command_line("convert", path, target, "--replace")
    assert (code, out) == (130, "")
    assert err == f"stopped; {target} was not written; the old one is as it was\n"
    assert target.read_bytes() == b"precious"


def test_one_of_several_streams_is_chosen_and_the_others_are_told(
    command_line: CommandLine, tmp_path: Path
) -> None:
    import h5py

    source = tmp_path / "stereo.h5"
    with h5py.File(source, "w") as file:
        for side, count in (("left", 2), ("right", 3)):
            for column in "txyp":
                file[f"{side}/events/{column}"] = np.arange(count) % 2
    target = tmp_path / "new.csv"
    out = command_line("convert", source, target).out
    assert "2 events" in out
    assert "not converted: stream right/events; choose with --stream" in out
    out = command_line("convert", source, target, "--replace", "--stream", "right/events").out
    assert "3 events" in out
    assert "not converted: stream left/events; choose with --stream" in out
    out = command_line("info", source, "--stream", "right/events").out
    assert "  streams   also left/events; choose with --stream NAME\n" in out
    assert "  events    3, " in out
    err = command_line("info", source, "--stream", "up").err
    assert "has no stream 'up'; it has: left/events, right/events" in err


def test_ctrl_c_leaves_what_was_converted(
    command_line: CommandLine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = path.with_name("other.aedat4")

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    class Bar:
        def __enter__(self) -> object:
            return stop

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("pipeline.cli.progress.progress_bar", lambda label: Bar())
    code, out, err = command_line("convert", path, target)
    assert (code, out) == (130, "")
    events = read(target)
    assert err == f"stopped; {target} holds the {len(events)} events before it\n"
    assert len(events) > 0
    np.testing.assert_array_equal(events, some_events()[: len(events)])


def test_all_recordings_of_a_folder(command_line: CommandLine, path: Path) -> None:
    (path.parent / "in" / "deep").mkdir(parents=True)
    path.rename(path.parent / "in" / "deep" / "one.aedat4")
    broken = path.parent / "in" / "two.aedat4"
    broken.write_bytes(b"#!AER-DAT4.0\r\n")
    ask = ("convert", path.parent / "in", path.parent / "out", "--processes", 1)
    code, out, err = command_line(*ask, "--to", "npy")
    assert code == 1
    assert out == f"{path.parent / 'out' / 'deep' / 'one.npy'}: NPY, 5,000 events\n"
    first, *_, last = err.splitlines()
    assert first.startswith(f"error: {broken}: ")
    assert last == "error: 1 of 2 recordings could not be converted"
    broken.unlink()
    code, out, err = command_line(*ask, "--to", ".npy", "--json")
    assert (code, json.loads(out)["done"]) == (0, None)
    assert "0 recordings converted, 1 were there already; they are in" in err


def test_a_folder_to_files_that_cannot_be(command_line: CommandLine, path: Path) -> None:
    code, _, err = command_line("convert", path.parent, path.parent / "out", "--to", "wav")
    assert code == 2
    assert err.startswith("error: --to: ")
    assert "its name must end with the format to write" in err

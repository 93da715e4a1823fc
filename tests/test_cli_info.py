"""``pipeline info``: what it prints of good, damaged, several and no recordings."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from clips import write_pictures, write_video
from command_line import CommandLine
from PIL import Image
from rich.console import Console
from weights import random_weights

from pipeline.cli.progress import progress_bar
from pipeline.observe.picture import activity_lines, sparkline
from recordings import some_events, write_recording
from stages.datasets.labels import Label, write_labels

KEYS = {"format", "width", "height", "events", "t_first_us", "t_last_us", "on", "off", "quality"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "some.aedat4", some_events())


def test_json_is_one_object_a_line(command_line: CommandLine, path: Path) -> None:
    ended = command_line("info", path, path, "--json")
    first, second = map(json.loads, ended.out.splitlines())
    assert first == second
    assert set(first) >= KEYS | {"path", "source", "duration_s", "rate_mean", "rate_peak"}
    events = some_events()
    assert {key: first[key] for key in KEYS} == {
        "format": "AEDAT4",
        "width": 128,
        "height": 128,
        "events": len(events),
        "t_first_us": int(events["t"][0]),
        "t_last_us": int(events["t"][-1]),
        "on": int(events["p"].sum()),
        "off": int((events["p"] == 0).sum()),
        "quality": {"verdict": "good", "refused": {}, "notes": {}},
    }
    assert (ended.code, ended.err) == (0, "")


def test_one_recording_is_described_and_drawn(command_line: CommandLine, path: Path) -> None:
    code, out, _ = command_line("info", path)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == str(path)
    assert re.fullmatch(r"  format    AEDAT4, camera test", lines[1])
    on, t = some_events()["p"].mean(), some_events()["t"]
    assert lines[2] == "  sensor    128×128"
    assert lines[3] == f"  events    5,000, {on:.1%} ON, {5_000 * (1 - on):,.0f} OFF"
    assert lines[4] == f"  time      {t[0]} µs to {t[-1]} µs"
    assert lines[7] == "  quality   good"
    drawn = lines[9:]
    assert len(drawn) == 16
    assert all(len(line) == 2 + 32 and set(line[2:]) <= set("░▒▓█") for line in drawn)
    assert max(map(len, lines[1:])) <= 80


def test_several_are_a_table_and_a_folder_means_what_is_in_it(
    command_line: CommandLine, path: Path
) -> None:
    damaged = path.with_name("cut.aedat4")
    damaged.write_bytes(path.read_bytes()[:20_000])
    (path.parent / "notes.md").write_text("no recording")
    code, out, err = command_line("info", path.parent)
    passed_over = f"{path.parent}: passed over: files that are no recordings: 1\n"
    assert (code, err) == (0, passed_over)
    rows = [line.split() for line in out.splitlines() if "aedat4" in line]
    assert [row[0] for row in rows] == ["cut.aedat4", "some.aedat4"]
    assert [row[-1] for row in rows][1] == "good"
    assert "damaged: damaged bytes:" in " ".join(rows[0])


def test_a_broken_recording_in_a_folder_is_not_passed_over(
    command_line: CommandLine, path: Path
) -> None:
    path.with_name("empty.bin").touch()
    path.with_name("odd.raw").write_bytes(b"\xff" * 64)
    code, out, err = command_line("info", path.parent, "--json")
    assert code == 1
    assert json.loads(out)["events"] == 5_000
    assert re.findall(r"^error: .*/(\w+\.\w+): (is empty|is of no known format)", err, re.M) == [
        ("empty.bin", "is empty"),
        ("odd.raw", "is of no known format"),
    ]


def test_what_is_no_recording_is_said_and_the_others_are_shown(
    command_line: CommandLine, path: Path
) -> None:
    text, missing = path.with_name("notes.md"), path.with_name("missing.raw")
    text.write_text("no recording")
    code, out, err = command_line("info", text, path, missing, "--json")
    assert code == 1
    assert json.loads(out)["events"] == 5_000
    assert re.findall("^error: (.*?): (?:is of no known format|no such file)", err, re.M) == [
        str(text),
        str(missing),
    ]
    code, out, err = command_line("info", text)
    assert (code, out, err.count("error: ")) == (1, "", 1)


OTHERS = {
    "a.mp4": "a video of 3 frames of 32×24 pixels at 25 Hz; the stage 'video' plays it",
    "a.png": "a picture of 32×24 pixels; the stage 'images' shows it",
    "a.webp": "a picture of 32×24 pixels; the stage 'images' shows it",
    "pictures": "a folder of pictures (3); the stage 'video' plays them as the frames of one,"
    " 'images' shows each by itself",
    "videos": "a folder of videos (1); the stage 'video' plays them",
    "a.npy": "a volume of 2 slices of 4×3, int16 from -1000 to 400; the stage 'slices' plays it",
    "a.txt": "a text of 2 lines; the stage 'text' reads it",
    "a.csv": "a label file; the option `labels` of the stages 'console' and 'jsonl' takes it",
    "a.safetensors": "weights of dvs_gesture; `pipeline models show",
}


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("others")
    write_video(folder / "a.mp4", 3)
    write_video(folder / "videos" / "b.mp4", 3)
    write_pictures(folder / "pictures", [np.zeros((4, 4, 3), np.uint8)] * 3)
    for name in ("a.png", "a.webp"):
        Image.new("RGB", (32, 24)).save(folder / name)
    volume = np.zeros((2, 3, 4), np.int16)
    volume[0, 0, :2] = -1000, 400
    np.save(folder / "a.npy", volume)
    (folder / "a.txt").write_text("A good film.\n\nA bad one.\n")
    write_labels(folder / "a.csv", [Label(0, 1, 0)])
    random_weights(folder / "a.safetensors")
    return folder


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_told_what_they_are_and_what_reads_them(
    name: str, command_line: CommandLine, others: Path
) -> None:
    code, out, err = command_line("info", others / name)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {others / name}: holds no events; it is {OTHERS[name]}")


@pytest.mark.parametrize("name", OTHERS)
def test_names_alone_are_not_believed(name: str, command_line: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / name
    assert "holds no events" not in command_line("info", path).err
    path.write_bytes(b"\x00" * 7)
    assert "holds no events" not in command_line("info", path).err


def test_an_empty_recording_has_no_times(command_line: CommandLine, tmp_path: Path) -> None:
    path = write_recording(tmp_path / "none.aedat4", some_events(0))
    assert command_line("info", path).out.splitlines()[1:] == [
        "  format    AEDAT4, camera test",
        "  sensor    128×128",
        "  events    0",
        "  quality   good",
    ]
    found = json.loads(command_line("info", path, "--json").out)
    assert found["t_first_us"] is None
    assert len(command_line("info", path, path).out.splitlines()) > 3


def test_a_size_is_two_whole_numbers(command_line: CommandLine, path: Path) -> None:
    assert "64×128" not in command_line("info", path).out
    assert "128×64" in command_line("info", path, "--size", "128x64").out
    for wrong in ("0x128", "128", "128x", "128x64x2", "40000x2", "-3x4", "wide"):
        code, out, err = command_line("info", path, "--size", wrong)
        assert (code, out) == (2, "")
        assert err.startswith("error: --size: must be WIDTHxHEIGHT, 1 to 32768 px each")


def test_a_terminal_of_80_columns_has_room_for_names(
    command_line: CommandLine, tmp_path: Path
) -> None:
    names = ["2024-05-01 kitchen.aedat4", "half_a_gesture.aedat4"]
    for name in names:
        write_recording(tmp_path / name, some_events())
    (tmp_path / "measured.csv").write_text("t,x,y,p\n5,10,20,1\n")
    narrow = re.sub(r"\x1b\[\d+m", "", command_line("info", tmp_path, terminal_columns=80).out)
    assert max(map(len, narrow.splitlines())) <= 80
    assert "half_a_gesture.aedat4" in narrow
    assert "rate" not in narrow
    assert "ev/s" in command_line("info", tmp_path, terminal_columns=100).out
    # What nothing declares is marked.
    assert "11×21*" in narrow
    assert "128×128*" not in narrow
    assert narrow.endswith("* not declared: as far as seen\n")


def test_a_path_of_any_length_is_an_error_of_the_user(command_line: CommandLine) -> None:
    code, out, err = command_line("info", "n" * 300)
    assert (code, out, err.count("error: ")) == (1, "", 1)
    assert "cannot be read: File name too long" in err


def test_the_picture_shows_polarity_in_colour_and_amount_in_shades() -> None:
    picture = [[[9, 0], [0, 0], [4, 0]], [[0, 9], [0, 0], [4, 0]]]
    (top, bottom) = activity_lines(picture, colour=True)
    assert (top.plain, bottom.plain) == ("▀▀", "▀ ")
    colours = [span.style.color.triplet for span in top.spans]
    assert colours[0].red > colours[0].blue
    assert colours[1].blue > colours[1].red
    shades = [line.plain for line in activity_lines(picture, colour=False)]
    assert shades == ["▒▒", "▒ "]


def test_a_sparkline_shows_zero_as_blank_and_the_least_as_something() -> None:
    assert sparkline([0, 0.001, 1, 2, 4]) == " ▁▂▄█"
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "  "


def test_progress_is_shown_only_where_it_takes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(
        "rich.console.Console", lambda **_: Console(file=terminal, force_terminal=True)
    )
    now_s = 0.0
    monkeypatch.setattr("pipeline.cli.progress.time.monotonic", lambda: now_s)
    with progress_bar("quick [1]") as show:
        show(0.5)
        assert terminal.getvalue() == ""
        now_s = 2.0
        show(0.7)
    assert "quick [1]" in terminal.getvalue()
    assert "70%" in terminal.getvalue()

"""Opening: formats by content, every mistake one line with place, finding and remedy."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchmarks.samples import samples
from pipeline.errors import RecordingError
from pipeline.events import concatenate_events
from recordings import some_events, write_recording
from stages.formats import (
    FORMATS,
    Policies,
    create_recording,
    open_recording,
    recordings_in,
    writable_endings,
)


def class_of(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def refusal(path: Path | str) -> str:
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


CONTENTS = {
    "nothing": (b"", "is empty (0 bytes); record or copy it again"),
    "text": (
        b"hello, this is no recording\n",
        "is of no known format: it begins with b'hello, this is n'; known formats: "
        + ", ".join(FORMATS),
    ),
    "lines": (
        b"x,y\n1,2\n",
        "is of no known format: it begins with b'x,y\\n1,2\\n'; known formats: "
        + ", ".join(FORMATS),
    ),
    "AEDAT4 begun": (
        b"#!AER-DAT4.0",
        "its AEDAT4 header is damaged: it begins with b'#!AER-DAT4.0', expected"
        " b'#!AER-DAT4.0\\r\\n'; copy or record it again",
    ),
}


@pytest.mark.parametrize(("content", "text"), CONTENTS.values(), ids=CONTENTS.keys())
def test_what_is_no_recording_is_refused(content: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "named.aedat4"
    path.write_bytes(content)
    assert refusal(path) == f"{path}: {text}"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing.aedat4"
    assert refusal(missing) == f"{missing}: no such file; check the path to the recording"
    assert refusal(str(missing)) == refusal(missing)
    assert refusal(tmp_path) == f"{tmp_path}: is a folder; name a recording in it"
    below = write_recording(tmp_path / "file", some_events(10)) / "below"
    assert refusal(below) == f"{below}: cannot be read: Not a directory; check the path"
    odd = tmp_path / "odd\0"
    assert refusal(odd) == f"{odd}: cannot be read: embedded null byte; check the path"


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert refusal(pipe) == f"{pipe}: is a device or a pipe; name a file"


def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may read everything, so permissions alone would not test it everywhere.
    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write_recording(tmp_path / "closed.aedat4", some_events(10))
    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(path) == f"{path}: may not be read; check its permissions"


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    with open_recording(write_recording(tmp_path / "picture.png", some_events(10))) as reader:
        assert reader.format == "AEDAT4"


def test_the_policies_are_the_readers(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "some.aedat4", some_events(10))
    policies = Policies(on_damage="drop", gap_us=5)
    with open_recording(path) as one, open_recording(path, policies) as other:
        assert one.policies == Policies()
        assert other.policies == policies


def test_a_policy_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"on_damage\n *Input should be 'raise' or 'drop'"):
        Policies.model_validate({"on_damage": "keep"})


def test_a_size_that_is_given_overrides_the_files(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "some.aedat4", some_events(1_000), size=128)
    with open_recording(path, size=(100, 200)) as reader:
        assert (reader.height, reader.width) == (100, 200)
        events = concatenate_events([packet.events for packet in reader.packets()])
        assert events["y"].max() == 99
        assert reader.refused["outside the sensor"] == 1_000 - len(events) > 0


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, -1), (32_769, 5), (5, 100_000)])
def test_a_size_that_no_sensor_has_is_refused(size: tuple[int, int], tmp_path: Path) -> None:
    path = write_recording(tmp_path / "some.aedat4", some_events(10))
    with pytest.raises(RecordingError) as caught:
        open_recording(path, size=size)
    assert str(caught.value) == (
        f"{path}: the size must be 1 to 32768 px each, got a height of {size[0]} and a width of"
        f" {size[1]}"
    )
    open_recording(path, size=(32_768, 1)).close()


WITHOUT_STREAMS = [
    name for name, form in FORMATS.items() if not class_of(form.reader).named_streams
]


@pytest.mark.parametrize("name", WITHOUT_STREAMS)
def test_a_format_without_streams_by_name_refuses_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(next(samples(name, tmp_path)))
    with pytest.raises(RecordingError) as caught:
        open_recording(path, stream="left")
    assert str(caught.value) == (
        f"{path}: has no streams by name, {name} has none; leave out 'left'"
    )


@pytest.mark.parametrize(
    ("policies", "row"),
    [
        (Policies(on_unknown="raise"), "9,1,1,5"),
        (Policies(on_outside="raise"), "9,90,1,1"),
        (Policies(on_time_back="raise"), "2,1,1,1"),
        (Policies(on_gap="raise"), "2000009,1,1,1"),
    ],
)
def test_the_event_that_must_not_be_is_named_by_its_number(
    policies: Policies, row: str, tmp_path: Path
) -> None:
    """Counted from 1, with those that were left out before it."""
    path = tmp_path / "five.csv"
    rows = ["1,1,1,1", f"{2**62},1,1,1", "3,1,1,1", "4,1,1,1", row, "6,1,1,1"]
    path.write_text("\n".join(["# t,x,y,p width=10 height=10", *rows, ""]))
    with open_recording(path, policies) as reader:
        packets = reader.packets()
        assert len(next(packets).events) == 3
        with pytest.raises(
            RecordingError, match=r"five\.csv: event 5: its |five\.csv: event 5: it is"
        ):
            next(packets)
        assert reader.refused == {"of impossible time": 1}
        assert sum(reader.notes.values()) == 1


def test_a_new_recording_gets_the_format_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "new.AEDAT4"
    with create_recording(path, 128, 100, source="cam", options={"compression": "zstd"}) as writer:
        assert writer.format == "AEDAT4"
    with open_recording(path) as reader:
        assert (reader.size, reader.source, reader.event_count) == ((100, 128), "cam", 0)


def test_a_name_without_a_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.gif"
    with pytest.raises(RecordingError) as caught:
        create_recording(path, 128, 100)
    assert str(caught.value) == (
        f"{path}: its name must end with the format to write: {', '.join(writable_endings())}"
    )
    assert not path.exists()


def test_a_folder_means_its_recordings_and_what_is_to_be_one(tmp_path: Path) -> None:
    write_recording(tmp_path / "some", some_events(10))
    for name, content in {
        "empty.csv": b"",
        "cut.raw": b"% ev",
        "words.BIN": b"\xff" * 64,
        "labels.csv": b"0,left\n",
        "README.txt": b"how they were made\n",
        ".gitkeep": b"",
        "picture.png": b"\x89PNG",
    }.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "below.raw").mkdir()
    found = recordings_in(tmp_path)
    names = [path.name for path in found.recordings]
    assert names == sorted(["cut.raw", "empty.csv", "some", "words.BIN"])
    assert found.passed_over == 4
    assert recordings_in(tmp_path / "some") == ([tmp_path / "some"], 0)


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    long = tmp_path / ("a" * 300)
    for look in (recordings_in, open_recording):
        with pytest.raises(RecordingError) as caught:
            look(long)
        assert str(caught.value) == f"{long}: cannot be read: File name too long; check the path"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_its_classes(name: str) -> None:
    form = FORMATS[name]
    for place in filter(None, (form.reader, form.writer)):
        formats = {name, *(k for k, v in FORMATS.items() if v.reader == form.reader)}
        assert class_of(place).format in formats
    assert (form.writer is None) == (not form.endings)


def test_importing_loads_nothing_heavy() -> None:
    heavy = ["numba", "torch", "lz4", "zstandard", "dv_processing", "stages.formats.aedat.aedat4"]
    code = f"import sys, stages.formats; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""The record sink: the file holds what came in, however it was cut; what it cannot is counted."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from crashes import after_crash, dies, undisturbed
from disk import disk_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streams import account, cuts, event_arrays, recording, through

from pipeline.errors import RecordingError, StageError
from pipeline.events import EventArray, concatenate_events, empty_events, events_from_columns
from pipeline.messages import Message
from pipeline.ports import EventsPort
from pipeline.stage import Account, PortError
from recordings import some_events
from stages.formats import open_recording, writable_endings, writer_of
from stages.sinks.record import Record, RecordConfig

SIZE = 128


def record(path: Path, size: int = SIZE, **options: Any) -> Record:
    return Record("file", RecordConfig(path=path, **options), [EventsPort(size, size)])


def stream(events: EventArray, cuts: Sequence[int] = (), epoch: int = 0) -> Iterator[Message]:
    for message in recording(events, cuts, SIZE, SIZE):
        yield Message(msgspec.structs.replace(message.header, epoch=epoch), message.array)


def read(path: Path) -> EventArray:
    with open_recording(path) as reader:
        assert (reader.width, reader.height, reader.source) == (SIZE, SIZE, "test")
        return concatenate_events([packet.events for packet in reader.packets()])


@settings(max_examples=30)
@given(events=event_arrays(span_us=300_000), cuts=cuts())
def test_the_file_is_the_same_however_the_stream_is_cut(
    events: EventArray, cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "cut"
    one, other = folder / "one.aedat4", folder / "other.aedat4"
    through([record(one, if_exists="replace")], stream(events))
    through([record(other, if_exists="replace")], stream(events, cuts))
    np.testing.assert_array_equal(read(one), events)
    assert one.read_bytes() == other.read_bytes()


def test_a_quiet_camera_s_events_are_written_when_time_has_passed(tmp_path: Path) -> None:
    path = tmp_path / "live.aedat4"
    stage = record(path)
    stage.open()
    begin, events, _ = stream(some_events(100, 50_000))
    state = stage.start(begin.header)
    for wait_us in (0, 50_000, 100_000):
        reached = int(some_events(100, 50_000)["t"][0]) + wait_us
        header = msgspec.structs.replace(events.header, watermark_us=reached)
        state = stage.write(state, Message(header, events.array if not wait_us else empty_events()))
        assert path.exists() == (wait_us == 100_000)
    assert stage.account(state) == Account.one_to_one(100, "events", "events")
    stage.close()


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_compression_is_what_was_asked_for(compression: str, tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    through([record(path, compression=compression)], stream(some_events()))
    np.testing.assert_array_equal(read(path), some_events())
    plain = len(some_events()) * 16
    assert (path.stat().st_size > plain) == (compression == "none")


def test_each_recording_gets_a_file_of_its_own(tmp_path: Path) -> None:
    stage = record(tmp_path / "new" / "some.aedat4")
    parts = [some_events(50, seed=seed) for seed in range(3)]
    through([stage], (m for k, part in enumerate(parts) for m in stream(part, epoch=k)))
    names = ["some-001.aedat4", "some-002.aedat4", "some.aedat4"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    for name, part in zip(["some.aedat4", *names], parts, strict=False):
        np.testing.assert_array_equal(read(tmp_path / "new" / name), part)


def test_an_existing_file_is_refused_replaced_or_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    through([record(path)], stream(some_events(10)))
    with pytest.raises(PortError, match=r"some.aedat4 exists already; remove it or set if_exists"):
        record(path).port()
    with pytest.raises(StageError, match=r"some.aedat4 exists already; remove it or set if_exists"):
        through([record(path)], stream(some_events(20)))
    assert len(read(path)) == 10
    through([record(path, if_exists="number")], stream(some_events(20)))
    through([record(path, if_exists="number")], stream(some_events(30)))
    lengths = [len(read(path.with_stem(stem))) for stem in ("some", "some-001", "some-002")]
    assert lengths == [10, 20, 30]
    through([record(path, if_exists="replace")], stream(some_events(40)))
    assert len(read(path)) == 40


def test_a_run_that_ends_before_any_event_leaves_what_was_there(tmp_path: Path) -> None:
    old, new = tmp_path / "old.aedat4", tmp_path / "new.aedat4"
    old.write_bytes(b"precious")
    for path in (old, new):
        stage = record(path, if_exists="replace")
        stage.open()
        stage.start(next(stream(some_events(10))).header)
        stage.close()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {old.name: b"precious"}


def test_events_that_the_format_cannot_hold_leave_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "old.es"
    path.write_bytes(b"precious")
    with pytest.raises(RecordingError, match="ES counts time from 0"):
        through([record(path, if_exists="replace")], stream(some_events(10)))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {path.name: b"precious"}


def test_numbered_files_keep_clear_of_one_that_is_about_to_have_events(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    first = record(path, if_exists="number")
    first.open()
    first.start(next(stream(some_events(10))).header)
    through([record(path, if_exists="number")], stream(some_events(20)))
    first.close()
    assert [file.name for file in tmp_path.iterdir()] == ["some-001.aedat4"]


@given(events=event_arrays(ordered=False), cuts=cuts())
def test_events_that_go_back_in_time_are_refused_and_counted(
    events: EventArray, cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "back.aedat4"
    stage = record(path, if_exists="replace")
    counts = account(stage, stream(events, cuts))
    latest = np.maximum.accumulate(events["t"]) if len(events) else events["t"]
    back = int((events["t"] < latest).sum())
    np.testing.assert_array_equal(read(path), events[events["t"] == latest])
    assert counts.taken == len(events)
    assert counts.used == len(events) - back
    assert counts.refused == ({"going back in time": back} if back else {})


@pytest.mark.parametrize(
    ("name", "options", "key", "problem"),
    [
        ("some.xyz", {}, "path", r"its name must end with the format to write: \.aedat4"),
        ("some.aedat4", {"compression": "gzip"}, "compression", "must be one of none, lz4, .* for"),
        ("", {}, "path", "is a folder; name a file in it"),
        ("file/some.aedat4", {}, "path", "nothing can be written in"),
        ("some.aedat", {"size": 100}, "path", r"AEDAT 2\.0 has no chip of 100×100 px"),
        ("some.evt2", {"size": 3000}, "path", "EVT2 has room for 2048×2048 px, got 3000×3000"),
        ("s" * 300 + ".es", {}, "path", "cannot be written: File name too long"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_run(
    name: str, options: dict[str, Any], key: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PortError, match=problem) as caught:
        record(tmp_path / name, **options).port()
    assert caught.value.key == key


def test_a_full_disk_is_one_clear_error_and_what_was_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    with disk_of(25_000), pytest.raises(RecordingError, match=r"cannot be written: File too large"):
        through([record(path)], stream(some_events()))
    with open_recording(path) as reader:
        events = concatenate_events([packet.events for packet in reader.packets()])
    assert 0 < len(events) < len(some_events())
    np.testing.assert_array_equal(events, some_events()[: len(events)])


def test_times_that_no_recording_can_hold_are_counted(tmp_path: Path) -> None:
    events = events_from_columns([0, 5, 2**62], [1, 2, 3], [1, 2, 3], [0, 1, 0])
    counts = account(record(tmp_path / "some.aedat4"), stream(events))
    assert (counts.used, counts.refused) == (2, {"of impossible time": 1})


def recordings(turns: int = 3) -> list[Message]:
    """Several recordings, each of a second and cut into a few messages."""
    messages: list[Message] = []
    for epoch in range(turns):
        events = some_events(600, 1_000_000, seed=epoch)
        events["t"] -= events["t"][0]
        messages += stream(events, (50, 51, 250, 251, 400), epoch)
    return messages


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def begun_with(folder: Path, names: Sequence[str], ending: str) -> Path:
    """Return a file to write in a new folder, in which old ones are."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in names:
        (folder / f"{name}{ending}").write_bytes(b"precious")
    return folder / f"some{ending}"


ENDINGS = {writer_of(f"some{ending}").format: ending for ending in writable_endings()}.values()
FORMS = [
    (ending, compression)
    for ending in ENDINGS
    for compression in writer_of(f"some{ending}").compressions or (None,)
]


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, 24),
    more=st.integers(0, 10),
    if_exists=st.sampled_from(["refuse", "replace", "number"]),
    closes=st.booleans(),
)
@pytest.mark.parametrize(("ending", "compression"), FORMS)
def test_a_crash_changes_nothing_of_the_files(
    ending: str,
    compression: str | None,
    cut: int,
    more: int,
    if_exists: str,
    closes: bool,
    tmp_path: Path,
) -> None:
    options = {"compression": compression, "if_exists": if_exists}
    old = [] if if_exists == "refuse" else ["some", "some-002"]
    whole, other = (begun_with(tmp_path / name, old, ending) for name in ("whole", "crashed"))
    messages = recordings()
    undisturbed(lambda: record(whole, **options), messages)
    past = dies(lambda: record(other, **options), messages[: cut + more], [cut], closes)
    after_crash(lambda: record(other, **options), past[-1], messages)
    assert content(other.parent) == content(whole.parent)


@pytest.mark.parametrize("ending", [".aedat4", ".raw", ".h5"])
def test_it_may_be_killed_at_any_moment_and_as_often_as_it_likes(
    ending: str, tmp_path: Path
) -> None:
    messages = recordings(12)
    whole, other = (begun_with(tmp_path / name, [], ending) for name in ("whole", "crashed"))
    begun = time.perf_counter()
    assert dies(lambda: record(whole), messages, [], True)
    lasts_s = time.perf_counter() - begun
    saved = dies(lambda: record(other), [], [])[-1]
    for within_s in (np.random.default_rng(5).uniform(0.2, 1.2, 10) * lasts_s).tolist():
        points = range(0, len(messages), 5)
        past = dies(lambda: record(other), messages, points, True, within_s, saved)
        saved = past[-1] if past else saved
    after_crash(lambda: record(other), saved, messages)
    assert content(other.parent) == content(whole.parent)


def halved(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def touched(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-40] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("spoil", "how"), [(Path.unlink, "removed"), (halved, "shortened"), (touched, "changed")]
)
@pytest.mark.parametrize("ending", [".aedat4", ".csv", ".h5"])
def test_a_file_that_is_not_what_it_was_is_refused(
    ending: str, spoil: Callable[[Path], None], how: str, tmp_path: Path
) -> None:
    path = tmp_path / f"some{ending}"
    messages = recordings()
    saved = dies(lambda: record(path), messages[:6], [6])[-1]
    spoil(path if path.exists() else path.with_name(f"{path.name}.part"))
    with pytest.raises(
        RecordingError, match=f"was {how} since the checkpoint: .*, so the run cannot"
    ):
        after_crash(lambda: record(path), saved, messages)


def test_files_of_another_run_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    messages = recordings()
    saved = dies(lambda: record(path, if_exists="number"), messages[:6], [6])[-1]
    through([record(path, if_exists="number")], stream(some_events(20)))
    after_crash(lambda: record(path, if_exists="number"), saved, messages)
    lengths = [len(read(tmp_path / name)) for name in content(tmp_path)]
    assert lengths == [20, 600, 600, 600], "the other run's has its name and its events"


def test_a_full_disk_harms_nothing_that_is_committed(tmp_path: Path) -> None:
    whole, other = (begun_with(tmp_path / name, [], ".aedat4") for name in ("whole", "crashed"))
    messages = recordings()
    undisturbed(lambda: record(whole), messages)
    saved = dies(lambda: record(other), messages[:5], [5])[-1]
    room = other.stat().st_size + 100
    with disk_of(room), pytest.raises(RecordingError, match="cannot be written: File too large"):
        after_crash(lambda: record(other), saved, messages)
    after_crash(lambda: record(other), saved, messages)
    assert content(other.parent) == content(whole.parent)

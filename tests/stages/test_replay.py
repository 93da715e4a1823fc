"""Replay: a recording played at any speed, in any batches, from any place."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import rows, through

from pipeline.config import parse_config
from pipeline.errors import ConfigError, RecordingError
from pipeline.events import EventArray, concatenate_events, empty_events, events_from_columns
from pipeline.graph import build_graph
from pipeline.messages import EndRecording, Events, Message, Start
from pipeline.stage import Account, PortError
from recordings import START_US, some_events, write_recording
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.formats.aedat.aedat4_writer import Aedat4Writer
from stages.sources.replay import Replay, ReplayConfig, ReplayState


def replay(path: Path | list[Path], **options: Any) -> Replay:
    return Replay("camera", ReplayConfig(**{"path": path, **options}))


def events_of(messages: list[Message]) -> EventArray:
    return concatenate_events([m.array for m in messages if isinstance(m.header, Events)])


def messages_of(source: Replay, state: ReplayState | None = None) -> list[Message]:
    played = source.play(source.initial_state() if state is None else state)
    return [message for turn in played for message in turn.messages]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("replay") / "some.aedat4", some_events())


@pytest.mark.parametrize("options", [{}, {"batch_events": 1}, {"batch_events": 7}, {"speed": 2.0}])
def test_every_event_is_sent_once_and_in_order(path: Path, options: dict[str, Any]) -> None:
    messages = messages_of(replay(path, **options))
    start, *_, end = (message.header for message in messages)
    assert isinstance(start, Start)
    assert (start.width, start.height, start.t_first_us) == (128, 128, some_events()["t"][0])
    assert isinstance(end, EndRecording)
    np.testing.assert_array_equal(events_of(messages), some_events())


def test_batches_are_as_large_as_asked(path: Path) -> None:
    sizes = [len(m.array) for m in messages_of(replay(path, batch_events=700)) if len(m.array)]
    assert sizes == [700] * 7 + [100]


@settings(max_examples=25)
@given(stop=st.integers(0, 60), speed=st.sampled_from([0.0, 3.0]), batch=st.sampled_from([97, 900]))
def test_it_resumes_from_the_place_behind_any_message(
    path: Path, stop: int, speed: float, batch: int
) -> None:
    source = replay(path, speed=speed, batch_events=batch)
    before: list[Message] = []
    state = source.initial_state()
    for number, turn in enumerate(source.play(state)):
        if number > stop:
            break
        before += turn.messages
        state = turn.state
    behind = messages_of(replay(path, speed=speed, batch_events=batch), state)
    np.testing.assert_array_equal(events_of(before + behind), some_events())
    assert sum(isinstance(m.header, Start) for m in before + behind) == 1
    assert sum(isinstance(m.header, EndRecording) for m in before + behind) == 1


def test_paced_slices_are_due_in_order_and_hold_what_is_due(path: Path) -> None:
    first_us, last_us = int(some_events()["t"][0]), int(some_events()["t"][-1])
    dues = []
    source = replay(path, speed=1.0)
    for turn in source.play(source.initial_state()):
        for message in turn.messages:
            if isinstance(message.header, Events):
                assert turn.due_us is not None
                assert message.header.watermark_us <= turn.due_us
                if len(message.array):
                    assert turn.due_us - 1000 <= message.array["t"][0]
                    assert message.array["t"][-1] <= turn.due_us
                dues.append(turn.due_us)
    assert dues == sorted(dues)
    assert dues[-1] == last_us
    assert len(dues) >= (last_us - first_us) // 1000


@pytest.mark.parametrize("start_us", [0, 300])
def test_a_window_is_known_to_be_over_when_its_end_is_due(tmp_path: Path, start_us: int) -> None:
    """Slices are counted from where the grid of the windows is, not from a round time."""
    t = np.arange(0, 12_000, 100) + 123_456
    events = events_from_columns(t, t % 7, t % 5, t % 2)
    recording = write_recording(tmp_path / "odd.aedat4", events)
    source = replay(recording, speed=1.0, start_us=start_us, batch_events=33)
    turns = source.play(source.initial_state())
    closes = {
        message.header.watermark_us: turn.due_us
        for turn in turns
        for message in turn.messages
        if isinstance(message.header, Events)
    }
    ends_us = 123_456 + start_us + np.array([3_000, 6_000, 9_000])
    assert [closes[end_us] for end_us in ends_us] == [*ends_us]


def test_what_a_replay_opens_with_is_not_taken_from_what_it_plays(path: Path) -> None:
    source = replay(path)
    source.open()
    np.testing.assert_array_equal(events_of(messages_of(source)), some_events())
    replay(path.with_name("gone.aedat4")).open()  # told when it is played


def test_the_watermark_of_a_paced_gap_goes_on_but_not_past_the_last_event(tmp_path: Path) -> None:
    events = events_from_columns(np.array([0, 10_500]) + START_US, [1, 2], [1, 2], [0, 1])
    source = replay(write_recording(tmp_path / "gap.aedat4", events), speed=1.0)
    marks = [m.header.watermark_us for m in messages_of(source) if isinstance(m.header, Events)]
    assert marks == [START_US + 1000 * k for k in range(1, 11)] + [START_US + 10_500]


def test_a_recording_without_events_starts_and_ends(tmp_path: Path) -> None:
    source = replay(write_recording(tmp_path / "empty.aedat4", empty_events()))
    assert [type(m.header) for m in messages_of(source)] == [Start, EndRecording]


def test_a_truncated_recording_is_played_to_the_cut(path: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.aedat4"
    cut.write_bytes(path.read_bytes()[:20_000])
    source = replay(cut)
    messages: list[Message] = []
    turns = (turn.messages for turn in source.play(source.initial_state()))
    with pytest.raises(RecordingError, match=r"cut\.aedat4: is truncated at byte \d+; the \d{4}"):
        messages.extend(message for turn in turns for message in turn)
    heard = events_of(messages)
    assert 1000 < len(heard) < 5000
    np.testing.assert_array_equal(heard, some_events()[: len(heard)])
    assert isinstance(messages[-1].header, EndRecording)
    dropped = events_of(messages_of(replay(cut, on_damage="drop")))
    np.testing.assert_array_equal(dropped, heard)


def test_events_of_impossible_time_are_refused_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "odd.aedat4"
    with Aedat4Writer(path, 128, 128, compression="none") as writer:
        writer.write(events_from_columns([3, 5, 7], [1, 2, 3], [1, 2, 3], [0, 1, 1]))
    three, seven = (struct.pack("<qhh", t, x, x) for t, x in ((3, 1), (7, 3)))
    odd = path.read_bytes().replace(three, struct.pack("<qhh", -(2**63), 1, 1))
    path.write_bytes(odd.replace(seven, struct.pack("<qhh", 2**63 - 1, 3, 3)))
    source = replay(path, batch_events=1)
    *_, last = source.play(source.initial_state())
    account = source.account(last.state)
    assert (account.taken, account.used) == (3, 1)
    assert account.refused == {"of impossible time": 2}


def test_what_is_no_recording_is_refused_by_the_check(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="no such file; check the path to the recording") as caught:
        replay(tmp_path / "missing.aedat4").port()
    assert caught.value.key == "path"


def test_the_files_own_count_is_held_against_what_was_sent(path: Path, tmp_path: Path) -> None:
    def account(source: Replay) -> Account:
        *_, last = source.play(source.initial_state())
        return source.account(last.state)

    whole = account(replay(path))
    assert (whole.made, whole.due) == (5000, 5000)
    damaged = tmp_path / "damaged.aedat4"
    content = bytearray(path.read_bytes())
    content[20_000:20_100] = bytes(100)
    damaged.write_bytes(content)
    rest = account(replay(damaged, on_damage="drop"))
    assert rest.taken == 5000
    assert 0 < rest.refused["in damaged parts"] < 5000
    assert rest.made == rest.due == 5000 - rest.refused["in damaged parts"]


def starts_of(messages: list[Message]) -> list[Start]:
    return [m.header for m in messages if isinstance(m.header, Start)]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three recordings, and files that are none."""
    folder = tmp_path_factory.mktemp("three")
    for number in range(3):
        events = some_events(200 + number, span_us=10_000, seed=number)
        events["t"] += 1000 * number
        write_recording(folder / f"{number}.aedat4", events)
    (folder / "labels.tsv").write_text("0\tleft\n")
    (folder / "below").mkdir()
    return folder


def test_a_folder_is_played_by_name_an_epoch_each(three: Path) -> None:
    messages = messages_of(replay(three))
    assert [Path(start.source).name for start in starts_of(messages)] == [
        "0.aedat4",
        "1.aedat4",
        "2.aedat4",
    ]
    assert [start.epoch for start in starts_of(messages)] == [0, 1, 2]
    assert [start.shift_us for start in starts_of(messages)] == [0, 0, 0]
    per_epoch = [
        sum(len(m.array) for m in messages if m.header.epoch == epoch) for epoch in range(3)
    ]
    assert per_epoch == [200, 201, 202]


def test_a_list_of_files_and_folders_is_played_in_its_order(three: Path) -> None:
    messages = messages_of(replay([three / "2.aedat4", three]))
    names = [Path(start.source).stem for start in starts_of(messages)]
    assert names == ["2", "0", "1", "2"]


def test_a_loop_shifts_time_and_marks_epochs(path: Path) -> None:
    events = some_events()
    messages = messages_of(replay(path, loop=3))
    starts = starts_of(messages)
    span_us = int(events["t"][-1] - events["t"][0]) + 1
    assert [start.epoch for start in starts] == [0, 1, 2]
    assert [start.shift_us for start in starts] == [0, span_us, 2 * span_us]
    assert [start.t_first_us for start in starts] == [
        int(events["t"][0]) + k * span_us for k in range(3)
    ]
    heard = events_of(messages)
    assert len(heard) == 3 * len(events)
    assert (np.diff(heard["t"]) >= 0).all()
    for k in range(3):
        again = heard[k * len(events) : (k + 1) * len(events)].copy()
        again["t"] -= k * span_us
        np.testing.assert_array_equal(again, events)
    account = last_account(replay(path, loop=3))
    assert account.made == account.due == 15_000


def test_joined_recordings_are_one(three: Path) -> None:
    messages = messages_of(replay(three, join=True, loop=2))
    assert len(starts_of(messages)) == 1
    assert sum(isinstance(m.header, EndRecording) for m in messages) == 1
    assert {m.header.epoch for m in messages} == {0}
    times = events_of(messages)["t"]
    assert len(times) == 2 * (200 + 201 + 202)
    assert (np.diff(times) >= 0).all()


def test_an_endless_loop_of_nothing_is_refused(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "empty.aedat4", empty_events())
    with pytest.raises(RecordingError, match="holds no event to play for ever; set loop = 1"):
        messages_of(replay(path, loop=0))


def last_account(source: Replay) -> Account:
    *_, last = source.play(source.initial_state())
    return source.account(last.state)


@pytest.mark.parametrize("speed", [0.0, 5.0])
@pytest.mark.parametrize(("start_us", "stop_us"), [(0, 100_000), (123_456, None), (200, 201_000)])
def test_a_span_is_counted_from_the_first_event(
    path: Path, start_us: int, stop_us: int | None, speed: float
) -> None:
    events = some_events()
    since_us = events["t"] - events["t"][0]
    inside = (since_us >= start_us) & (since_us < (10**9 if stop_us is None else stop_us))
    source = replay(path, start_us=start_us, stop_us=stop_us, speed=speed, batch_events=300)
    messages = messages_of(source)
    np.testing.assert_array_equal(events_of(messages), events[inside])
    assert starts_of(messages)[0].t_first_us == int(events["t"][0]) + start_us
    account = last_account(source)
    assert account.taken == account.made == inside.sum()
    assert account.due is None


@settings(max_examples=25)
@given(stop=st.integers(0, 40), options=st.sampled_from(["loop", "join", "span", "folder"]))
def test_it_resumes_within_loops_spans_and_folders(three: Path, stop: int, options: str) -> None:
    chosen: dict[str, Any] = {
        "loop": {"path": three / "1.aedat4", "loop": 3},
        "join": {"path": three, "join": True, "loop": 2},
        "span": {"path": three, "start_us": 2000, "stop_us": 8000},
        "folder": {"path": three},
    }[options]
    source = replay(batch_events=37, **chosen)
    whole = events_of(messages_of(source))
    before: list[Message] = []
    state = source.initial_state()
    for number, turn in enumerate(source.play(state)):
        if number > stop:
            break
        before += turn.messages
        state = turn.state
    behind = messages_of(replay(batch_events=37, **chosen), state)
    np.testing.assert_array_equal(events_of(before + behind), whole)
    for turn in source.play(state):
        state = turn.state
    assert source.account(state).made == len(whole)


def test_a_stop_before_the_start_is_refused_by_the_check(path: Path) -> None:
    with pytest.raises(PortError, match="must be > start_us = 5, got 5") as caught:
        replay(path, start_us=5, stop_us=5).port()
    assert caught.value.key == "stop_us"


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (32_769, 5), (5, -1)])
def test_a_size_that_no_sensor_has_is_refused_by_the_check(
    path: Path, size: tuple[int, int]
) -> None:
    camera = {"name": "camera", "use": "replay", "path": str(path), "size": list(size)}
    with pytest.raises(ConfigError, match=r"stage\.camera\.size\.[01]: must be [<>]= .*, got"):
        build_graph(parse_config({"stage": [camera]}, path))


def test_a_stream_that_a_recording_has_not_is_refused_by_the_check(tmp_path: Path) -> None:
    """Also where only one of several has it not."""
    named = write_recording(tmp_path / "a.aedat4", some_events(10))
    nameless = tmp_path / "b.csv"
    nameless.write_text("t,x,y,p\n1,2,3,1\n")
    replay(named, stream="events").port()
    with pytest.raises(PortError, match="has no stream of events 'other'; name the stream"):
        replay(named, stream="other").port()
    with pytest.raises(PortError, match=r"b\.csv: has no streams by name, CSV has none") as caught:
        replay([named, nameless], stream="events").port()
    assert caught.value.key == "path"


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none here\n")
    with pytest.raises(PortError, match="holds no recording of a known format"):
        replay(tmp_path).port()


@pytest.mark.parametrize(
    ("place", "pattern"),
    [("ann/1.aedat4", "*/*.aedat4"), ("ann/monday/1.aedat4", "*/*/*.aedat4"), ("ann/1", "*/*")],
)
def test_a_folder_whose_folders_hold_recordings_tells_their_pattern(
    place: str, pattern: str, tmp_path: Path
) -> None:
    (tmp_path / place).parent.mkdir(parents=True)
    write_recording(tmp_path / place, some_events(10))
    (tmp_path / "notes.txt").write_text("none here\n")
    (tmp_path / "ann" / "notes.txt").write_text("how they were made\n")
    (tmp_path / "ann" / "back").symlink_to(tmp_path)
    with pytest.raises(PortError) as caught:
        replay(tmp_path).port()
    assert str(caught.value) == (
        f"{tmp_path}: holds no recording of a known format; its folders do, name"
        f" {tmp_path / pattern}"
    )
    replay(tmp_path / pattern).port()


@pytest.mark.parametrize("path", ["one.aedat4", ["other.aedat4", "one.aedat4"], "."])
def test_what_is_played_cannot_be_written_over(path: Any, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_recording(tmp_path / f"{name}.aedat4", some_events(10))
    camera = {"name": "camera", "use": "replay", "path": path}
    record = {"name": "copy", "use": "record", "path": "one.aedat4", "if_exists": "replace"}
    config = parse_config({"stage": [camera, record]}, tmp_path / "p.toml")
    with pytest.raises(ConfigError, match=r"which is stage\.camera\.path; name"):
        build_graph(config)


def test_each_recording_has_watermarks_of_its_own(tmp_path: Path) -> None:
    # The clocks of recordings begin where they like: here every one at the same time.
    for number in range(3):
        write_recording(tmp_path / f"{number}.aedat4", some_events(500, seed=number))
    source = replay(tmp_path, batch_events=50)
    messages = messages_of(source)
    for m in messages:
        if isinstance(m.header, Events):
            assert m.header.watermark_us == m.header.t_last_us
    stage = TimeBin("bins", TimeBinConfig(window_us=25_000), [source.port()])
    assert rows(through([stage], messages)).sum() == 1500


def test_a_folder_is_played_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for name in ("tape-10", "tape-2", "tape", "tape-001"):
        write_recording(tmp_path / f"{name}.aedat4", some_events(5))
    names = [Path(start.source).stem for start in starts_of(messages_of(replay(tmp_path)))]
    assert names == ["tape", "tape-001", "tape-2", "tape-10"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of classes, as many data sets have them."""
    folder = tmp_path_factory.mktemp("digits")
    for k, name in enumerate(["10/2.aedat4", "10/10.aedat4", "2/1.aedat4", "2/deep/3.aedat4"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_recording(folder / name, some_events(50, seed=k))
    (folder / "2" / "README.txt").write_text("no recording\n")
    return folder


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*/*", ["2/1.aedat4", "10/2.aedat4", "10/10.aedat4"]),
        ("1?/1*.aedat4", ["10/10.aedat4"]),
        ("**/*", ["2/1.aedat4", "2/deep/3.aedat4", "10/2.aedat4", "10/10.aedat4"]),
    ],
)
def test_a_pattern_is_played_by_name(digits: Path, pattern: str, names: list[str]) -> None:
    source = replay(digits / pattern)
    assert (source.port().width, source.port().height) == (128, 128)
    found = [str(Path(s.source).relative_to(digits)) for s in starts_of(messages_of(source))]
    assert found == names


def test_joined_recordings_of_several_folders_are_said_to_be_of_what_these_share(
    digits: Path,
) -> None:
    (start,) = starts_of(messages_of(replay(digits / "*" / "*", join=True)))
    assert start.source == str(digits)
    (start,) = starts_of(messages_of(replay(digits / "10", join=True)))
    assert start.source == str(digits / "10" / "2.aedat4")


def test_a_pattern_without_recordings_is_refused(digits: Path) -> None:
    with pytest.raises(PortError, match=r"\*\.txt: matches 1 files and no recording of a known"):
        replay(digits / "*" / "*.txt").port()


def test_a_name_that_looks_like_a_pattern_is_a_name(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "take [1].aedat4", some_events(50))
    assert len(events_of(messages_of(replay(path)))) == 50


def test_recordings_that_cannot_be_read_are_skipped_if_that_is_wanted(tmp_path: Path) -> None:
    for number in (1, 3, 4):
        write_recording(tmp_path / f"{number}.aedat4", some_events(3000, seed=number))
    (tmp_path / "0.aedat4").write_bytes(b"")
    cut = tmp_path / "3.aedat4"
    cut.write_bytes(cut.read_bytes()[:20_000])
    with pytest.raises(PortError, match=r"0\.aedat4: is empty"):
        replay(tmp_path).port()

    source = replay(tmp_path, on_error="skip")
    source.port()
    turns = list(source.play(source.initial_state()))
    messages = [message for turn in turns for message in turn.messages]
    assert [Path(start.source).stem for start in starts_of(messages)] == ["1", "3", "4"]
    assert sum(isinstance(m.header, EndRecording) for m in messages) == 3
    empty, short = (turn.remark for turn in turns if turn.remark)
    assert "0.aedat4: is empty" in empty
    assert empty.endswith("; going on with the next recording")
    assert "3.aedat4: is truncated" in short
    account = source.account(turns[-1].state)
    assert account.notes["recordings skipped"] == account.notes["recordings cut short"] == 1
    assert 6000 < account.made == len(events_of(messages)) < 9000
    assert account.due is None

    for number, turn in enumerate(turns):
        rest = [m for later in turns[number + 1 :] for m in later.messages]
        resumed = messages_of(replay(tmp_path, on_error="skip"), turn.state)
        assert len(events_of(resumed)) == len(events_of(rest))


def test_recordings_that_are_all_broken_are_refused_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "0.aedat4").write_bytes(b"")
    with pytest.raises(PortError, match=r"0\.aedat4: is empty"):
        replay(tmp_path, on_error="skip").port()
    with pytest.raises(PortError, match='must be "raise" where recordings are joined') as caught:
        replay(tmp_path, on_error="skip", join=True).port()
    assert caught.value.key == "on_error"

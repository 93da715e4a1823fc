"""Spools: what a device hands over is on the disk, is played from there, never miscounted."""

import os
import signal
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk import disk_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import Playing, Scripted, kinds
from spools import as_bytes, going_on, kept, source_of, spooling

from pipeline.errors import DeviceError
from pipeline.events import EventArray, events_from_columns
from stages.sources import capture, spool_feed
from stages.sources.spool_folder import SpoolFolder

MANY = 20_000


def events(*t: int, x: int = 1) -> EventArray:
    return events_from_columns(list(t), [x] * len(t), [2] * len(t), [1] * len(t))


def many(begin: int = 0) -> EventArray:
    t = np.arange(begin, begin + MANY)
    return events_from_columns(t, t % 8, t % 6, t % 2)


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_FIRST_RETRY_S", 0.001)


def segments(spool: Path) -> list[Path]:
    folder = SpoolFolder(spool)
    return [folder.segment(number) for number in folder.numbers()]


def received(count: int) -> Any:
    """Whether so many events have come, and are in the spool or counted as lost."""
    return lambda playing: playing.source._tally.received == count


def all_accounted(playing: Playing) -> bool:
    return "not sent when the run was stopped" not in playing.account.refused


def test_what_the_device_hands_over_is_spooled_and_sent(tmp_path: Path) -> None:
    device = Scripted()
    device.script.put(events(10, 20))
    device.script.put(events(30))
    source = source_of(tmp_path / "spool", device)
    with spooling(source), Playing(source) as playing:
        playing.until_events(3)
        assert kinds(playing.messages).startswith("S0 ")
        assert playing.events["t"].tolist() == [10, 20, 30]
        account = playing.account
    assert device.closed.is_set()
    assert (account.taken, account.used, account.refused) == (3, 3, {})
    # One for each session, and those without a device before and behind it.
    assert len(segments(tmp_path / "spool")) == 3
    modes = {stat.S_IMODE(os.stat(each).st_mode) for each in (tmp_path / "spool").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(os.stat(tmp_path / "spool").st_mode) == 0o700


def test_the_device_is_left_alone_until_the_source_plays(tmp_path: Path) -> None:
    source = source_of(tmp_path / "spool", Scripted())
    with spooling(source):
        assert source.attempts == 0
        with Playing(source) as playing:
            playing.until(lambda playing: bool(playing.messages))
        assert source.attempts == 1


def keep_all(playing: Playing, states: list[tuple[int, bytes]]) -> None:
    """Play to the end; keep how many messages there were before each turn, and the state."""
    while not playing.over:
        states.append((len(playing.messages), kept(playing)))
        playing.turn()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_from_the_state_after_any_turn_it_goes_on_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """With a device that is lost and comes back, and a clock that is set back within a batch."""
    first, second = Scripted(source="first"), Scripted(width=4, source="second")
    t = 0
    for count in data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=6)):
        part = events(*range(t, t + count))
        if data.draw(st.booleans()):
            part["t"][count // 2 :] += 5_000_000
            t += 5_000_000
        first.script.put(part)
        t += count
    first.script.put(events(t + 1, t + 2, 3, 4, 5, 9_000_003, 7))
    first.unplug()
    second.script.put(events(5, 6, x=9))
    second.script.put(events(7))
    second.script.put(DeviceError("enough"))
    spool = tmp_path_factory.mktemp("spool")
    options = {"batch_events": data.draw(st.sampled_from([1, 7, 1000])), "idle_us": 1_000}
    source = source_of(spool, first, second, **options)
    with spooling(source):
        whole: list[Any] = []
        states: list[tuple[int, bytes]] = []
        with Playing(source) as playing:
            with pytest.raises(DeviceError, match="enough"):
                keep_all(playing, states)
            whole, account = as_bytes(playing.messages), playing.account
        for place in data.draw(st.lists(st.floats(0, 1), min_size=5, max_size=20)):
            sent, saved = states[int(place * (len(states) - 1))]
            again = source_of(spool, tally=source._tally, **options)
            with going_on(again, saved) as playing:
                with pytest.raises(DeviceError, match="enough"):
                    playing.until_over()
                assert as_bytes(playing.messages) == whole[sent:]
                assert playing.account == account
    assert account.taken == account.used + sum(account.refused.values())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_wherever_a_killed_spooler_stopped_writing_every_event_is_sent_or_counted(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    first, second = Scripted(source="first"), Scripted(source="second")
    for begin in range(0, 60, 6):
        first.script.put(events(*range(begin, begin + 6)))
    spool = tmp_path_factory.mktemp("spool")
    source = source_of(spool, first, batch_events=6)
    with Playing(source) as playing, spooling(source):
        playing.until_events(data.draw(st.integers(1, 59)))
        saved = kept(playing)
        playing.watch(received(60))
    # What it had not come to write is cut off.
    last = segments(spool)[-1]
    os.truncate(last, int(data.draw(st.floats(0, 1)) * last.stat().st_size))
    second.script.put(events(100, 101))
    again = source_of(spool, second, tally=source._tally, batch_events=6)
    with spooling(again), going_on(again, saved) as playing:
        playing.until(lambda playing: 101 in playing.events["t"])
        account = playing.account
        sent_before = playing.saved.sent
        times = playing.events["t"].tolist()
    assert times[-2:] == [100, 101]
    assert len(set(times)) == len(times)
    assert account.used == sent_before + len(times)
    assert account.taken == account.used + sum(account.refused.values())
    assert account.taken == 62
    assert set(account.refused) <= {"lost in a crash", "lost: the spool is damaged"}


def test_another_spooler_goes_on_and_says_how_long_nobody_listened(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = Scripted(source="first"), Scripted(source="second")
    first.script.put(events(1, 2, 3))
    source = source_of(tmp_path, first)
    with Playing(source) as playing:
        with spooling(source):
            playing.until_events(3)
        source._tally.received += 4  # came in, and was in its memory when it was killed
        os.utime(segments(tmp_path)[-1], (1, 1))
        second.script.put(events(9))
        again = source_of(tmp_path, second, tally=source._tally)
        with spooling(again):
            playing.until_events(4)
            account = playing.account
    assert kinds(playing.messages).replace(" w", "") == "S0 3 E0 S1 1"
    start = next(header for header in reversed(playing.headers) if hasattr(header, "gap_us"))
    assert start.lost_events == 4
    assert start.gap_us > 1e15
    assert account.refused == {"lost in a crash": 4}
    assert account.taken == 8
    told = capfd.readouterr().err
    assert "while the run was interrupted, and 4 events that had come are lost; a new reco" in told


def test_a_full_spool_drops_counts_and_goes_on_when_there_is_room(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    device = Scripted()
    source = source_of(tmp_path, device, spool_bytes=1 << 20)
    with Playing(source) as playing, spooling(source):
        playing.until(lambda playing: bool(playing.messages))
        for k in range(10):
            device.script.put(many(k * MANY))
        playing.watch(received(10 * MANY))
        playing.watch(lambda playing: bool(playing.source._tally.lost))
        assert sum(each.stat().st_size for each in segments(tmp_path)) <= 1 << 20
        # All that was written is worked on; then it may go.
        playing.until(all_accounted)
        before = len(playing.events)
        assert before < 10 * MANY
        source.release(playing.state)
        # It finds that out within a moment.
        while len(playing.events) == before:
            device.script.put(events(20 * MANY))
            playing.until(all_accounted)
        account = playing.account
    assert account.used == len(playing.events)
    assert account.refused == {"dropped: the spool was full": account.taken - account.used}
    assert len(segments(tmp_path)) < 16
    told = capfd.readouterr().err
    assert "camera: the spool is full (spool_bytes = 1048576): " in told
    assert "; make the pipeline faster, or give it more" in told


def test_a_full_disk_drops_counts_and_goes_on_when_there_is_space(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    device = Scripted()
    source = source_of(tmp_path, device)
    with Playing(source) as playing, spooling(source):
        device.script.put(events(1, 2))
        playing.until_events(2)
        with disk_of(segments(tmp_path)[-1].stat().st_size + 1000):
            device.script.put(many(10))
            playing.watch(lambda playing: bool(playing.source._tally.lost))
        device.script.put(many(2 * MANY))
        playing.until(lambda playing: playing.account.taken == 2 * MANY + 2)
        playing.until(all_accounted)
        account = playing.account
    assert len(playing.events) == account.used > MANY
    assert account.refused == {
        "dropped: the spool could not be written": 2 * MANY + 2 - account.used
    }
    assert account.refused
    told = capfd.readouterr().err
    assert "camera: the spool cannot be written: File too large: " in told
    assert "make space, it goes on as soon as there is" in told


def test_what_is_damaged_is_told_and_counted(tmp_path: Path) -> None:
    first, second = Scripted(source="first"), Scripted(source="second")
    for t in (1, 2, 3):
        first.script.put(events(t))
    first.unplug()
    second.script.put(events(9))
    source = source_of(tmp_path, first, second, batch_events=1)
    with spooling(source):
        with Playing(source) as playing:
            saved = kept(playing)
            playing.until_events(4)
        damaged = segments(tmp_path)[1]
        raw = bytearray(damaged.read_bytes())
        place = raw.index(events(2).tobytes())
        raw[place] ^= 1
        damaged.write_bytes(raw)
        again = source_of(tmp_path, tally=source._tally, batch_events=1)
        with going_on(again, saved) as playing:
            playing.until(lambda playing: 9 in playing.events["t"])
            assert playing.events["t"].tolist() == [1, 9]
            account = playing.account
    assert account.refused == {"lost: the spool is damaged": 2}
    assert (account.taken, account.used) == (4, 2)
    assert any(f"{damaged}: its last" in remark for remark in playing.remarks)
    assert any("2 events before it are lost: the spool is damaged" in r for r in playing.remarks)


def test_damage_at_the_end_is_told_while_it_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_feed, "_DAMAGED_NS", 1)
    device = Scripted()
    device.script.put(events(1))
    source = source_of(tmp_path, device)
    with Playing(source) as playing:
        with spooling(source):
            playing.until_events(1)
        with segments(tmp_path)[-1].open("ab") as file:
            file.write(b"none of ours" * 10)
        playing.until(lambda playing: bool(playing.remarks))
    assert "is damaged at byte" in playing.remarks[0]


def test_what_is_no_spool_is_refused(tmp_path: Path) -> None:
    source = source_of(tmp_path, Scripted())
    SpoolFolder(tmp_path).segment(1).write_bytes(b"event-pipeline spool/9\n\n and more")
    source.resumes = True
    with (
        spooling(source),
        Playing(source) as playing,
        pytest.raises(
            DeviceError, match=r"spool-00000001: is no segment of a spool, or of another"
        ),
    ):
        playing.until_over()


def test_a_run_that_starts_anew_clears_the_spool_and_one_that_goes_on_does_not(
    tmp_path: Path,
) -> None:
    device = Scripted()
    device.script.put(events(1))
    source = source_of(tmp_path, device)
    with spooling(source), Playing(source) as playing:
        playing.until_events(1)
        resumed = source_of(tmp_path, tally=source._tally)
        assert len(segments(tmp_path)) == 2
        with pytest.raises(DeviceError, match="another run writes its spool here; end it, or name"):
            source_of(tmp_path)
    assert resumed is not None
    source_of(tmp_path)
    assert segments(tmp_path) == []


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DeviceError, match=r"file/spool: cannot be used as a spool: Not a directory"
    ):
        source_of(tmp_path / "file" / "spool")


def test_a_missing_device_is_told_as_without_a_spool(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    with (
        spooling(source),
        Playing(source) as playing,
        pytest.raises(DeviceError, match="no device is plugged in; plug it in, or set wait = true"),
    ):
        playing.until_over()


def test_the_stream_ends_with_the_device(tmp_path: Path) -> None:
    device = Scripted()
    device.script.put(events(1))
    device.unplug()
    source = source_of(tmp_path, device, on_lost="end")
    with spooling(source), Playing(source) as playing:
        playing.until_over()
        assert kinds(playing.messages) == "S0 1 E0"


def test_a_bug_in_a_driver_is_told_with_its_place(tmp_path: Path) -> None:
    device = Scripted()
    device.script.put(ZeroDivisionError("a bug"))
    source = source_of(tmp_path, device)
    with (
        spooling(source),
        Playing(source) as playing,
        pytest.raises(RuntimeError, match=r"ZeroDivisionError: a bug\nTraceback"),
    ):
        playing.until_over()


def test_what_no_checkpoint_needs_is_removed(tmp_path: Path) -> None:
    first, second = Scripted(source="first"), Scripted(source="second")
    first.script.put(events(1))
    first.unplug()
    second.script.put(events(2))
    source = source_of(tmp_path, first, second)
    with spooling(source), Playing(source) as playing:
        playing.until_events(1)
        early = playing.state
        playing.until_events(2)
        numbers = SpoolFolder(tmp_path).numbers()
        source.release(early)
        assert SpoolFolder(tmp_path).numbers() == [n for n in numbers if n >= early.place.segment]
        source.release(playing.state)
        assert SpoolFolder(tmp_path).numbers() == [playing.state.place.segment]


def test_a_spooler_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(spool_feed.os, "kill", lambda *call: killed.append(call))
    now_ns = [10**12]
    monkeypatch.setattr(spool_feed.time, "monotonic_ns", lambda: now_ns[0])
    source = source_of(tmp_path)
    with Playing(source) as playing:
        source._tally.process, source._tally.beat_ns = 4711, now_ns[0]
        playing.turn()
        for _ in range(3):
            now_ns[0] += 4 * 10**9
            playing.turn()
        assert killed == [(4711, signal.SIGKILL)]
        # One that was stopped together with the source is given its time.
        now_ns[0] += 60 * 10**9
        playing.turn()
        assert len(killed) == 1
        playing.until(lambda playing: bool(playing.remarks))
    assert playing.remarks[0].startswith(
        "the process of its spool, 4711, has not answered for 10 s"
    )


def test_a_spooler_that_fails_again_and_again_ends_the_run(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    with Playing(source) as playing:
        playing.turn()
        source._tally.failures = 3
        with pytest.raises(DeviceError, match="has failed 3 times; what it printed says why"):
            playing.until_over()

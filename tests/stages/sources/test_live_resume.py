"""Live sources without a spool behind a crash: what is lost is counted, told and marked."""

from typing import Any

import pytest
from live import Playing, Scripted, Sockets, kinds
from spools import going_on, kept

from pipeline.checkpoint.snapshot import classes_of, unpack
from pipeline.errors import DeviceError
from pipeline.events import EventArray, events_from_columns
from pipeline.messages import EndRecording, Start
from stages.sources import capture
from stages.sources.tally import Tally


def events(*t: int) -> EventArray:
    return events_from_columns(list(t), [1] * len(t), [2] * len(t), [1] * len(t))


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_FIRST_RETRY_S", 0.001)


def source_of(*devices: Scripted, tally: Tally | None = None, **options: Any) -> Sockets:
    """A source as each generation of a run's workers has one: they share the tally."""
    source = Sockets(*devices, **options)
    source.beside()
    source._tally = tally or source._tally
    return source


def crashed(*after: int, **options: Any) -> tuple[bytes, Tally]:
    """What a checkpoint keeps behind three events, and the tally when ``after`` have come too."""
    device = Scripted(source="first")
    device.script.put(events(1, 2, 3))
    source = source_of(device, **options)
    with Playing(source) as playing:
        playing.until_events(3)
        saved = kept(playing)
        if after:
            device.script.put(events(*after))
        playing.watch(lambda playing: playing.account.taken == 3 + len(after))
    assert source._tally is not None
    return saved, source._tally


def test_what_had_come_since_the_checkpoint_is_lost_counted_and_marked() -> None:
    saved, tally = crashed(4, 5)
    device = Scripted(source="second")
    device.script.put(events(7, 8))
    with going_on(source_of(device, tally=tally), saved) as playing:
        playing.until_events(2)
        account = playing.account
    assert kinds(playing.messages).replace(" w", "") == "E0 S1 2"
    start = next(header for header in playing.headers if isinstance(header, Start))
    assert start.lost_events == 2
    assert start.gap_us > 0
    assert account.refused == {"lost in a crash": 2}
    assert (account.taken, account.used) == (7, 5)
    assert playing.remarks[0].startswith("second: nobody listened for ")
    assert "and 2 events that had come are lost; a new recording begins" in playing.remarks[0]


def test_crash_after_crash_adds_up() -> None:
    saved, tally = crashed(4, 5)
    for k in range(1, 4):
        device = Scripted()
        device.script.put(events(10 * k))
        with going_on(source_of(device, tally=tally), saved) as playing:
            playing.until_events(1)
            saved = kept(playing)
            device.script.put(events(10 * k + 1))
            playing.watch(lambda playing, k=k: playing.source._tally.received == 5 + 2 * k)
        assert [h.epoch for h in playing.headers if isinstance(h, Start)] == [k]
    state = unpack(saved, classes_of(Sockets))
    # What came last is not known to be lost before another goes on from there.
    assert dict(state.lost) == {"lost in a crash": 2 + 2}
    assert (state.sent, state.recordings) == (3 + 3, 4)


def test_what_the_ring_had_dropped_stays_counted() -> None:
    first = Scripted()
    source = source_of(first, ring_events=2)
    with Playing(source) as playing:
        playing.until(lambda playing: bool(playing.messages))
        first.script.put(events(1, 2, 3, 4, 5))
        playing.watch(lambda playing: playing.account.taken == 5)
        playing.until_events(2)
        saved = kept(playing)
    second = Scripted()
    second.script.put(events(6))
    with going_on(source_of(second, tally=source._tally, ring_events=2), saved) as playing:
        playing.until_events(1)
        account = playing.account
    assert account.refused == {"dropped: the pipeline was too slow": 3}
    assert (account.taken, account.used) == (6, 3)
    assert account.notes["waiting in the ring at most"] == 2


def test_the_runner_itself_may_be_gone_and_only_the_time_is_known() -> None:
    saved, _ = crashed(4, 5)
    device = Scripted()
    device.script.put(events(7))
    with going_on(source_of(device), saved) as playing:
        playing.until_events(1)
        account = playing.account
    start = next(header for header in playing.headers if isinstance(header, Start))
    assert start.lost_events == 0
    assert start.gap_us > 0
    assert (account.taken, account.refused) == (4, {})


def test_the_recording_that_was_under_way_ends_at_once() -> None:
    """Whether or not the device comes back, its windows must not stay open."""
    saved, tally = crashed()
    source = source_of(tally=tally)
    with going_on(source, saved) as playing:
        playing.until(lambda playing: bool(playing.messages))
        assert isinstance(playing.headers[0], EndRecording)
        # It was there before, so that it is waited for as where it was unplugged.
        playing.until(lambda playing: source.attempts >= 3)
        assert len(playing.messages) == 1


def test_a_device_that_is_gone_is_an_error_where_its_loss_ends_the_stream() -> None:
    saved, tally = crashed(on_lost="end")
    with (
        going_on(source_of(tally=tally, on_lost="end"), saved) as playing,
        pytest.raises(DeviceError, match="no device is plugged in"),
    ):
        playing.until_over()

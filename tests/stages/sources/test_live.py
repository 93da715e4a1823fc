"""What all live sources do: drops counted, time passed on, devices that come back."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live import Playing, Scripted, Sockets, kinds, ring_of
from streams import event_arrays

from pipeline.errors import DeviceError
from pipeline.events import EventArray, events_from_columns
from pipeline.messages import Events, Start
from pipeline.ports import EventsPort
from stages.sources import capture
from stages.sources.capture import Device
from stages.sources.live import LiveConfig


def events(*t: int, x: int = 1) -> EventArray:
    return events_from_columns(list(t), [x] * len(t), [2] * len(t), [1] * len(t))


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_FIRST_RETRY_S", 0.001)


def test_what_the_device_hands_over_is_sent() -> None:
    device = Scripted()
    device.script.put(events(10, 20))
    device.script.put(events(30))
    with Playing(Sockets(device)) as playing:
        playing.until_events(3)
        start = playing.headers[0]
        assert isinstance(start, Start)
        assert start.live
        assert (start.width, start.height, start.source) == (8, 6, "scripted")
        assert playing.events["t"].tolist() == [10, 20, 30]
        account = playing.account
    assert (account.taken, account.used, account.made, account.refused) == (3, 3, 3, {})
    assert device.closed.is_set()


def test_the_port_is_live_and_of_unknown_size() -> None:
    assert Sockets().port() == EventsPort(None, None, live=True)


@settings(max_examples=40)
@given(
    stream=event_arrays(max_events=200, span_us=50_000),
    cuts=st.lists(st.integers(0, 200), max_size=10),
    batch=st.sampled_from([1, 7, 1000]),
)
def test_the_cut_of_the_packets_never_changes_the_events(
    stream: EventArray, cuts: list[int], batch: int
) -> None:
    device = Scripted()
    for part in np.split(stream, sorted(min(cut, len(stream)) for cut in cuts)):
        device.script.put(part)
    device.unplug()
    with Playing(Sockets(device, on_lost="end", batch_events=batch)) as playing:
        playing.until_over()
        assert playing.events.tobytes() == stream.tobytes()
        assert playing.account.refused == {}


@settings(max_examples=40)
@given(
    steps=st.lists(st.one_of(st.integers(1, 30), st.just("turn"), st.just("unplug")), max_size=25),
    ring=st.integers(1, 40),
)
def test_every_event_is_sent_or_counted(steps: list[Any], ring: int) -> None:
    """Whenever it is stopped, with drops, losses and returns of the device before."""
    device, source = Scripted(), Sockets(ring_events=ring, batch_events=8)
    source.plugged.put(device)
    given_out = 0
    with Playing(source) as playing:
        playing.turn()
        for step in steps:
            if step == "turn":
                playing.turn()
            elif step == "unplug":
                device.unplug()
                device = Scripted()
                source.plugged.put(device)
            else:
                device.script.put(events(*range(given_out, given_out + step)))
                given_out += step
        playing.watch(lambda playing: playing.account.taken == given_out)
        account = playing.account
    assert account.taken == account.used + sum(account.refused.values())
    assert account.used == len(playing.events)
    assert set(account.refused) <= {
        "dropped: the pipeline was too slow",
        "not sent when the run was stopped",
    }
    times = playing.events["t"].tolist()
    assert times == sorted(set(times))


def test_a_pipeline_that_is_too_slow_loses_the_oldest_and_says_how_many() -> None:
    device = Scripted()
    with Playing(Sockets(device, ring_events=10)) as playing:
        playing.until(lambda playing: kinds(playing.messages) == "S0")
        for k in range(5):
            device.script.put(events(*range(4 * k, 4 * k + 4)))
        device.unplug()
        # Nothing is taken out of the ring until all is in it.
        assert device.closed.wait(10)
        playing.until_events(10)
        assert playing.events["t"].tolist() == list(range(10, 20))
        account = playing.account
    assert account.refused == {"dropped: the pipeline was too slow": 10}
    assert (account.taken, account.used) == (20, 10)


def test_drops_are_told_when_they_begin_and_then_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = [50.0]
    monkeypatch.setattr(capture.time, "monotonic", lambda: now_s[0])
    device, told = Scripted(), "the pipeline is too slow: {} events dropped so far"
    with Playing(Sockets(device, ring_events=10)) as playing:
        playing.until(lambda playing: kinds(playing.messages) == "S0")
        for second, dropped in ((0, 10), (1, 20), (4, 30), (6, 40)):
            now_s[0] = 50.0 + second
            device.script.put(events(*range(20 * second, 20 * second + 20)))
            playing.watch(partial(has_dropped, dropped))
            playing.until_events(dropped)
            for _ in range(3):
                playing.turn()
        # Nothing is told twice.
        now_s[0] += 100
        playing.turn()
    heard = [remark.partition(";")[0] for remark in playing.remarks]
    assert heard == [told.format(10), told.format(40)]


def has_dropped(count: int, playing: Playing) -> bool:
    return ring_of(playing.source).ring.count().dropped == count


def test_events_are_born_when_they_came_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of a message counts, however long it waited in the ring."""
    now_ns = [1_000]
    monkeypatch.setattr(capture.time, "monotonic_ns", lambda: now_ns[0])
    device = Scripted()
    with Playing(Sockets(device, batch_events=3)) as playing:
        playing.until(lambda playing: kinds(playing.messages) == "S0")
        for t in range(4):
            now_ns[0] += 1_000
            device.script.put(events(t))
            playing.watch(partial(has_received, t + 1))
        now_ns[0] += 1_000_000
        playing.until_events(4)
        assert kinds(playing.messages) == "S0 3 1"
        assert playing.born_ns == [None, 2_000, 5_000]
        assert playing.account.notes == {"waiting in the ring at most": 4}


def has_received(count: int, playing: Playing) -> bool:
    return playing.account.taken == count


def test_what_is_not_sent_when_it_is_stopped_is_counted() -> None:
    device = Scripted()
    device.script.put(events(1, 2, 3))
    with Playing(Sockets(device, batch_events=2)) as playing:
        playing.until_events(2)
        account = playing.account
    assert account.refused == {"not sent when the run was stopped": 1}


def test_a_lost_device_ends_the_recording_and_begins_another_when_it_is_back() -> None:
    first, second = Scripted(source="first"), Scripted(width=4, source="second")
    first.script.put(events(100, 200))
    second.script.put(events(5, 6))
    source = Sockets(first)
    with Playing(source) as playing:
        playing.until_events(2)
        first.unplug()
        playing.until(lambda playing: kinds(playing.messages).endswith("E0"))
        assert first.closed.is_set()
        # It is looked for again and again, until it is there.
        playing.until(lambda playing: source.attempts >= 3)
        source.plugged.put(second)
        playing.until_events(4)
        account, notes = playing.account, playing.notes
    assert kinds(playing.messages).replace(" w", "") == "S0 2 E0 S1 2"
    starts = [header for header in playing.headers if isinstance(header, Start)]
    assert [(start.source, start.width) for start in starts] == [("first", 8), ("second", 4)]
    assert [header.epoch for header in playing.headers if isinstance(header, Events)][-1] == 1
    assert notes == {"reconnections": 1}
    assert account.refused == {}
    assert playing.remarks == ["first: unplugged; connecting again", "second: is there"]


def test_the_stream_can_end_with_the_device() -> None:
    device = Scripted()
    device.script.put(events(1))
    device.unplug()
    with Playing(Sockets(device, on_lost="end")) as playing:
        playing.until_over()
        assert kinds(playing.messages) == "S0 1 E0"


def test_a_device_that_does_not_come_back_is_given_up() -> None:
    device = Scripted()
    device.script.put(events(1))
    device.unplug()
    with Playing(Sockets(device, give_up_s=0.01)) as playing:
        with pytest.raises(
            DeviceError, match=r"no device is plugged in; .*; gave up after 0\.\d s"
        ):
            playing.until_over()
        assert kinds(playing.messages) == "S0 1 E0"


def test_a_device_must_be_there_at_first() -> None:
    with (
        Playing(Sockets()) as playing,
        pytest.raises(DeviceError, match="no device is plugged in; plug it in, or set wait = true"),
    ):
        playing.turn()


def test_the_device_is_left_alone_until_every_stage_is_ready() -> None:
    """What it said before would be late when the others are ready."""
    source = Sockets(Scripted())
    with Playing(source) as playing:
        assert source.attempts == 0
        playing.turn()
        assert source.attempts == 1


def test_a_device_may_be_waited_for() -> None:
    source, device = Sockets(wait=True), Scripted()
    with Playing(source) as playing:
        playing.until(lambda playing: source.attempts >= 3)
        assert playing.messages == []
        device.script.put(events(7))
        source.plugged.put(device)
        playing.until_events(1)
        assert playing.notes == {}
    told = "no device is plugged in; plug it in; waiting for it"
    assert playing.remarks == [told, "scripted: is there"]


def test_a_device_that_cannot_be_used_is_not_waited_for() -> None:
    """Where waiting would not help, neither is it advised nor done."""

    class Unusable(Sockets):
        def connect(self) -> Device:
            raise DeviceError("its driver is not installed; install it")

    for wait in (False, True):
        with Playing(Unusable(wait=wait)) as playing:
            with pytest.raises(DeviceError, match=r"^its driver is not installed; install it$"):
                playing.until_over()
            assert playing.remarks == []


def test_a_bug_in_a_driver_is_told_after_what_came_before_it() -> None:
    device = Scripted()
    device.script.put(events(1, 2))
    device.script.put(ZeroDivisionError("a bug"))
    with Playing(Sockets(device)) as playing:
        with pytest.raises(ZeroDivisionError, match="a bug"):
            playing.until_over()
        assert kinds(playing.messages) == "S0 2 E0"
    assert device.closed.is_set()


def test_a_gap_is_between_events_whatever_the_watermark(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = [0]
    monkeypatch.setattr(capture.time, "monotonic_ns", lambda: now_ns[0])
    device = Scripted()
    device.script.put(events(500))
    with Playing(Sockets(device, idle_us=1_000, margin_us=0, gap_us=30_000)) as playing:
        playing.until_events(1)
        for silence_us in (30_000, 30_001, 90_000):
            now_ns[0] += silence_us * 1000
            playing.until(
                lambda playing: playing.headers[-1].watermark_us == now_ns[0] // 1000 + 500
            )
            device.script.put(events(int(playing.events["t"][-1]) + silence_us))
            playing.until_events(len(playing.events) + 1)
        assert playing.notes == {"gaps": 2}


def test_a_gap_may_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Scripted()
    device.script.put(events(5))
    device.script.put(events(2_000_005))
    with Playing(Sockets(device, on_gap="raise")) as playing:
        with pytest.raises(DeviceError, match=r"scripted: its time 2000005 µs is 2\.000 s ahead"):
            playing.until_over()
        assert playing.notes == {"gaps": 1}


def test_a_clock_that_is_set_back_begins_another_recording() -> None:
    device = Scripted()
    device.script.put(events(9_000_000, 9_000_001, 5, 6))
    device.unplug()
    with Playing(Sockets(device, on_lost="end")) as playing:
        playing.until_over()
        account = playing.account
    assert kinds(playing.messages) == "S0 2 E0 S1 2 E1"
    told = "scripted: its clock was set back by 9.000 s; a new recording begins"
    assert told in playing.remarks
    assert playing.events["t"].tolist() == [9_000_000, 9_000_001, 5, 6]
    assert (account.taken, account.used) == (4, 4)


def test_events_are_inspected_as_those_of_recordings_are() -> None:
    device = Scripted()
    device.script.put(events(1, 2, x=8))
    device.script.put(events(5, 4, 6))
    device.unplug()
    with Playing(Sockets(device, on_lost="end")) as playing:
        playing.until_over()
        account, notes = playing.account, playing.notes
    assert playing.events["t"].tolist() == [5, 5, 6]
    assert account.refused == {"outside the sensor": 2}
    assert notes == {"going back in time": 1}
    assert (account.taken, account.used) == (5, 3)


def test_a_policy_may_end_the_run_behind_what_was_good() -> None:
    device = Scripted()
    bad = events(1, 2, 3)
    bad["x"][1] = 9
    device.script.put(bad)
    with Playing(Sockets(device, on_outside="raise")) as playing:
        with pytest.raises(DeviceError, match=r"scripted: it is at \(9, 2\), outside the 8×6 sens"):
            playing.until_over()
        assert playing.events["t"].tolist() == [1]
        assert playing.account.taken == 3
        assert playing.account.used == 1


def test_by_default_nothing_ends_the_run() -> None:
    policies = {name: value for name, value in LiveConfig() if name.startswith("on_")}
    assert "raise" not in policies.values()


def test_counts_of_the_device_are_told() -> None:
    first, second = Scripted(), Scripted()
    first.notes["overflows reported by the camera"] = 2
    second.notes["overflows reported by the camera"] = 3
    first.unplug()
    second.script.put(events(1))
    with Playing(Sockets(first, second)) as playing:
        playing.until_events(1)
        notes = playing.notes
    assert notes == {"overflows reported by the camera": 5, "reconnections": 1}


def test_a_device_is_never_made_to_wait() -> None:
    """A source that is played no further takes everything from the device."""
    device = Scripted()
    with Playing(Sockets(device, ring_events=10)) as playing:
        playing.turn()
        for k in range(1000):
            device.script.put(events(k))
        device.unplug()
        assert device.closed.wait(10)
        account = playing.account
    assert account.taken == 1000
    assert account.refused["dropped: the pipeline was too slow"] == 990

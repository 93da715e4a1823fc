"""Time of live sources: it passes on while nothing comes, and never changes an event's own.

A clock that the tests set stands for the host's.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from live import Playing, Scripted, Sockets, kinds, ring_of
from numpy.typing import NDArray
from streams import recording, through

from pipeline.events import EventArray, concatenate_events, events_from_columns
from pipeline.messages import Events, Frames, Message
from pipeline.ports import EventsPort
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.sources import capture

MS = 1_000
STEP_MS = 5
CAMERA_US = 7_777_000_000
"""The camera's clock is not the host's."""


def events(*t: int) -> EventArray:
    return events_from_columns(list(t), [1] * len(t), [2] * len(t), [1] * len(t))


class Clock:
    """The host's monotonic clock."""

    def __init__(self) -> None:
        self.ms = 1_000

    def __call__(self) -> int:
        return self.ms * 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(capture.time, "monotonic_ns", clock)
    return clock


def looked(playing: Playing) -> int:
    """When the device was last found to have nothing."""
    return ring_of(playing.source).capture.status.looked_ns


def held(playing: Playing) -> int:
    """How many events wait in the ring."""
    return ring_of(playing.source).ring.count().held


def has_taken(count: int, playing: Playing) -> bool:
    return playing.account.taken == count


def packets(packet_ms: int, end_ms: int) -> list[tuple[int, EventArray]]:
    """Events every ms, and when each packet of them is handed over if the device is steady."""
    return [
        (end, events(*(CAMERA_US + MS * ms for ms in range(end - packet_ms, end))))
        for end in range(packet_ms, end_ms, packet_ms)
    ]


def hand_over(
    playing: Playing, clock: Clock, device: Scripted, due: list[tuple[int, EventArray]]
) -> EventArray:
    """Hand events over in time, and play in steps of 5 ms; return all of them."""
    playing.until(lambda playing: kinds(playing.messages) == "S0")
    began_ms, put = clock.ms, 0
    rest = list(due)
    while rest:
        clock.ms += STEP_MS
        while rest and began_ms + rest[0][0] <= clock.ms:
            device.script.put(rest[0][1])
            put += len(rest.pop(0)[1])
        playing.watch(partial(has_taken, put))
        playing.watch(lambda playing: looked(playing) == clock())
        playing.until(lambda playing: not held(playing))
        playing.turn()
    return concatenate_events([part for _, part in due])


def frames(messages: list[Message]) -> NDArray[np.uint8]:
    """What windows of 25 ms make of a stream."""
    bins = TimeBin("bins", TimeBinConfig(window_us=25_000), [EventsPort(8, 6, live=True)])
    made = through([bins], messages)
    return np.concatenate([m.array for m in made if isinstance(m.header, Frames)])


def finished(playing: Playing, device: Scripted) -> Playing:
    device.unplug()
    return playing.until_over()


def late(packet: int, by_ms: int) -> Callable[[int, int], int]:
    """All packets from one on come later, as when the sender stood still."""
    return lambda k, due_ms: due_ms + by_ms * (k >= packet)


def jittery(k: int, due_ms: int) -> int:
    """Up to 10 ms late, the same in each run; what comes after does not overtake it."""
    return due_ms + int(np.random.default_rng(k).integers(0, 3)) * STEP_MS


@pytest.mark.parametrize("packet_ms", [10, 33])
@pytest.mark.parametrize("handed_over", [lambda k, due_ms: due_ms, jittery], ids=["even", "jitter"])
def test_packets_are_never_overtaken_and_frames_are_a_recordings(
    clock: Clock, packet_ms: int, handed_over: Callable[[int, int], int]
) -> None:
    """Of a device that does not say how often it hands over; with the options as they are."""
    device = Scripted()
    device.interval_us = None
    due = packets(packet_ms, 1_200)
    due = [(handed_over(k, due_ms), part) for k, (due_ms, part) in enumerate(due)]
    with Playing(Sockets(device, on_lost="end")) as playing:
        sent = hand_over(playing, clock, device, due)
        finished(playing, device)
    assert playing.events.tobytes() == sent.tobytes()
    assert kinds(playing.messages).count("S") == 1
    assert playing.notes == {}
    np.testing.assert_array_equal(frames(playing.messages), frames(list(recording(sent))))


@pytest.mark.parametrize("pause_ms", [500, 2_000])
def test_a_sender_that_stands_still_is_overtaken_but_its_times_stay(
    clock: Clock, pause_ms: int
) -> None:
    device = Scripted()
    device.interval_us = None
    due = packets(5, 600)
    due = [(late(60, pause_ms)(k, due_ms), part) for k, (due_ms, part) in enumerate(due)]
    with Playing(Sockets(device, on_lost="end")) as playing:
        sent = hand_over(playing, clock, device, due)
        finished(playing, device)
    assert playing.events.tobytes() == sent.tobytes()
    assert kinds(playing.messages).count("S") == 1
    # All that came behind the pause lies behind the time that had passed on by then.
    assert playing.notes == {"handed over late": 5 * len(due[60:])}
    (told, _) = playing.remarks
    assert told.startswith("scripted: its events came up to ")
    assert "set margin_us = " in told
    # What lies in closed windows is late there, as anywhere, and nothing else is.
    bins = TimeBin("bins", TimeBinConfig(window_us=25_000), [EventsPort(8, 6, live=True)])
    bins.open()
    state: Any = None
    for message in playing.messages:
        turn = bins.step(state, message)
        while True:
            try:
                next(turn)
            except StopIteration as end:
                state = end.value
                break
    account = bins.account(state)
    assert account.taken == account.used + account.refused["late"] == len(sent)
    assert 0 < account.refused["late"] <= 5 * len(due[60:])


@pytest.mark.parametrize("pause_ms", [500, 2_000])
def test_a_margin_covers_a_sender_that_stands_still(clock: Clock, pause_ms: int) -> None:
    device = Scripted()
    due = packets(5, 600)
    due = [(late(60, pause_ms)(k, due_ms), part) for k, (due_ms, part) in enumerate(due)]
    with Playing(Sockets(device, on_lost="end", margin_us=pause_ms * MS)) as playing:
        sent = hand_over(playing, clock, device, due)
        finished(playing, device)
    assert playing.notes == {}
    np.testing.assert_array_equal(frames(playing.messages), frames(list(recording(sent))))


@pytest.mark.parametrize("pause_ms", [500, 2_000])
def test_a_silence_of_the_scene_is_binned_as_it_was(clock: Clock, pause_ms: int) -> None:
    """Times go on with it, so nothing is late."""
    device = Scripted()
    due = packets(10, 300)
    later = events(*(CAMERA_US + MS * (pause_ms + 300 + k) for k in range(10)))
    due.append((pause_ms + 310, later))
    with Playing(Sockets(device, on_lost="end", gap_us=60_000_000)) as playing:
        sent = hand_over(playing, clock, device, due)
        finished(playing, device)
    assert playing.events.tobytes() == sent.tobytes()
    assert playing.notes == {}
    assert " w " in kinds(playing.messages)
    np.testing.assert_array_equal(frames(playing.messages), frames(list(recording(sent))))


def test_what_goes_back_is_judged_by_events_and_not_by_the_watermark(clock: Clock) -> None:
    device = Scripted()
    with Playing(Sockets(device, idle_us=1_000, margin_us=0)) as playing:
        hand_over(playing, clock, device, [(5, events(500_000)), (100, events(590_000, 589_000))])
        account = playing.account
    # Of the two one is late, and the other earlier than the one before it.
    assert playing.events["t"].tolist() == [500_000, 590_000, 590_000]
    assert account.notes["going back in time"] == 1


def test_the_watermark_never_goes_back(clock: Clock) -> None:
    device = Scripted()
    due = [(late(20, 300)(k, due_ms), part) for k, (due_ms, part) in enumerate(packets(10, 400))]
    with Playing(Sockets(device, idle_us=1_000, margin_us=0)) as playing:
        hand_over(playing, clock, device, due)
    marks = [h.watermark_us for h in playing.headers if isinstance(h, Events)]
    assert all(a <= b for a, b in pairwise(marks))


def test_an_idle_device_passes_time_on() -> None:
    """By the host's own clock."""
    device = Scripted()
    device.interval_us = 2_000
    device.script.put(events(1_000_000))
    with Playing(Sockets(device, idle_us=1_000, margin_us=3_000)) as playing:
        playing.until(lambda playing: len(playing.messages) >= 5)
    marks = [h.watermark_us for h in playing.headers if isinstance(h, Events)]
    assert marks[0] == 1_000_000
    assert all(b - a >= 1_000 for a, b in pairwise(marks))
    assert all(len(message.array) == 0 for message in playing.messages[2:])


def test_time_is_behind_by_lag_and_margin(clock: Clock) -> None:
    """30 ms after the event, less 10 ms and 5 ms."""
    device = Scripted()
    device.interval_us = 10_000
    device.script.put(events(500))
    with Playing(Sockets(device, idle_us=1_000, margin_us=5_000)) as playing:
        playing.until_events(1)
        clock.ms += 30
        playing.until(lambda playing: len(playing.messages) > 2)
        assert playing.headers[-1].watermark_us == 500 + 15_000
        # Time stands still, and so does the watermark.
        for _ in range(5):
            playing.turn()
        assert len(playing.messages) == 3


@pytest.mark.parametrize("interval_us", [10_000, None], ids=["told", "learned"])
def test_windows_of_an_idle_camera_close_at_most_one_window_late(
    clock: Clock, interval_us: int | None
) -> None:
    """With the options as they are, a camera that hands over every 10 ms, and windows of 25 ms."""
    device = Scripted()
    device.interval_us = interval_us
    closed_ms = dict[int, int]()
    with Playing(Sockets(device)) as playing:
        hand_over(playing, clock, device, packets(10, 301))
        # The last event is of 299 ms and came at 300.
        began_ms = clock.ms - 300
        while clock.ms < began_ms + 500:
            clock.ms += STEP_MS
            playing.watch(lambda playing: looked(playing) == clock())
            playing.turn()
            reached_us = playing.headers[-1].watermark_us - CAMERA_US
            for window in range(12, reached_us // 25_000):
                closed_ms.setdefault(window, clock.ms - began_ms)
    assert len(closed_ms) >= 6
    assert all(25 <= at - 25 * k <= 50 for k, at in closed_ms.items())


def test_before_the_first_event_there_is_no_time() -> None:
    device = Scripted()
    with Playing(Sockets(device, idle_us=1_000, margin_us=0)) as playing:
        playing.until(lambda playing: bool(playing.messages))
        for _ in range(20):
            playing.turn()
        assert kinds(playing.messages) == "S0"


@pytest.mark.parametrize("seed", range(2))
def test_a_pipeline_that_blocks_is_no_idle_device(clock: Clock, seed: int) -> None:
    """However long its turns are apart, time never passes on over events that wait in the ring.

    Packets come every 10 ms, with silences between, and are found when the pipeline comes to them.
    """
    rng = np.random.default_rng(seed)
    device = Scripted()
    device.interval_us = 10_000
    due = [pair for pair in packets(10, 600) if rng.random() < 0.7]
    began_ms, put = clock.ms, 0
    rest = list(due)
    with Playing(Sockets(device, on_lost="end", idle_us=1_000, margin_us=0)) as playing:
        playing.until(lambda playing: kinds(playing.messages) == "S0")
        while rest:
            clock.ms += STEP_MS
            while rest and began_ms + rest[0][0] <= clock.ms:
                device.script.put(rest[0][1])
                put += len(rest.pop(0)[1])
            playing.watch(partial(has_taken, put))
            playing.watch(lambda playing: looked(playing) == clock())
            # Blocked in most steps, and let go for a turn or two in the others.
            for _ in range(int(rng.choice([0, 0, 0, 0, 0, 1, 2]))):
                playing.turn()
        sent = concatenate_events([part for _, part in due])
        finished(playing, device)
    assert playing.events.tobytes() == sent.tobytes()
    assert playing.notes == {}
    reached_us = -(2**63)
    for message in playing.messages:
        if isinstance(message.header, Events):
            assert (message.array["t"] >= reached_us).all()
            reached_us = max(reached_us, message.header.watermark_us)
    np.testing.assert_array_equal(frames(playing.messages), frames(list(recording(sent))))

"""What waits before a slow queue: in order, bounded, and every unit accounted for."""

from typing import Any, get_args

import msgspec
import pytest
from count_frames import frames
from doubles import end_recording, end_stream, events, predictions, start, units
from hypothesis import given
from hypothesis import strategies as st

from pipeline.messages import Data, Message, Shed
from pipeline.queue.backlog import NO_LOSS, Backlog, Loss, Policy, WhenFull

ROOM = 3


def backlog(**policy: Any) -> Backlog:
    return Backlog(lambda: Policy(**policy), ROOM, counts=True)


def times(waiting: Backlog) -> list[list[int]]:
    """The times of the events of each message that waits; they are taken out."""
    found = []
    while waiting:
        message = waiting.take().message
        found.append(message.array["t"].tolist() if isinstance(message.header, Data) else [])
    return found


def test_a_queue_that_blocks_takes_no_more_than_it_has_room_for() -> None:
    waiting = backlog()
    assert [waiting.add(events(1, t_us=k)) for k in range(5)] == [True] * 3 + [False] * 2
    waiting.take()
    assert waiting.add(events(1, t_us=3))
    assert times(waiting) == [[1], [2], [3]]
    assert waiting.lost == NO_LOSS


def test_the_oldest_makes_room_for_the_newest() -> None:
    waiting = backlog(when_full="drop_oldest")
    assert all(waiting.add(events(2, t_us=10 * k)) for k in range(5))
    first = waiting.first()
    assert first is not None
    assert (first.loss, first.shed) == (Loss(2, 4), Shed(events=4))
    assert first.stamped.header.shed == Shed(events=4)
    assert times(waiting) == [[20, 21], [30, 31], [40, 41]]


def test_the_newest_is_dropped_and_told_of_by_the_next_that_finds_room() -> None:
    waiting = backlog(when_full="drop_newest")
    assert all(waiting.add(events(2, t_us=10 * k)) for k in range(5))
    waiting.take()
    assert waiting.add(events(2, t_us=50))
    kept = [waiting.take() for _ in range(3)]
    assert [each.loss for each in kept] == [NO_LOSS, NO_LOSS, Loss(2, 4)]
    assert kept[-1].message.array["t"].tolist() == [50, 51]


def test_the_more_messages_wait_the_fewer_events_of_a_further_one_stay() -> None:
    waiting = backlog(when_full="thin")
    for k in range(3):
        assert waiting.add(events(8, t_us=10 * k))
    assert times(waiting) == [[0, 1, 2, 3, 4, 5, 6, 7], [10, 12, 14, 16], [20, 24]]
    assert waiting.lost == Loss(thinned=10)


def test_events_without_room_are_thinned_further_so_that_no_stretch_is_left_without_any() -> None:
    waiting = backlog(when_full="thin")
    for k in range(4):
        assert waiting.add(events(8, t_us=10 * k))
    assert times(waiting) == [[0, 2, 4, 6, 10, 14], [20, 24], [30]]
    assert waiting.lost == Loss(messages=1, thinned=23)


def test_each_so_many_th_event_stays_however_they_are_cut() -> None:
    kept = []
    for sizes in ([12], [1] * 12, [5, 7], [2, 0, 9, 1]):
        waiting, t_us, found = backlog(every=3), 0, []
        for size in sizes:
            assert waiting.add(events(size, t_us=t_us))
            found += times(waiting)
            t_us += size
        kept.append([t for part in found for t in part])
    assert kept == [[0, 3, 6, 9]] * 4


def test_windows_that_wait_are_merged() -> None:
    waiting = backlog(merge=2)
    assert all(waiting.add(frames(k, [1])) for k in range(5))
    assert [waiting.take().message.array.ravel().tolist() for _ in range(3)] == [[2], [2], [1]]
    assert waiting.lost == Loss(messages=2, merged=2)


def test_a_run_of_windows_at_once_is_merged_and_given_up_in_part() -> None:
    waiting = backlog(when_full="drop_oldest", merge=4, room=1)
    for part in waiting.parts(frames(0, [1] * 10)):
        assert waiting.add(part)
    last = waiting.take()
    assert (len(waiting), last.message.array.ravel().tolist()) == (0, [2])
    assert (last.loss, last.shed) == (Loss(9, 2, 0, 7), Shed(windows=2, merged=7))


def test_nothing_is_merged_over_a_control_message_and_none_is_ever_dropped() -> None:
    waiting = backlog(when_full="drop_oldest", merge=2)
    for message in (frames(0, [1]), end_recording(), start(epoch=1), frames(0, [1], epoch=1)):
        assert waiting.add(message)
    for k in range(1, 8):
        assert waiting.add(frames(2 * k, [1], epoch=1))
    kinds = [type(waiting.take().message.header).__name__ for _ in range(len(waiting))]
    assert kinds == ["EndRecording", "Start", "Frames", "Frames", "Frames"]


def test_control_messages_are_not_piled_up_without_end() -> None:
    waiting = backlog(when_full="drop_oldest")
    taken = sum(waiting.add(end_recording(epoch=k)) for k in range(1000))
    assert ROOM < taken < 100


def test_what_stages_before_have_lost_is_told_on() -> None:
    waiting = backlog(when_full="drop_oldest")
    for k in range(5):
        header, array, _ = events(1, t_us=k)
        assert waiting.add(Message(msgspec.structs.replace(header, shed=Shed(windows=1)), array))
    first = waiting.first()
    assert first is not None
    assert first.stamped.header.shed == Shed(events=2, windows=3)


MESSAGES = st.one_of(
    st.integers(0, 9).map(lambda size: ("events", size)),
    st.integers(1, 3).map(lambda size: ("windows", size)),
    st.integers(1, 3).map(lambda size: ("predictions", size)),
    st.just(("control", 0)),
    st.integers(1, 3).map(lambda count: ("take", count)),
)


def made(kind: str, size: int, place: int) -> Message:
    if kind == "events":
        return events(size, t_us=100 * place)
    if kind == "windows":
        return frames(10 * place, [1] * size)
    if kind == "predictions":
        return predictions([100 * place + k + 1 for k in range(size)])
    return end_recording(epoch=place)


@pytest.mark.parametrize("when_full", get_args(WhenFull))
@given(steps=st.lists(MESSAGES, max_size=60), every=st.integers(1, 3), merge=st.integers(1, 3))
def test_all_that_goes_in_comes_out_or_is_counted(
    when_full: WhenFull, steps: list[tuple[str, int]], every: int, merge: int
) -> None:
    waiting = backlog(when_full=when_full, every=every, merge=merge)
    offered, controls, losses, shed = [], [], NO_LOSS, Shed()
    out: list[Message] = []

    def take() -> None:
        nonlocal losses, shed
        one = waiting.take()
        out.append(one.message)
        losses, shed = losses + one.loss, shed + one.shed

    for place, (kind, size) in enumerate([*steps, ("control", 0)]):
        if kind == "take":
            for _ in range(min(size, len(waiting))):
                take()
            continue
        message = made(kind, size, place)
        for part in waiting.parts(message):
            while not waiting.add(part):
                take()
        offered.append(message)
        controls += [message] if message.is_control else []
        assert sum(not w.message.is_control for w in waiting._waiting) <= ROOM
    while waiting:
        take()
    # In = out + lost, in messages and units, as told by the messages that came behind.
    assert losses == waiting.lost
    assert sum(map(units, offered)) == sum(map(units, out)) + losses.units
    assert shed.events + shed.windows + shed.merged + shed.predictions == losses.units
    assert [m for m in out if m.is_control] == controls
    ends = [m.header.t_last_us for m in out if isinstance(m.header, Data)]
    assert ends == sorted(ends)


def test_the_end_of_a_stream_tells_of_what_was_lost_before_it() -> None:
    waiting = backlog(when_full="drop_newest")
    for k in range(5):
        assert waiting.add(events(1, t_us=k))
    assert waiting.add(end_stream())
    assert [waiting.take().loss for _ in range(4)][-1] == Loss(2, 2)

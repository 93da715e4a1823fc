"""The ring: nothing is lost in it but the oldest, and that is counted."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import EventArray, empty_events, events_from_columns
from stages.sources.ring import Ring, RingCount, Session

CAMERA = Session(0, 8, 6, "camera")
AGAIN = CAMERA._replace(number=1)


def numbered(begin: int, count: int) -> EventArray:
    """Events whose time is their number."""
    t = np.arange(begin, begin + count)
    return events_from_columns(t, t % 8, t % 6, t % 2)


def test_events_come_out_as_they_went_in() -> None:
    ring = Ring(100)
    ring.put(numbered(0, 3), CAMERA, arrived_ns=7)
    ring.put(numbered(3, 2), CAMERA, arrived_ns=9)
    taken = ring.take(4)
    assert taken is not None
    assert (taken.session, taken.first_arrived_ns, taken.last_arrived_ns) == (CAMERA, 7, 9)
    assert taken.events.tobytes() == numbered(0, 4).tobytes()
    rest = ring.take(4)
    assert rest is not None
    assert rest.events["t"].tolist() == [4]
    assert ring.take(4) is None
    assert ring.count() == RingCount(put=5, dropped=0, taken=5, held=0, highest=5)


def test_the_oldest_make_room_for_the_new() -> None:
    ring = Ring(4)
    ring.put(numbered(0, 3), CAMERA, 0)
    ring.put(numbered(3, 3), CAMERA, 0)
    assert ring.count() == RingCount(put=6, dropped=2, taken=0, held=4, highest=4)
    taken = ring.take(10)
    assert taken is not None
    assert taken.events["t"].tolist() == [2, 3, 4, 5]


def test_of_more_than_it_holds_the_latest_stay() -> None:
    ring = Ring(4)
    ring.put(numbered(0, 2), CAMERA, 0)
    ring.put(numbered(2, 9), CAMERA, 0)
    taken = ring.take(10)
    assert taken is not None
    assert taken.events["t"].tolist() == [7, 8, 9, 10]
    assert ring.count() == RingCount(put=11, dropped=7, taken=4, held=0, highest=4)


def test_sessions_are_not_mixed() -> None:
    ring = Ring(100)
    ring.put(numbered(0, 2), CAMERA, 0)
    ring.put(numbered(2, 2), AGAIN, 0)
    first, second = ring.take(10), ring.take(10)
    assert first is not None
    assert second is not None
    assert (first.session, len(first.events)) == (CAMERA, 2)
    assert (second.session, len(second.events)) == (AGAIN, 2)


def test_an_empty_batch_is_nothing() -> None:
    ring = Ring(4)
    ring.put(empty_events(), CAMERA, 0)
    assert ring.take(1) is None


@given(
    capacity=st.integers(1, 12),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 15), st.integers(0, 2)),
            st.tuples(st.just("take"), st.integers(1, 15), st.just(0)),
        ),
        max_size=40,
    ),
)
def test_it_is_a_list_that_loses_its_front(
    capacity: int, steps: list[tuple[str, int, int]]
) -> None:
    """Against a slow twin, for any puts and takes: in = out + dropped + held, in order."""
    ring, twin = Ring(capacity), list[tuple[int, Session, int]]()
    put = dropped = taken = number = highest = arrived_ns = 0
    for step, count, hops in steps:
        if step == "put":
            number += hops
            session = CAMERA._replace(number=number)
            arrived_ns += 5
            ring.put(numbered(put, count), session, arrived_ns)
            twin += [(t, session, arrived_ns) for t in range(put, put + count)]
            put += count
            surplus = max(0, len(twin) - capacity)
            del twin[:surplus]
            dropped += surplus
            highest = max(highest, len(twin))
        else:
            got = ring.take(count)
            if not twin:
                assert got is None
                continue
            assert got is not None
            alike = [each for each in twin[:count] if each[1] == twin[0][1]]
            assert got.session == twin[0][1]
            assert got.events["t"].tolist() == [t for t, _, _ in alike]
            arrived = (got.first_arrived_ns, got.last_arrived_ns)
            assert arrived == (alike[0][2], alike[-1][2])
            del twin[: len(alike)]
            taken += len(alike)
        assert ring.count() == RingCount(put, dropped, taken, len(twin), highest)


@pytest.mark.parametrize("capacity", [50, 100_000])
def test_two_threads_lose_nothing_between_them(capacity: int) -> None:
    ring, done = Ring(capacity), threading.Event()

    def fill() -> None:
        for k in range(400):
            ring.put(numbered(k * 37, 37), CAMERA, 0)
        done.set()

    thread = threading.Thread(target=fill)
    thread.start()
    times: list[int] = []
    while True:
        last = done.is_set()
        taken = ring.take(64)
        if taken is not None:
            times += taken.events["t"].tolist()
        elif last:
            break
    thread.join()
    count = ring.count()
    assert times == sorted(set(times))
    assert (count.put, count.held, count.taken) == (400 * 37, 0, len(times))
    assert count.dropped == count.put - len(times)
    assert count.dropped == 0 or capacity < count.put

"""The lag: what a device needed so far and half as much again, whatever its clock."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import EventArray, empty_events, events_from_columns
from stages.sources.lag import Lag

PACKET_US = 10_000


def packet(first_us: int, last_us: int) -> EventArray:
    return events_from_columns([first_us, last_us], [1, 1], [1, 1], [1, 1])


def learned(
    interval_us: int | None, delays_us: list[int], clock_us: int = 0, drift: float = 1.0
) -> Lag:
    """Of packets of 10 ms, each handed over so long after its end."""
    lag = Lag(interval_us)
    for k, delay_us in enumerate(delays_us):
        first_us = clock_us + int(k * PACKET_US * drift)
        arrived_us = (k + 1) * PACKET_US + delay_us
        lag.learn(packet(first_us, first_us + PACKET_US), arrived_us * 1000)
    return lag


def test_before_anything_is_known() -> None:
    assert Lag(None).us == 100_000
    assert Lag(2_000).us == 2_000


def test_a_steady_device_lags_by_one_and_a_half_packets() -> None:
    assert learned(None, [0] * 20).us == 15_000
    assert learned(2_000, [0] * 3).us == 15_000
    assert learned(20_000, [0] * 20).us == 20_000
    # Three packets are too few to know a device by.
    assert learned(None, [0] * 3).us == 100_000


def test_a_packet_that_came_late_is_allowed_for_from_then_on() -> None:
    assert learned(None, [0] * 10 + [30_000] + [30_000] * 10).us == 60_000
    assert learned(None, [0] * 10 + [5_000_000] * 11).us == 1_000_000


@given(
    clock_us=st.integers(-(2**60), 2**60),
    drift=st.floats(0.999, 1.001),
    delays=st.lists(st.integers(0, 9_000), min_size=20, max_size=60),
)
def test_clocks_that_differ_or_drift_play_no_part(
    clock_us: int, drift: float, delays: list[int]
) -> None:
    apart = learned(None, delays, clock_us, drift).us
    assert abs(apart - learned(None, delays).us) <= 20
    # A packet is up to 10 ms old at its end, and comes up to 9 ms later than the one before.
    assert 14_900 <= apart <= 28_600


def test_a_clock_that_is_set_back_says_nothing() -> None:
    lag = learned(None, [0] * 20, clock_us=50_000_000)
    lag.learn(packet(0, PACKET_US), 22 * PACKET_US * 1000)
    assert lag.us == 15_000
    lag.learn(packet(PACKET_US, 2 * PACKET_US), 26 * PACKET_US * 1000)
    assert lag.us == 60_000


@given(delays=st.lists(st.integers(0, 400_000), min_size=20, max_size=60))
def test_what_was_seen_would_not_be_overtaken_again(delays: list[int]) -> None:
    arrived_us = np.maximum.accumulate(np.arange(1, len(delays) + 1) * PACKET_US + delays)
    lag = Lag(None)
    for k, arrival in enumerate(arrived_us.tolist()):
        lag.learn(packet(k * PACKET_US, (k + 1) * PACKET_US), arrival * 1000)
    needed_us = int(np.max(np.diff(arrived_us)))
    assert lag.us >= min(needed_us, 1_000_000)


def test_a_packet_without_events_says_nothing() -> None:
    lag = learned(None, [0] * 20)
    lag.learn(empty_events(), 10**12)
    assert lag.us == 15_000

"""Random changes of events: what they keep, what they move, what they count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import event_arrays

from models.training.recipe import EventSection
from pipeline.events import EventArray, events_from_columns
from stages.datasets.event_changes import change_events, drop, jitter, move, stretch

SIZE = (6, 8)
SECTIONS = st.builds(
    EventSection,
    time_jitter_us=st.floats(0, 100),
    time_scale=st.floats(0, 0.5),
    drop_probability=st.floats(0, 0.9),
    shift_px=st.integers(0, 4),
    rotate_deg=st.floats(0, 180),
    scale=st.floats(0, 0.9),
    shear=st.floats(0, 0.9),
)


@given(event_arrays(), SECTIONS, st.integers(0, 2**32))
def test_changed_events_are_in_order_and_within_the_sensor(
    events: EventArray, section: EventSection, seed: int
) -> None:
    before = events.copy()
    changed, left = change_events(events, SIZE, section, np.random.default_rng(seed))
    assert np.array_equal(events, before)
    assert (np.diff(changed["t"]) >= 0).all()
    assert ((changed["x"] >= 0) & (changed["x"] < 8) & (changed["y"] >= 0)).all()
    assert (changed["y"] < 6).all()
    assert changed.dtype == events.dtype
    if not section.drop_probability:
        assert len(changed) + left == len(events)


@given(event_arrays(), st.integers(0, 2**32))
def test_no_change_asked_for_is_none_made(events: EventArray, seed: int) -> None:
    changed = change_events(events, SIZE, EventSection(), np.random.default_rng(seed))
    assert np.array_equal(changed.events, events)
    assert changed.left == 0


def test_the_same_draw_makes_the_same_change() -> None:
    events = events_from_columns(range(0, 5000, 10), [3] * 500, [4] * 500, [1] * 500)
    section = EventSection(time_jitter_us=50, drop_probability=0.5, shift_px=2)
    one, again, other = (
        change_events(events, SIZE, section, np.random.default_rng(seed)).events
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_shift_moves_all_alike_and_counts_what_left() -> None:
    events = events_from_columns([1, 2, 3], [0, 5, 7], [0, 2, 5], [1, 0, 1])
    moved, left = move(events, SIZE, shift_px=(1, 2))
    assert moved.tolist() == [(1, 2, 1, 1), (2, 7, 3, 0)]
    assert left == 1


def test_a_quarter_turn_is_clockwise_about_the_centre() -> None:
    events = events_from_columns([1], [4], [0], [1])
    moved, _ = move(events, (5, 5), rotation_deg=90)
    assert moved[["x", "y"]].tolist() == [(4, 4)]
    assert move(events, (5, 5), rotation_deg=180).events[["x", "y"]].tolist() == [(0, 4)]


def test_scale_is_from_the_centre_too() -> None:
    events = events_from_columns([1, 2], [3, 2], [2, 2], [1, 1])
    moved, _ = move(events, (5, 5), scale=2)
    assert moved[["x", "y"]].tolist() == [(4, 2), (2, 2)]


def test_shear_slants_about_the_centre() -> None:
    events = events_from_columns([1, 2, 3], [2, 2, 2], [0, 2, 4], [1, 1, 1])
    moved, _ = move(events, (5, 5), shear=0.5)
    assert moved["x"].tolist() == [1, 2, 3]


def test_stretching_keeps_the_beginning() -> None:
    events = events_from_columns([100, 200, 300], [0] * 3, [0] * 3, [1] * 3)
    assert stretch(events, 1.5)["t"].tolist() == [100, 250, 400]
    assert stretch(events, 0.5)["t"].tolist() == [100, 150, 200]


def test_jitter_has_the_deviation_asked_for() -> None:
    events = events_from_columns(np.arange(5000) * 1_000_000, *[np.zeros(5000)] * 3)
    moved = jitter(events, 100, np.random.default_rng(0))["t"] - events["t"]
    assert moved.std() == pytest.approx(100, rel=0.05)


def test_drop_loses_the_share_asked_for() -> None:
    events = events_from_columns(*[np.zeros(20_000)] * 4)
    assert len(drop(events, 0.3, np.random.default_rng(0))) == pytest.approx(14_000, rel=0.02)

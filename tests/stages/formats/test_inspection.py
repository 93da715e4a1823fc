"""Inspection: every policy of every violation, as a slow twin in plain Python applies it."""

from collections import Counter
from itertools import pairwise, product
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.events import (
    TIME_LIMIT_US,
    EventArray,
    concatenate_events,
    empty_events,
    events_from_columns,
)
from stages.formats.inspection import NO_TIME_US, Inspector
from stages.formats.policies import Policies

WIDTH, HEIGHT, GAP_US = 8, 6, 300
Row = tuple[int, int, int, int]


class Found(NamedTuple):
    rows: list[Row]
    refused: dict[str, int]
    notes: dict[str, int]
    last_us: int
    stopped: int | None
    """The event that violates what must not be."""


def twin(rows: list[Row], policies: Policies) -> Found:
    """What inspection should find."""
    kept: list[Row] = []
    refused: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    last_us = NO_TIME_US
    for number, (t, x, y, p) in enumerate(rows):
        if abs(t) >= TIME_LIMIT_US:
            refused["of impossible time"] += 1
            continue
        if p not in (0, 1):
            if policies.on_unknown == "raise":
                notes["of unknown polarity"] += 1
                return Found(kept, refused, notes, last_us, number)
            refused["of unknown polarity"] += 1
            continue
        if not (0 <= x < WIDTH and 0 <= y < HEIGHT):
            if policies.on_outside == "drop":
                refused["outside the sensor"] += 1
                continue
            notes["outside the sensor"] += 1
            if policies.on_outside == "raise":
                return Found(kept, refused, notes, last_us, number)
            x, y = sorted((0, x, WIDTH - 1))[1], sorted((0, y, HEIGHT - 1))[1]
        if t < last_us:
            if policies.on_time_back == "drop":
                refused["going back in time"] += 1
                continue
            notes["going back in time"] += 1
            if policies.on_time_back == "raise":
                return Found(kept, refused, notes, last_us, number)
            if policies.on_time_back == "clamp":
                if last_us - t >= 1_000_000:
                    return Found(kept, refused, notes, last_us, number)
                t = last_us
        if last_us != NO_TIME_US and t - last_us > policies.gap_us:
            notes["gaps"] += 1
            if policies.on_gap == "raise":
                return Found(kept, refused, notes, last_us, number)
        last_us = max(last_us, t)
        kept.append((t, x, y, p))
    return Found(kept, refused, notes, last_us, None)


def inspected(rows: list[Row], policies: Policies, cuts: list[int]) -> Found:
    """What it finds in events cut anywhere, each part with the inspector of the parts before."""
    inspector = Inspector(WIDTH, HEIGHT, policies)
    events = as_events(rows)
    parts: list[EventArray] = []
    for begin, end in pairwise([0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]):
        parts.append(inspector.inspect(events[begin:end].copy()))
        assert not parts[-1].flags.writeable
        if inspector.violation is not None:
            stopped = begin + inspector.violation.number
            return found(parts, inspector, stopped)
    return found(parts, inspector, None)


def found(parts: list[EventArray], inspector: Inspector, stopped: int | None) -> Found:
    rows = concatenate_events(parts).tolist()
    return Found(rows, inspector.refused, inspector.notes, inspector.last_us, stopped)


def as_events(rows: list[Row]) -> EventArray:
    events = empty_events(len(rows))
    for k, row in enumerate(rows):
        events[k] = row
    return events


def any_of(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


POLICIES = st.builds(
    Policies,
    on_time_back=any_of("clamp", "drop", "keep", "raise"),
    on_gap=any_of("keep", "raise"),
    on_outside=any_of("drop", "clamp", "raise"),
    on_unknown=any_of("drop", "raise"),
    gap_us=st.just(GAP_US),
)
GOOD = st.tuples(st.integers(0, 40), st.integers(0, 7), st.integers(0, 5), st.integers(0, 1))
BAD = st.tuples(
    st.sampled_from([-2_000_000, -1_000_000, -999_999, -50, 0, GAP_US, GAP_US + 1, 2**62, 2**63]),
    st.sampled_from([0, 3, 7, 8, -1, 2**15 - 1, -(2**15)]),
    st.sampled_from([0, 3, 5, 6, -1, 2**15 - 1, -(2**15)]),
    st.sampled_from([0, 1, 2, -1]),
)


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Events whose times go by steps, with some that are wrong in every way."""
    steps = draw(st.lists(st.one_of(GOOD, GOOD, GOOD, BAD), max_size=40))
    t_us, made = 0, []
    for step_us, x, y, p in steps:
        far = abs(step_us) >= 2**62
        t_us += 0 if far else step_us
        made.append((step_us - 1 if far else t_us, x, y, p))
    return made


@settings(max_examples=300)
@given(rows=rows(), policies=POLICIES, cuts=st.lists(st.integers(0, 40), max_size=6))
def test_inspection_in_any_cuts_is_the_twins(
    rows: list[Row], policies: Policies, cuts: list[int]
) -> None:
    assert inspected(rows, policies, cuts) == twin(rows, policies)


@given(rows=rows(), policies=POLICIES)
def test_every_event_is_delivered_refused_or_behind_a_violation(
    rows: list[Row], policies: Policies
) -> None:
    kept, refused, _, _, stopped = inspected(rows, policies, [])
    assert len(kept) + sum(refused.values()) == (len(rows) if stopped is None else stopped)


def test_clean_events_are_passed_on_as_they_are() -> None:
    events = events_from_columns([1, 2, 2], [0, 7, 3], [0, 5, 3], [0, 1, 1])
    assert Inspector(WIDTH, HEIGHT, Policies()).inspect(events) is events


GOOD_ROW = (1_000_000, 1, 1, 1)
TEXTS = {
    "on_unknown": (
        (1_000_000, 1, 1, 2),
        'its polarity is 2, must be 0 or 1; set on_unknown = "drop" to leave it out',
    ),
    "on_outside": (
        (1_000_000, 8, -1, 1),
        'it is at (8, -1), outside the 8×6 sensor; set on_outside = "drop" or "clamp", or give'
        " the right size",
    ),
    "on_time_back": (
        (999_990, 1, 1, 1),
        "its time 999990 µs is 0.000010 s before that of an event before it; set"
        ' on_time_back = "clamp", "drop" or "keep"',
    ),
    "on_gap": (
        (3_500_000, 1, 1, 1),
        "its time 3500000 µs is 2.500 s ahead of the one before, more than gap_us = 1000000; set"
        ' on_gap = "keep"',
    ),
}


@pytest.mark.parametrize("policy", TEXTS)
def test_a_violation_says_what_is_wrong_and_what_to_set(policy: str) -> None:
    row, text = TEXTS[policy]
    inspector = Inspector(WIDTH, HEIGHT, Policies.model_validate({policy: "raise"}))
    kept = inspector.inspect(as_events([GOOD_ROW, row, GOOD_ROW]))
    assert kept.tolist() == [GOOD_ROW]
    assert (str(inspector.violation), inspector.violation.number) == (text, 1)
    # It is counted, and not as one that was left out.
    assert (sum(inspector.notes.values()), inspector.refused) == (1, {})


def test_a_clock_that_was_reset_is_no_small_step_back() -> None:
    inspector = Inspector(WIDTH, HEIGHT, Policies())
    assert len(inspector.inspect(as_events([GOOD_ROW, (0, 1, 1, 1)]))) == 1
    assert str(inspector.violation) == (
        "its time 0 µs goes back by 1.000 s, so the clock was reset; cut the recording there, or"
        ' set on_time_back = "drop" or "keep"'
    )


def test_the_policies_of_one_violation_leave_the_others_alone() -> None:
    """Every combination, for an event both outside and earlier, and one behind a gap."""
    rows = [GOOD_ROW, (999_000, 9, 9, 1), (1_000_400, 1, 1, 0)]
    for back, gap, outside in product(
        ("clamp", "drop", "keep", "raise"), ("keep", "raise"), ("drop", "clamp", "raise")
    ):
        policies = Policies.model_validate(
            {"on_time_back": back, "on_gap": gap, "on_outside": outside, "gap_us": GAP_US}
        )
        assert inspected(rows, policies, []) == twin(rows, policies)


def test_the_latest_time_goes_on_from_where_a_position_was_taken() -> None:
    inspector = Inspector(WIDTH, HEIGHT, Policies(), last_us=1_000_005)
    assert inspector.inspect(as_events([GOOD_ROW]))["t"].tolist() == [1_000_005]
    assert (inspector.notes, inspector.refused) == ({"going back in time": 1}, {})

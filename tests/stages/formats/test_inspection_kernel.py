"""The quick look at events finds exactly what the slow one finds."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.events import EVENT, TIME_LIMIT_US, empty_events
from stages.formats.inspection_kernel import is_clean, survey

WIDTH, HEIGHT, GAP_US = 40, 30, 100
FAR = [-(2**63), -(2**62) - 1, -(2**62), -(2**62) + 1, 2**62 - 1, 2**62, 2**63 - 1]
TIMES = st.one_of(st.integers(0, 500), st.sampled_from(FAR))
SIDE = st.one_of(st.integers(0, 45), st.sampled_from([-1, -(2**15), 2**15 - 1]))
ROWS = st.lists(st.tuples(TIMES, SIDE, SIDE, st.sampled_from([0, 1, 0, 1, 2, -1])), max_size=5)
STEADY = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 41), st.integers(0, 31), st.integers(0, 1)),
    max_size=30,
)


@given(rows=st.one_of(ROWS, STEADY.map(sorted)), last_us=st.sampled_from([-TIME_LIMIT_US, 0, 30]))
@example(
    rows=[(0, 0, 0, 0), (2**62, 0, 0, 0), (2**63 - 1, 0, 0, 0), (-(2**63), 0, 0, 0)], last_us=0
)
@example(rows=[(0, 39, 29, 1), (100, 0, 0, 0)], last_us=-TIME_LIMIT_US)
def test_events_are_clean_when_the_survey_finds_nothing(
    rows: list[tuple[int, int, int, int]], last_us: int
) -> None:
    events = empty_events(len(rows))
    for k, row in enumerate(rows):
        events[k] = row
    words = events.view(np.int64).reshape(-1, 2)
    possible = all(abs(t) < TIME_LIMIT_US for t, *_ in rows)
    steady, gaps, x, y, p, _ = survey(words, last_us, GAP_US)
    clean = bool(rows and possible and steady and not gaps and x < WIDTH and y < HEIGHT and p <= 1)
    assert is_clean(words, last_us, GAP_US, WIDTH, HEIGHT) == clean


def test_padding_is_not_looked_at() -> None:
    dirty = np.frombuffer(bytes([255]) * EVENT.itemsize, EVENT).copy()
    dirty["t"], dirty["x"], dirty["y"], dirty["p"] = 5, 1, 2, 1
    assert is_clean(dirty.view(np.int64).reshape(-1, 2), 0, GAP_US, WIDTH, HEIGHT)

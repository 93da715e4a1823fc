"""Windows that are merged hold the same events and cover the same time."""

import numpy as np
from count_frames import frames
from hypothesis import given
from hypothesis import strategies as st

from pipeline.messages import Frames, Message
from pipeline.queue.coarsen import join, split


def told(message: Message | None) -> tuple[list[int], list[tuple[int, int]], list[int]]:
    """Counts, spans and numbers of the windows."""
    assert message is not None
    assert isinstance(message.header, Frames)
    windows = message.header.windows
    every = range(len(windows))
    counts = message.array.ravel().tolist()
    return counts, [windows.span_us(k) for k in every], [windows.number(k) for k in every]


def test_two_windows_become_one_that_is_known_by_the_later() -> None:
    joined = join(frames(4, [3]), frames(5, [200]), 2)
    assert told(joined) == ([203], [(40, 60)], [5])
    assert joined is not None
    assert joined.header.windows.merged == (2,)  # type: ignore[attr-defined]
    assert joined.header.windows.last_event_us == (50,)  # type: ignore[attr-defined]


def test_counts_that_no_longer_fit_take_a_wider_type() -> None:
    joined = join(frames(0, [200]), frames(1, [200]), 2)
    assert joined is not None
    assert joined.array.dtype == np.uint16
    assert told(joined)[0] == [400]


def test_no_window_grows_beyond_the_most() -> None:
    joined = join(frames(0, [1, 1]), frames(2, [1, 1, 1]), 2)
    assert told(joined) == ([2, 2, 1], [(0, 20), (20, 40), (40, 50)], [1, 3, 4])
    assert joined is not None
    assert told(join(joined, frames(5, [1]), 2)) == (
        [2, 2, 2],
        [(0, 20), (20, 40), (40, 60)],
        [1, 3, 5],
    )
    assert join(frames(0, [1]), frames(1, [1]), 1) is None


def test_a_message_is_cut_into_windows() -> None:
    merged = join(frames(3, [1, 2]), frames(5, [3]), 2)
    assert merged is not None
    assert [told(one) for one in split(merged)] == [
        ([3], [(30, 50)], [4]),
        ([3], [(50, 60)], [5]),
    ]
    grid = split(frames(3, [1, 2]))
    assert [told(one) for one in grid] == [([1], [(30, 40)], [3]), ([2], [(40, 50)], [4])]
    assert split(grid[0]) == [grid[0]]


def test_windows_with_a_gap_between_them_or_of_two_recordings_stay_apart() -> None:
    assert join(frames(0, [1]), frames(2, [1]), 2) is None
    assert join(frames(0, [1]), frames(1, [1], epoch=1), 2) is None


@given(
    st.lists(st.lists(st.integers(0, 255), min_size=1, max_size=4), min_size=2), st.integers(2, 5)
)
def test_no_event_and_no_time_is_lost(runs: list[list[int]], most: int) -> None:
    last = frames(0, runs[0])
    through: list[Message] = []
    for run in runs[1:]:
        number = last.header.windows.number(len(last.array) - 1) + 1  # type: ignore[attr-defined]
        new = frames(number, run)
        joined = join(last, new, most)
        if joined is None:
            through.append(last)
            last = new
        else:
            assert len(joined.array) < len(last.array) + len(new.array)
            last = joined
    through.append(last)
    counts = [told(message) for message in through]
    assert sum(sum(each[0]) for each in counts) == sum(map(sum, runs))
    spans = [span for each in counts for span in each[1]]
    assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert spans[-1][1] == 10 * sum(map(len, runs))
    assert all(end - begin <= 10 * most for begin, end in spans)

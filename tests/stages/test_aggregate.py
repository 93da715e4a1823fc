"""Aggregation: many steps become one prediction."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from streams import account, rows, through

from pipeline.messages import (
    EndRecording,
    Message,
    Outputs,
    Predictions,
    Reset,
    Span,
    Start,
    Windows,
    control,
    data,
)
from pipeline.ports import OutputsPort
from pipeline.stage import PortError
from stages.aggregation.aggregate import Aggregate, AggregateConfig, AggregateState

PORT = OutputsPort(features=3, classes=("a", "b", "c"), window_us=10, step_us=10, trained_steps=4)


def aggregate(**options: Any) -> Aggregate:
    return Aggregate("mean", AggregateConfig(**options), [PORT])


def outputs(values: NDArray[np.float32], cuts: list[int] = []) -> Iterator[Message]:  # noqa: B006
    yield control(Start(stream="cam", width=8, height=6, source="test"))
    first = 0
    for part in np.split(values, sorted(min(cut, len(values)) for cut in cuts)):
        windows = Windows(
            first, first * 10, 10, 10, tuple((first + k) * 10 + 5 for k in range(len(part)))
        )
        yield data(Outputs, part, stream="cam", t_first_us=0, t_last_us=0, windows=windows)
        first += len(part)
    yield control(EndRecording(stream="cam"))


def values(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).random((count, 3)).astype(np.float32)


def after(stage: Aggregate, state: AggregateState, message: Message) -> AggregateState:
    """The state when a message was worked on."""
    states: list[AggregateState] = []

    def work() -> Iterator[Message]:
        states.append((yield from stage.process(state, message)))

    list(work())
    return states[0]


def spans(messages: list[Message]) -> list[Span]:
    return [s for m in messages if isinstance(m.header, Predictions) for s in m.header.spans]


def test_tumbling_mean_is_the_sum_over_t_divided_by_t() -> None:
    x = values(10)
    out = through([aggregate()], outputs(x))
    np.testing.assert_allclose(rows(out), [x[:4].mean(0), x[4:8].mean(0)], rtol=1e-6)
    assert spans(out) == [Span(3, 0, 40, 4, 35), Span(7, 40, 80, 4, 75)]


def test_sliding_starts_with_the_first_full_window_and_goes_on_every_nth() -> None:
    x = values(9)
    out = through([aggregate(over="sliding", every=2)], outputs(x))
    expected = [x[k : k + 4].mean(0) for k in (0, 2, 4)]
    np.testing.assert_allclose(rows(out), expected, rtol=1e-6)
    assert [s.window for s in spans(out)] == [3, 5, 7]


def test_running_is_the_mean_since_the_start() -> None:
    x = values(5)
    out = through([aggregate(over="running")], outputs(x))
    np.testing.assert_allclose(rows(out), [x[: k + 1].mean(0) for k in range(5)], rtol=1e-6)
    assert spans(out)[-1] == Span(4, 0, 50, 5, 45)


def test_last_takes_the_last_of_each_group() -> None:
    x = values(8)
    np.testing.assert_array_equal(rows(through([aggregate(take="last")], outputs(x))), x[[3, 7]])


@pytest.mark.parametrize("take", ["mean", "last"])
@given(
    count=st.integers(0, 40),
    where=st.lists(st.integers(0, 40), max_size=6),
    over=st.sampled_from(["tumbling", "sliding", "running"]),
    every=st.integers(1, 9),
)
def test_cuts_never_change_a_bit_and_the_account_balances(
    take: str, count: int, where: list[int], over: str, every: int
) -> None:
    options = {"over": over, "take": take} | ({"every": every} if over != "tumbling" else {})
    x = values(count)
    whole = through([aggregate(**options)], outputs(x))
    cut = through([aggregate(**options)], outputs(x, where))
    assert rows(whole).tobytes() == rows(cut).tobytes()
    assert spans(whole) == spans(cut)
    result = account(aggregate(**options), list(outputs(x, where)))
    assert result.taken == count == result.used + sum(result.refused.values())
    assert result.made == result.due == len(spans(cut))


@given(
    count=st.integers(0, 40),
    steps=st.integers(1, 9),
    every=st.integers(1, 9),
    features=st.sampled_from([1, 3]),
)
def test_a_score_is_numpys_mean_of_its_own_windows_to_the_bit(
    count: int, steps: int, every: int, features: int
) -> None:
    x = np.random.default_rng(count).random((count, features)).astype(np.float32)
    options = {"over": "sliding", "steps": steps, "every": every, "mismatch": "allow"}
    out = through([aggregate(**options)], outputs(x))
    ends = range(steps, count + 1, every)
    expected = [x[end - steps : end].mean(axis=0, dtype=np.float64) for end in ends]
    assert rows(out).tobytes() == np.array(expected, np.float32).tobytes()
    assert [(s.t_start_us, s.t_end_us) for s in spans(out)] == [
        ((end - steps) * 10, end * 10) for end in ends
    ]


@pytest.mark.parametrize("over", ["tumbling", "sliding"])
@pytest.mark.parametrize(("take", "kept"), [("mean", (4, 3)), ("last", (0, 0))])
def test_outputs_are_kept_in_a_ring_that_is_written_in_place(
    over: str, take: str, kept: tuple[int, int]
) -> None:
    stage = aggregate(over=over, take=take)
    start, first, second, _ = outputs(values(9), [3])
    assert isinstance(start.header, Start)
    state = after(stage, stage.start(start.header), first)
    later = after(stage, state, second)
    assert later.recent is state.recent
    assert later.starts_us is state.starts_us
    assert (later.recent.shape, later.taken) == (kept, 9)


def test_thousands_of_steps_make_one_mean() -> None:
    x = values(20_000)
    out = through([aggregate(steps=20_000, mismatch="allow")], outputs(x, [7, 3000]))
    assert rows(out).tobytes() == x.mean(axis=0, dtype=np.float64).astype(np.float32).tobytes()


def test_a_message_without_outputs_changes_nothing() -> None:
    x = values(8)
    start, first, empty, second, end = outputs(x, [3, 3])
    assert len(empty.array) == 0
    whole = through([aggregate()], [start, first, second, end])
    around = through([aggregate()], [start, empty, first, empty, second, empty, end])
    assert rows(around).tobytes() == rows(whole).tobytes()
    assert account(aggregate(), [start, empty, end]).taken == 0


def test_a_reset_forgets_but_the_account_goes_on() -> None:
    x = values(6)
    start, first, second, end = outputs(x, [3])
    messages = [start, first, control(Reset(stream="cam")), second, end]
    assert spans(through([aggregate()], messages)) == []
    result = account(aggregate(), messages)
    assert (result.taken, result.used, result.refused) == (6, 0, {"in no prediction": 6})


def test_after_a_reset_the_ring_begins_anew() -> None:
    x = values(13)
    start, first, second, end = outputs(x, [6])
    out = through([aggregate()], [start, first, control(Reset(stream="cam")), second, end])
    np.testing.assert_allclose(rows(out), [x[:4].mean(0), x[6:10].mean(0)], rtol=1e-6)
    assert [(s.t_start_us, s.t_end_us) for s in spans(out)] == [(0, 40), (60, 100)]


@pytest.mark.parametrize(
    ("options", "key", "text"),
    [
        ({"steps": 5}, "steps", "was trained to be aggregated over 4 steps, got 5"),
        ({"over": "running", "steps": 4}, "steps", 'no meaning with over = "running", got 4'),
        ({"every": 2}, "every", 'no meaning with over = "tumbling", got 2'),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], key: str, text: str) -> None:
    with pytest.raises(PortError, match=text) as caught:
        aggregate(**options).port()
    assert caught.value.key == key
    if options.get("steps") == 5:
        assert aggregate(**options, mismatch="allow").port().classes == PORT.classes

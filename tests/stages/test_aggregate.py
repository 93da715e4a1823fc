"""Aggregation: many steps become one prediction."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from streams import account, rows, through
from weights import random_weights

import models
from models.network import Network
from pipeline.errors import ConfigError
from pipeline.messages import (
    EndRecording,
    Frames,
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
from pipeline.ports import FramesPort, OutputsPort
from pipeline.stage import Account, PortError
from stages.aggregation.aggregate import Aggregate, AggregateConfig, AggregateState
from stages.aggregation.counting import Over, Rule
from stages.inference.snn import Snn, SnnConfig

PORT = OutputsPort(
    features=3, classes=("a", "b", "c"), window_us=10, step_us=10, trained_steps=4, scores="rate"
)


def aggregate(**options: Any) -> Aggregate:
    return Aggregate("mean", AggregateConfig(**options), [PORT])


def outputs(
    values: NDArray[np.float32],
    cuts: Sequence[int] = (),
    partial: bool = False,
) -> Iterator[Message]:
    """Outputs of windows of 10 µs; ``partial``: the end of the recording closed the last one."""
    yield control(Start(stream="cam", width=8, height=6, source="test"))
    first = 0
    for part in np.split(values, sorted(min(cut, len(values)) for cut in cuts)):
        last_us = tuple((first + k) * 10 + 5 for k in range(len(part)))
        ends = partial and first + len(part) == len(values)
        windows = Windows(first, first * 10, 10, 10, last_us, ends)
        yield data(Outputs, part, stream="cam", t_first_us=0, t_last_us=0, windows=windows)
        first += len(part)
    yield control(EndRecording(stream="cam"))


def framed(frames: NDArray[np.uint8], cuts: Sequence[int] = ()) -> Iterator[Message]:
    """Frames of windows without time."""
    yield control(Start(stream="cam", width=8, height=8, source="test"))
    first = 0
    for part in np.split(frames, sorted(cuts)):
        windows = Windows(first, 0, 0, 0, (None,) * len(part), False, ((0, 0),) * len(part))
        yield data(Frames, part, stream="cam", t_first_us=0, t_last_us=0, windows=windows)
        first += len(part)
    yield control(EndRecording(stream="cam"))


def network_class(place: str) -> type[Network[Any]]:
    module, _, name = place.partition(":")
    found: type[Network[Any]] = getattr(import_module(module), name)
    return found


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


def test_a_recording_makes_one_prediction_at_its_end() -> None:
    x = values(9)
    out = through([aggregate(over="recording")], outputs(x, partial=True))
    assert rows(out).tobytes() == x.mean(0, dtype=np.float64).astype(np.float32)[None].tobytes()
    # It is whole: that the last window was closed by the end of the recording does not matter.
    assert spans(out) == [Span(8, 0, 90, 9, 85)]
    assert [type(m.header).__name__ for m in out] == ["Start", "Predictions", "EndRecording"]


def test_a_recording_with_fewer_steps_than_trained_gets_its_prediction_marked() -> None:
    assert spans(through([aggregate(over="recording")], outputs(values(3)))) == [
        Span(2, 0, 30, 3, 25, partial=True)
    ]
    assert spans(through([aggregate(over="recording")], outputs(values(0)))) == []


def test_of_a_recording_the_first_steps_may_be_taken_alone() -> None:
    x = values(6)
    stage = aggregate(over="recording", steps=4)
    out = through([stage], outputs(x, [3], partial=True))
    np.testing.assert_allclose(rows(out), [x[:4].mean(0)], rtol=1e-6)
    assert spans(out) == [Span(3, 0, 40, 4, 35)]
    result = account(stage, list(outputs(x)))
    assert (result.taken, result.used, result.refused) == (6, 4, {"in no prediction": 2})


def test_a_vote_is_shared_by_equal_scores() -> None:
    x = np.array([[0, 1, 0], [0, 1, 1], [0, 0, 0], [2, 1, 0]], np.float32)
    out = through([aggregate(take="vote")], outputs(x))
    third = 1 / 3
    np.testing.assert_allclose(rows(out), [[(1 + third) / 4, (1.5 + third) / 4, (0.5 + third) / 4]])
    assert aggregate(take="vote").port().scores == "vote", "whatever the network's scores are"
    assert aggregate(take="last").port().scores == "rate"


@pytest.mark.parametrize("over", ["tumbling", "sliding", "running", "recording"])
@pytest.mark.parametrize("fading", [{"decay": 0.5}, {"time_constant_us": 15}])
def test_older_outputs_fade(over: str, fading: dict[str, Any]) -> None:
    x = values(4).astype(np.float64)
    out = through([aggregate(over=over, take="exponential", **fading)], outputs(values(4)))
    each = fading.get("decay") or np.exp(-10 / 15)
    weights = each ** np.array([3, 2, 1, 0])
    expected = (weights[:, None] * x).sum(0) / weights.sum()
    np.testing.assert_allclose(rows(out)[-1], expected, rtol=1e-6)


def test_what_does_not_fade_is_a_mean() -> None:
    x = values(12)
    faded = aggregate(over="sliding", take="exponential", decay=1)
    np.testing.assert_allclose(
        rows(through([faded], outputs(x))), rows(through([aggregate(over="sliding")], outputs(x)))
    )


TAKES: list[dict[str, Any]] = [
    {"take": "mean"},
    {"take": "last"},
    {"take": "vote"},
    {"take": "exponential", "decay": 0.9},
    {"take": "exponential", "time_constant_us": 30},
]


@pytest.mark.parametrize("take", TAKES, ids=lambda take: "-".join(map(str, take.values())))
@settings(max_examples=60)
@given(
    count=st.integers(0, 40),
    where=st.lists(st.integers(0, 40), max_size=6),
    over=st.sampled_from(["tumbling", "sliding", "running", "recording"]),
    every=st.integers(1, 9),
    first=st.booleans(),
)
def test_cuts_never_change_a_bit_and_the_account_balances(
    take: dict[str, Any], count: int, where: list[int], over: str, every: int, first: bool
) -> None:
    options = {"over": over, **take}
    options |= {"every": every} if over in ("sliding", "running") else {}
    options |= {"steps": 4} if over == "recording" and first else {}
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


def test_a_reset_within_a_recording_leaves_what_comes_behind_it() -> None:
    x = values(9)
    start, first, second, end = outputs(x, [3])
    stage = aggregate(over="recording")
    messages = [start, first, control(Reset(stream="cam")), second, end]
    np.testing.assert_allclose(rows(through([stage], messages)), [x[3:].mean(0)], rtol=1e-6)
    result = account(stage, messages)
    assert (result.used, result.refused, result.due) == (6, {"in no prediction": 3}, 1)


def test_networks_whose_outputs_are_scores_are_known_without_loading_them() -> None:
    for name, place in models.NETWORKS.items():
        network = network_class(place)
        plain = network.classify is Network.classify and network.scores is Network.scores
        assert plain == (name in models.SCORES_ALREADY), name


@pytest.mark.parametrize("head", ["after_mean", "per_step"])
@pytest.mark.parametrize(
    ("network", "size", "channels"), [("mnist_dvs", (8, 8), 2), ("imdb", (1, 1), 1)]
)
@settings(max_examples=6)
@given(where=st.lists(st.integers(0, 6), max_size=3))
def test_a_stream_decides_as_the_network_itself_does(
    head: str,
    network: str,
    size: tuple[int, int],
    channels: int,
    where: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"{network}-{head}.safetensors"
    if not path.exists():
        random_weights(
            path, None, size, network, classes=("no", "yes"), head=head, steps=6, mode="analog"
        )
    frames = np.random.default_rng(0).integers(0, 9, (6, channels, *size), dtype=np.uint8)
    snn = Snn("net", SnnConfig(weights=path), [FramesPort(channels, *size, None, None)])
    stages = [snn, Aggregate("mean", AggregateConfig(over="recording"), [snn.port()])]
    streamed = rows(through(stages, framed(frames, where)))
    loaded = models.load(path)
    with torch.inference_mode():
        steps, _ = loaded(torch.from_numpy(frames)[None])
        own = loaded.scores(loaded.decide(steps))
    assert streamed.tobytes() == rows(through(stages, framed(frames, []))).tobytes()
    np.testing.assert_allclose(streamed, own.numpy(), rtol=1e-5, atol=1e-6)
    assert streamed.std() > 0


def test_votes_are_of_the_classes_that_each_step_alone_would_be(tmp_path: Path) -> None:
    path = random_weights(
        tmp_path / "a.safetensors", None, (8, 8), "mnist_dvs", classes=("a", "b"), steps=6
    )
    frames = np.random.default_rng(1).integers(0, 9, (6, 2, 8, 8), dtype=np.uint8)
    snn = Snn("net", SnnConfig(weights=path), [FramesPort(2, 8, 8, None, None)])
    stages = [snn, Aggregate("vote", AggregateConfig(take="vote"), [snn.port()])]
    (shares,) = rows(through(stages, framed(frames)))
    loaded = models.load(path)
    with torch.inference_mode():
        steps, _ = loaded(torch.from_numpy(frames)[None])
        winners = loaded.classify(steps[0]).argmax(1).tolist()
    assert shares.tolist() == pytest.approx([winners.count(k) / 6 for k in range(2)])


def test_weights_that_go_between_check_and_run_are_named(tmp_path: Path) -> None:
    port = OutputsPort(None, ("a", "b"), None, None, 4, head=tmp_path / "gone.safetensors")
    with pytest.raises(ConfigError, match=r"gone.safetensors: there is no such file"):
        Aggregate("mean", AggregateConfig(), [port]).open()


def test_as_many_scores_as_classes_are_taken() -> None:
    config = AggregateConfig()
    with pytest.raises(
        PortError, match="a score for each of 3 classes, its input gives 5"
    ) as caught:
        Aggregate("mean", config, [replace(PORT, features=5)]).port()
    assert caught.value.key == "from"
    Aggregate("mean", config, [replace(PORT, features=5, head=Path("w"))]).port()


@pytest.mark.parametrize(
    ("options", "needed", "key"),
    [
        ({}, 4, "steps"),
        ({"over": "sliding"}, 4, "steps"),
        ({"over": "running", "every": 5}, 5, "every"),
    ],
)
def test_recordings_too_short_for_a_single_prediction_are_refused(
    options: dict[str, Any], needed: int, key: str
) -> None:
    config = AggregateConfig(**options)
    short, just_right = (replace(PORT, steps=steps) for steps in (needed - 1, needed))
    with pytest.raises(PortError, match=f"needs {needed} steps, .* has {needed - 1}, so") as caught:
        Aggregate("mean", config, [short]).port()
    assert caught.value.key == key
    Aggregate("mean", config, [just_right]).port()
    Aggregate("mean", AggregateConfig(over="recording"), [short]).port()


@pytest.mark.parametrize(
    ("options", "key", "text"),
    [
        (
            {"over": "recording", "steps": 5},
            "steps",
            "was trained to be aggregated over 4 steps, got 5",
        ),
        ({"over": "recording", "every": 2}, "every", 'no meaning with over = "recording", got 2'),
        ({"decay": 0.5}, "decay", 'has no meaning without take = "exponential", got 0.5'),
        (
            {"time_constant_us": 9, "take": "mean"},
            "time_constant_us",
            'has no meaning without take = "exponential", got 9',
        ),
        ({"take": "exponential"}, "take", "needs one of decay and time_constant_us, and not both"),
        (
            {"take": "exponential", "decay": 0.5, "time_constant_us": 9},
            "take",
            "needs one of decay and time_constant_us, and not both",
        ),
        ({"steps": 5}, "steps", "was trained to be aggregated over 4 steps, got 5"),
        ({"over": "running", "steps": 4}, "steps", 'no meaning with over = "running", got 4'),
        ({"every": 2}, "every", '"tumbling", got 2; set over = "sliding", or leave it out'),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], key: str, text: str) -> None:
    with pytest.raises(PortError, match=text) as caught:
        aggregate(**options).port()
    assert caught.value.key == key
    if options.get("steps") == 5:
        assert aggregate(**options, mismatch="allow").port().classes == PORT.classes


def test_what_a_prediction_needs_is_told_where_none_was_made() -> None:
    port = OutputsPort(features=2, classes=("no", "yes"), window_us=25_000, step_us=25_000)
    stage = Aggregate("decision", AggregateConfig(steps=60, mismatch="allow"), [port])
    none = Account(24, 0, 0, "outputs", "predictions", {"in no prediction": 24}, 0)
    (remark,) = stage.remarks(none)
    assert remark.startswith("a prediction needs 60 windows, 1.5 s, of one recording")
    assert stage.remarks(Account(60, 60, 1, "outputs", "predictions", {}, 1)) == []


@given(
    taken=st.integers(0, 40),
    over=st.sampled_from(["tumbling", "sliding", "running", "recording"]),
    steps=st.integers(1, 9),
    every=st.integers(1, 9),
    bound=st.booleans(),
)
def test_windows_wait_that_a_later_prediction_will_be_made_of(
    taken: int, over: Over, steps: int, every: int, bound: bool
) -> None:
    rule = Rule(over, steps if bound or over in ("tumbling", "sliding") else None, every)
    used = {
        "tumbling": set(range(taken)),
        "sliding": {
            start + k for start in range(0, taken, every) for k in range(steps) if start + k < taken
        },
        "running": set(range(taken)),
        "recording": set(range(rule.first(taken))),
    }[over]
    assert rule.unused(taken) - rule.waiting(taken) == taken - len(used)


def test_what_waits_is_no_loss_before_the_recording_has_ended() -> None:
    stage = aggregate(steps=4)
    start, first, _ = outputs(values(6))
    stage.open()
    assert isinstance(start.header, Start)
    state = after(stage, stage.start(start.header), first)
    assert (stage.account(state).refused, stage.waiting(state)) == (
        {"in no prediction": 2},
        {"in no prediction": 2},
    )
    assert stage.waiting(state._replace(ended=True)) == {}


def test_windows_that_are_missing_or_merged_keep_their_numbers_and_times() -> None:
    begin, first, end = outputs(values(4))
    late = Windows(7, 70, 0, 0, (75, 95), spans_us=((70, 90), (90, 110)), merged=(2, 2))
    times = {"t_first_us": 70, "t_last_us": 110}
    last = data(Outputs, values(2), stream="cam", windows=late, **times)
    stage = aggregate(over="tumbling", steps=3)
    made = spans(through([stage], [begin, first, last, end]))
    assert [(span.window, span.t_start_us, span.t_end_us, span.steps) for span in made] == [
        (2, 0, 30, 3),
        (10, 30, 110, 3),
    ]

"""The law of checkpoints: a stage that goes on from one gives to the bit what it would have given.

A stream is cut anywhere, what the stage keeps is written and read as in a checkpoint, and another
object of it, as of a new process, goes on. Sinks are held to it in `sinks`, faults in `faults`, the
KA200 in `ka200`.
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from frame_streams import STEP_US, frame_recording
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import cuts, recording
from weights import random_weights

from pipeline.checkpoint.snapshot import classes_of, pack, unpack
from pipeline.events import EventArray, events_from_columns
from pipeline.messages import EndRecording, Message, Outputs, Reset, Start, Windows, control, data
from pipeline.ports import EventsPort, FramesPort, OutputsPort
from pipeline.registry import BUILT_IN, load_stage
from pipeline.stage import Sink, Source

SENSOR = EventsPort(8, 6)
FRAMES = FramesPort(2, 6, 8, STEP_US, STEP_US)
OUTPUTS = OutputsPort(
    features=3, classes=("a", "b", "c"), window_us=10, step_us=10, trained_steps=4, scores="rate"
)
LENS = Path(__file__).parent / "filters" / "lens.json"

Options = dict[str, Any]
OF_EVENTS: dict[str, list[Options]] = {
    "roi": [{"x": 2, "y": 1, "width": 4, "height": 5, "rebase": True}],
    "polarity": [{"mode": "on"}],
    "downsample": [{"factor_x": 3, "factor_y": 2}],
    "orient": [{"rotate": 90}],
    "refractory": [{"period_us": 30}],
    "background_activity": [{"tau_us": 5}, {"tau_us": 3, "radius": 2, "own_pixel": True}],
    "hot_pixel": [
        {"pixels": [(3, 3), (0, 5)]},
        {"learn_us": 100, "times_neighbours": 2, "min_rate_hz": 0},
    ],
    "rate_limit": [{"max_events_per_s": 100_000, "interval_us": 50}],
    "time_shift": [{"shift_us": -1000}, {"start_us": 0}],
    "undistort": [{"file": LENS}],
    "time_bin": [
        {"window_us": 30},
        {"window_us": 30, "step_us": 7, "frame": "voxel", "bins": 3},
        {"window_us": 30, "step_us": 45, "frame": "signed"},
        {"window_us": 30, "step_us": 11, "frame": "time_surface", "tau_us": 50},
        {"window_us": 30, "frame": "decay", "tau_us": 50, "size": (3, 4)},
        {"window_us": 20, "frame": "binary", "origin_us": -55},
    ],
    "count_bin": [{"events": 7}, {"events": 7, "step": 3, "frame": "decay", "tau_us": 50}],
    "slice_bin": [{"slices": 3}, {"slices": 4, "frame": "time_surface", "tau_us": 50}],
}
OF_FRAMES: dict[str, list[Options]] = {
    "resize": [{"size": (3, 4)}],
    "frame_difference": [{"threshold": 20}],
    "steps": [{"count": 5}],
}
OF_OUTPUTS: dict[str, list[Options]] = {
    "aggregate": [
        {"over": "tumbling"},
        {"over": "sliding", "every": 2},
        {"over": "sliding", "take": "last"},
        {"over": "sliding", "take": "vote"},
        {"over": "running", "take": "exponential", "decay": 0.7},
        {"over": "sliding", "take": "exponential", "time_constant_us": 30},
        {"over": "recording"},
    ],
}


def cases(named: dict[str, list[Options]]) -> pytest.MarkDecorator:
    found = [
        pytest.param(name, options, id=f"{name}-{number}")
        for name, several in named.items()
        for number, options in enumerate(several)
    ]
    return pytest.mark.parametrize(("name", "options"), found)


def test_every_stage_is_held_to_the_law() -> None:
    elsewhere = {"snn", "ka200"} | {name for name in BUILT_IN if name.startswith("fault_")}
    kinds = {name: load_stage(name) for name in BUILT_IN}
    transforms = {name for name, kind in kinds.items() if not issubclass(kind, Source | Sink)}
    assert transforms == {*OF_EVENTS, *OF_FRAMES, *OF_OUTPUTS} | elsewhere


def make(name: str, options: Options, port: Any) -> Any:
    found = load_stage(name)
    stage = found(name, found.Config(**options), [port])
    stage.open()
    return stage


class Line:
    """A stage that takes messages one by one, and what has come out of it."""

    def __init__(self, stage: Any) -> None:
        self.stage, self.state = stage, None
        self.out: list[tuple[bytes, bytes]] = []

    def take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            turn = self.stage.step(self.state, message)
            while True:
                try:
                    out = next(turn)
                except StopIteration as end:
                    self.state = end.value
                    break
                header = msgspec.json.encode(out.header)
                self.out.append((type(out.header).__name__.encode() + header, out.array.tobytes()))

    def move_to(self, stage: Any) -> None:
        """Go on with another stage, as behind a checkpoint."""
        saved = pack(None if self.state is None else self.stage.snapshot(self.state))
        self.state = unpack(saved, classes_of(type(stage)))
        self.stage = stage
        if self.state is not None:
            self.state = stage.restore(self.state)

    def account(self) -> Any:
        return None if self.state is None else self.stage.account(self.state)


def assert_moving_changes_nothing(
    stages: Sequence[Any], messages: Sequence[Message], where: Sequence[int]
) -> None:
    """Hold a run that moves from stage to stage to one that does not."""
    alone, moved = Line(stages[0]), Line(stages[0])
    alone.take(messages)
    compiled = kernels()
    begin = 0
    for number, end in enumerate(sorted(min(place, len(messages)) for place in where)):
        moved.take(messages[begin:end])
        moved.move_to(stages[(number + 1) % len(stages)])
        begin = end
    moved.take(messages[begin:])
    assert moved.out == alone.out
    assert moved.account() == alone.account()
    # Arrays of another layout would have kernels compiled once more, for seconds, in a run.
    assert kernels() == compiled


def kernels() -> set[tuple[str, str]]:
    """Every kernel that is loaded, by name and by what it is compiled for."""
    found = set()
    for name, module in [*sys.modules.items()]:
        if name.startswith(("stages.", "models.")):
            for each in vars(module).values():
                for signature in getattr(each, "signatures", None) or ():
                    found.add((f"{name}.{each.__name__}", str(signature)))
    return found


def wild_events(seed: int, count: int) -> EventArray:
    """Events not quite in order, with bursts, so that all that can happen does."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 400, count))
    t[rng.random(count) < 0.1] -= 40
    x, y, p = (rng.integers(low, high, count) for low, high in ((-1, 9), (-1, 7), (0, 2)))
    return events_from_columns(t, x, y, p)


def twice(first: Iterator[Message], second: Iterator[Message], reset: int) -> list[Message]:
    """Two recordings, the first with a reset in it."""
    messages = [*first]
    messages.insert(1 + reset % (len(messages) - 1), control(Reset(stream="cam")))
    return [*messages, *second]


seeds = st.integers(0, 2**32 - 1)
places = st.lists(st.integers(0, 24), min_size=1, max_size=4)


@cases(OF_EVENTS)
@settings(max_examples=12)
@given(seed=seeds, count=st.integers(0, 80), parts=cuts(80), reset=st.integers(0, 9), where=places)
def test_of_events(
    name: str,
    options: Options,
    seed: int,
    count: int,
    parts: list[int],
    reset: int,
    where: list[int],
) -> None:
    first, second = wild_events(seed, count), wild_events(seed + 1, 40)
    messages = twice(recording(first, parts), recording(second, [20]), reset)
    stages = [make(name, options, SENSOR) for _ in range(2)]
    assert_moving_changes_nothing(stages, messages, where)


@cases(OF_FRAMES)
@settings(max_examples=12)
@given(seed=seeds, count=st.integers(1, 9), parts=cuts(9), reset=st.integers(0, 9), where=places)
def test_of_frames(
    name: str,
    options: Options,
    seed: int,
    count: int,
    parts: list[int],
    reset: int,
    where: list[int],
) -> None:
    port, rng = FRAMES, np.random.default_rng(seed)
    if name == "frame_difference":
        port = FramesPort(3, 6, 8, STEP_US, STEP_US)
    frames = rng.integers(0, 200, (count, port.channels, 6, 8), np.uint8)
    messages = twice(frame_recording(frames, parts), frame_recording(frames[:3], epoch=1), reset)
    assert_moving_changes_nothing([make(name, options, port) for _ in range(2)], messages, where)


def outputs(values: Any, parts: Sequence[int], epoch: int = 0) -> Iterator[Message]:
    """Outputs of windows of 10 µs."""
    yield control(Start(stream="cam", epoch=epoch, width=8, height=6, source="test"))
    groups = np.split(values, sorted(min(part, len(values)) for part in parts))
    for first, part in zip(
        accumulate((len(each) for each in groups), initial=0), groups, strict=False
    ):
        windows = Windows(first, first * 10, 10, 10, (first * 10,) * len(part))
        times = {"t_first_us": first * 10, "t_last_us": (first + len(part)) * 10}
        yield data(Outputs, part, stream="cam", epoch=epoch, windows=windows, **times)
    yield control(EndRecording(stream="cam", epoch=epoch))


@cases(OF_OUTPUTS)
@settings(max_examples=12)
@given(seed=seeds, count=st.integers(0, 20), parts=cuts(20), reset=st.integers(0, 9), where=places)
def test_of_outputs(
    name: str,
    options: Options,
    seed: int,
    count: int,
    parts: list[int],
    reset: int,
    where: list[int],
) -> None:
    values = np.random.default_rng(seed).random((count, 3), np.float32)
    messages = twice(outputs(values, parts), outputs(values[:6], [3], epoch=1), reset)
    assert_moving_changes_nothing([make(name, options, OUTPUTS) for _ in range(2)], messages, where)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Two stages of each engine; torch with one thread."""
    weights = random_weights(tmp_path_factory.mktemp("weights") / "random.safetensors")
    port = FramesPort(2, 40, 40, STEP_US, STEP_US)
    common = {"weights": weights, "mismatch": "allow"}
    several = {"event": {"engine": "event", "statistics": True}, "torch": {"engine": "torch"}}
    return {
        name: [make("snn", common | options, port) for _ in range(2)]
        for name, options in several.items()
    }


@pytest.mark.parametrize("engine", ["event", "torch"])
@settings(max_examples=8)
@given(seed=seeds, parts=cuts(6), reset=st.integers(0, 9), where=places)
def test_of_networks(
    networks: dict[str, list[Any]],
    engine: str,
    seed: int,
    parts: list[int],
    reset: int,
    where: list[int],
) -> None:
    frames = np.random.default_rng(seed).poisson(0.3, (6, 2, 40, 40)).astype(np.uint8)
    messages = twice(frame_recording(frames, parts), frame_recording(frames[:2], epoch=1), reset)
    assert_moving_changes_nothing(networks[engine], messages, where)

"""Inference in the stream: membranes live on, and no cut of the stream can be seen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray
from streams import account, rows, through
from weights import CLASSES, random_weights

import models
from models.weights import save
from pipeline.errors import DeviceError, StageError
from pipeline.messages import (
    EndRecording,
    Frames,
    Message,
    Reset,
    Start,
    Windows,
    control,
    data,
)
from pipeline.ports import FramesPort
from pipeline.stage import Account, PortError
from stages.inference.snn import Snn, SnnConfig
from stages.inference.stepper import EventStepper

PORT = FramesPort(2, 40, 40, 25_000, 25_000)
STEPS = 12


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights") / "random.safetensors")


def snn(path: Path, port: FramesPort = PORT, **options: Any) -> Snn:
    return Snn("net", SnnConfig(**{"weights": path, **options}), [port])


def frames(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).poisson(0.3, (STEPS, 2, 40, 40)).astype(np.uint8)


def messages(array: NDArray[Any], where: list[int]) -> Iterator[Message]:
    first = 0
    for part in np.split(array, sorted(where)):
        windows = Windows(first, first * 25_000, 25_000, 25_000, (None,) * len(part))
        yield data(Frames, part, stream="cam", t_first_us=0, t_last_us=0, windows=windows)
        first += len(part)


def recording(array: NDArray[Any], where: list[int]) -> Iterator[Message]:
    yield control(Start(stream="cam", width=128, height=128, source="test"))
    yield from messages(array, where)
    yield control(EndRecording(stream="cam"))


def forward(path: Path, array: NDArray[Any]) -> NDArray[np.float32]:
    """The network's own pass over a whole recording."""
    torch.set_num_threads(1)
    network = models.load(path)
    with torch.inference_mode():
        outputs, _ = network(torch.from_numpy(array)[None])
    result: NDArray[np.float32] = outputs[0].numpy()
    return result


@settings(max_examples=10)
@given(where=st.lists(st.integers(0, STEPS), max_size=5))
def test_cuts_never_change_a_bit_and_equal_forward(path: Path, where: list[int]) -> None:
    streamed = rows(through([snn(path)], recording(frames(), where)))
    assert streamed.tobytes() == forward(path, frames()).tobytes()
    assert 0 < streamed.mean() < 1


def test_a_message_without_windows_changes_nothing(path: Path) -> None:
    empty = next(messages(frames()[:0], []))
    assert empty.array.shape == (0, 2, 40, 40)
    start, first, second, end = recording(frames(), [5])
    around = [start, empty, first, empty, second, empty, end]
    assert rows(through([snn(path)], around)).tobytes() == forward(path, frames()).tobytes()
    assert account(snn(path), [start, empty, end]).taken == 0


def test_gradients_elsewhere_in_the_process_are_left_alone(path: Path) -> None:
    with torch.enable_grad():
        snn(path).open()
        assert torch.is_grad_enabled()


def test_membranes_live_on_from_window_to_window(path: Path) -> None:
    whole = forward(path, frames())
    alone = np.concatenate([forward(path, frames()[k : k + 1]) for k in range(STEPS)])
    assert (whole != alone).any()


def test_a_new_recording_and_a_reset_put_the_membranes_to_rest(path: Path) -> None:
    expected = forward(path, frames(1)).tobytes()
    twice = [*recording(frames(0), []), *recording(frames(1), [5])]
    assert rows(through([snn(path)], twice))[STEPS:].tobytes() == expected
    start, first, end = recording(frames(0), [])
    second = next(messages(frames(1), []))
    reset = [start, first, control(Reset(stream="cam")), second, end]
    assert rows(through([snn(path)], reset))[STEPS:].tobytes() == expected


def test_the_port_carries_what_the_card_says(path: Path) -> None:
    port = snn(path).port()
    assert (port.classes, port.trained_steps, port.scores) == (CLASSES, 60, "rate")


@pytest.mark.parametrize(
    ("port", "text"),
    [
        (
            FramesPort(2, 128, 128, 25_000, 25_000),
            r"frames of \(2, 40, 40\), its input gives",
        ),
        (
            FramesPort(2, 40, 40, 25_000, 25_000, "binary"),
            "was trained on counts, its input gives bin",
        ),
        (
            FramesPort(2, 40, 40, 25_000, 5_000),
            "windows that follow each other, its input gives one",
        ),
        (FramesPort(2, 40, 40, 10_000, 10_000), "was trained on bins of 25000 µs, its input gives"),
        (
            FramesPort(2, 40, 40, None, None),
            "its input gives bins by the count of events; bin with",
        ),
    ],
)
def test_frames_of_another_kind_are_refused(path: Path, port: FramesPort, text: str) -> None:
    with pytest.raises(PortError, match=text) as caught:
        snn(path, port).port()
    assert caught.value.key == "weights"
    if port.window_us != PORT.window_us:
        snn(path, port, mismatch="allow").port()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(
        tmp_path_factory.mktemp("weights") / "words.safetensors",
        window_us=None,
        size=(1, 1),
        network="imdb",
        frame="tokens",
        classes=("negative", "positive"),
        steps=STEPS,
    )


def test_steps_without_a_length_in_time_take_windows_of_any(tokens: Path) -> None:
    for times in ((None, None), (1000, 1000), (1000, 500)):
        port = snn(tokens, FramesPort(1, 1, 1, *times, "tokens")).port()
        assert (port.features, port.head, port.trained_steps) == (None, tokens, STEPS)
        assert str(port) == "outputs (n, ?), 2 classes"


def test_frames_of_any_dtype_are_stepped_through(tokens: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 1001, (STEPS, 1, 1, 1))
    port = FramesPort(1, 1, 1, None, None, "tokens")
    results = {
        rows(through([snn(tokens, port)], recording(ids.astype(dtype), [4]))).tobytes()
        for dtype in (np.int16, np.uint16, np.float32)
    }
    assert results == {forward(tokens, ids).tobytes()}


def test_pictures_of_another_size_are_to_be_resized(tmp_path: Path) -> None:
    path = random_weights(
        tmp_path / "a.safetensors", None, (32, 32), "luna16cls", "slices", ("no", "yes")
    )
    assert snn(path, FramesPort(1, None, None, None, None, "slices")).port().trained_steps == 8
    with pytest.raises(PortError, match=r"takes frames of \(1, 32, 32\).*\(1, 64, 64\); set size"):
        snn(path, FramesPort(1, 64, 64, None, None, "slices", "slices")).port()


def test_video_must_be_as_even_as_in_training(tmp_path: Path) -> None:
    path = random_weights(
        tmp_path / "a.safetensors", 40_000, (32, 32), "luna16cls", "grey", ("no", "yes")
    )
    snn(path, FramesPort(1, 32, 32, 40_000, 40_000, "grey")).port()
    uneven = FramesPort(1, 32, 32, None, None, "grey", "video")
    with pytest.raises(
        PortError, match="that are not evenly apart; play videos of 25 frames a sec"
    ):
        snn(path, uneven).port()
    assert snn(path, uneven, mismatch="allow").port().trained_steps == 8


def test_a_path_with_a_nul_character_is_no_bug() -> None:
    with pytest.raises(models.ModelError, match=r"cannot be read \(embedded null byte\); check"):
        models.read_card("a\0.safetensors")


def test_weights_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"hello")
    for wrong in (broken, tmp_path / "missing.safetensors"):
        with pytest.raises(PortError, match=wrong.name):
            snn(wrong).port()


def test_a_card_that_contradicts_itself_is_refused(path: Path, tmp_path: Path) -> None:
    network, card = models.load(path), models.read_card(path)
    for changes, text in (
        (
            {"network": "dvs_gestur"},
            "names an unknown network 'dvs_gestur'; did you mean 'dvs_gest",
        ),
        ({"classes": ("no", "yes")}, "its card names 2 classes, its dvs_gesture has 11; train or"),
    ):
        save(network, replace(card, **changes), tmp_path / "odd.safetensors")
        with pytest.raises(PortError, match=text) as caught:
            snn(tmp_path / "odd.safetensors").port()
        assert caught.value.key == "weights"


def test_weights_are_held_against_what_the_pipeline_expects(path: Path) -> None:
    assert snn(path, expects={"network": "dvs_gesture", "classes": 11}).port().classes == CLASSES
    for expects, key in (({"network": "jester"}, "network"), ({"classes": 3}, "classes")):
        with pytest.raises(PortError, match=r"random.safetensors \(dvs_gesture\) has") as caught:
            snn(path, expects=expects).port()
        assert caught.value.key == f"expects.{key}"
    with pytest.raises(PortError, match="unknown network 'jestr'; did you mean 'jester'") as caught:
        snn(path.with_name("none"), expects={"network": "jestr"}).port()
    assert caught.value.key == "expects.network"


def test_frames_whose_size_only_the_run_tells(path: Path) -> None:
    stage = snn(path, FramesPort(2, None, None, 25_000, 25_000))
    assert stage.port().features == len(CLASSES)
    array = np.zeros((1, 2, 48, 64), np.uint8)
    with pytest.raises(StageError, match=r"\(dvs_gesture\) .* 48, 64\); bin to size = \[40, 40\]"):
        through([stage], recording(array, []))


def test_a_device_that_is_not_there_is_named(path: Path) -> None:
    stage = snn(path, device="cuda:7")
    with pytest.raises(DeviceError, match=r'device = "cuda:7" is not there; this machine has cpu'):
        stage.open()


def test_what_the_network_did_is_counted_when_asked(path: Path) -> None:
    streamed = [*recording(frames(0), [3, 3, 7]), *recording(frames(1), [])]
    stage = snn(path, statistics=True)
    assert (
        rows(through([stage], streamed)).tobytes() == rows(through([snn(path)], streamed)).tobytes()
    )
    once, again = (
        account(stage, recording(frames(0), [])),
        account(stage, recording(frames(0), [5])),
    )
    assert once.counts == again.counts
    assert [*once.counts][:2] == ["conv1: operations", "conv1: fired"]
    assert all(once.counts.values())
    both = once + account(stage, recording(frames(1), []))
    assert both.counts["fc1: fired"] > once.counts["fc1: fired"]
    first, *layers = stage.remarks(both)
    assert first.startswith("60 steps, those of a prediction, took ")
    assert [line.partition(":")[0] for line in layers] == ["conv1", "conv2", "conv3", "fc1", "fc2"]
    assert stage.remarks(account(stage, recording(frames(0)[:0], []))) == []
    assert snn(path).remarks(once) == []


def test_statistics_need_the_engine_that_counts_them(path: Path, tokens: Path) -> None:
    port = FramesPort(1, 1, 1, None, None, "tokens")
    for stage, key, text in (
        (
            snn(path, statistics=True, engine="torch"),
            "statistics",
            "the event-driven engine counts",
        ),
        (snn(tokens, port, statistics=True), "statistics", "runs dvs_gesture, .*, not imdb; leave"),
        (snn(tokens, port, engine="event"), "engine", "not imdb; leave engine out, or set"),
        (snn(path, statistics=True, device="cuda"), "device", "leave device or statistics out"),
        (snn(path, engine="event", device="cuda"), "device", "leave device or engine out"),
    ):
        with pytest.raises(PortError, match=text) as caught:
            stage.port()
        assert caught.value.key == key
    assert snn(path, statistics=True, device="cpu").port()


def test_answers_of_untrained_weights_are_said_to_mean_nothing(path: Path, tmp_path: Path) -> None:
    card = replace(models.read_card(path), accuracy="none: untrained weights, drawn with seed 0")
    save(models.load(path), card, tmp_path / "new.safetensors")
    ran = Account.one_to_one(STEPS, "windows", "outputs")
    untrained = snn(tmp_path / "new.safetensors")
    assert untrained.remarks(ran) == ["new.safetensors is untrained: its answers mean nothing"]
    assert snn(path).remarks(ran) == []


def test_gauges_tell_what_was_counted_and_watching_changes_no_output(tmp_path: Path) -> None:
    path = random_weights(tmp_path / "random.safetensors", size=(40, 40))
    frames = np.random.default_rng(0).poisson(0.3, (12, 2, 40, 40)).astype(np.uint8)
    plain, watched = EventStepper(path), EventStepper(path)
    counts, seen = plain.no_counts(), watched.no_counts()
    expected, _ = plain.step(frames, plain.rest(), counts)
    outputs, membranes = watched.step(frames, watched.rest(), seen, watched=True)
    np.testing.assert_array_equal(outputs, expected)
    np.testing.assert_array_equal(seen, counts)
    gauges = watched.gauges(membranes)
    fired = [value for name, value in gauges.items() if name.startswith("firing: ")]
    assert len(fired) == len(counts)
    assert all(0 < rate < 1 for rate in fired)
    assert sum(name.startswith("membrane: ") for name in gauges) == len(counts)
    assert not any(name.startswith("firing: ") for name in watched.gauges(membranes))


def test_inputs_must_have_windows_alike(path: Path) -> None:
    other = FramesPort(2, 40, 40, 25_000, 12_500)
    with pytest.raises(PortError, match="its inputs must have windows alike"):
        Snn("net", SnnConfig(weights=path, mismatch="allow"), [PORT, other]).port()


def test_a_turn_of_several_streams_is_each_stream_alone(path: Path) -> None:
    """Statistics too are counted for each stream as if it were alone."""
    stage = Snn("net", SnnConfig(weights=path, batch=4, statistics=True), [PORT, PORT])
    stage.port()
    assert stage.together is not None
    assert (stage.together.most, stage.together.spacing_us) == (4, 25_000)
    stage.open()
    arrays, states, outputs = [frames(0), frames(1)], [], [[], []]  # type: ignore[var-annotated]
    for stream in "ab":
        states.append(stage.start(Start(stream=stream, width=128, height=128, source="test")))
    for k in range(STEPS):
        turn = [
            (state, replace_stream(next(messages(array[k : k + 1], [])), stream))
            for stream, state, array in zip("ab", states, arrays, strict=True)
        ]
        for place, (made, state) in enumerate(stage.process_together(turn)):
            states[place] = state
            outputs[place] += made
    for array, made, state in zip(arrays, outputs, states, strict=True):
        assert rows(made).tobytes() == forward(path, array).tobytes()
        alone = account(snn(path, statistics=True), recording(array, []))
        assert stage.account(state) == alone


def replace_stream(message: Message, stream: str) -> Message:
    return Message(replace(message.header, stream=stream), message.array)

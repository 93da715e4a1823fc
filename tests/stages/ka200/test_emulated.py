"""The whole path without a chip: the stage on the emulator, beside the float network."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chip_double import ChipDouble
from compiled_models import compiled_model, emptied
from numpy.typing import NDArray
from streams import account, rows, through

import models
from models.ka200.emulator import Emulator
from pipeline.checkpoint.snapshot import classes_of, pack, unpack
from pipeline.errors import ConfigError
from pipeline.messages import EndRecording, Frames, Message, Start, Windows, control, data
from pipeline.ports import FramesPort
from stages.aggregation.aggregate import Aggregate, AggregateConfig
from stages.ka200.stage import Ka200, Ka200Config

PORT = FramesPort(2, 40, 40, 25_000, 25_000)
STEPS = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emptied(compiled_model(tmp_path_factory.mktemp("compiled") / "gesture"))


def stage(model: Path, **options: Any) -> Ka200:
    return Ka200("net", Ka200Config(model=model, backend="emulator", **options), [PORT])


def frames(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).poisson(0.3, (STEPS, 2, 40, 40)).astype(np.uint8)


def recording(array: NDArray[Any], size: int = 5) -> Iterator[Message]:
    yield control(Start(stream="cam", width=128, height=128, source="test"))
    for first in range(0, len(array), size):
        part = array[first : first + size]
        windows = Windows(first, first * 25_000, 25_000, 25_000, (None,) * len(part))
        yield data(Frames, part, stream="cam", t_first_us=0, t_last_us=0, windows=windows)
    yield control(EndRecording(stream="cam"))


def emulated(model: Path, array: NDArray[Any]) -> NDArray[np.float32]:
    emulator = Emulator(models.load(model / "weights.safetensors"))
    return np.stack([emulator.step(frame) for frame in array])


def test_each_recording_starts_from_rest_and_cuts_change_nothing(model: Path) -> None:
    one, other = frames(), frames(1)
    given = [*recording(one), *recording(other, 1)]
    expected = np.concatenate([emulated(model, one), emulated(model, other)])
    assert rows(through([stage(model)], given)).tobytes() == expected.tobytes()


def test_a_checkpoint_keeps_the_emulated_membranes(model: Path) -> None:
    array, first, second = frames(), stage(model), stage(model)
    start, begin, *rest = recording(array)
    first.open()
    state: Any = None
    made = []
    for message in (start, begin):
        turn = first.step(state, message)
        try:
            while True:
                made.append(next(turn))
        except StopIteration as end:
            state = end.value
    assert state.frames == []
    raw = pack(first.snapshot(state))
    second.open()
    state = second.restore(unpack(raw, classes_of(Ka200)))
    for message in rest:
        turn = second.step(state, message)
        try:
            while True:
                made.append(next(turn))
        except StopIteration as end:
            state = end.value
    assert rows(made).tobytes() == emulated(model, array).tobytes()
    assert second.account(state).counts["model resets"] == 1


def test_what_follows_is_that_of_any_network(model: Path) -> None:
    net = stage(model)
    port = net.port()
    assert (port.features, port.trained_steps, port.scores, port.head) == (11, 60, "rate", None)
    decision = Aggregate("decision", AggregateConfig(over="recording"), [port])
    scores = rows(through([net, decision], recording(frames())))
    np.testing.assert_allclose(scores[0], emulated(model, frames()).mean(0), atol=1e-6)


def test_a_mean_kept_on_the_chip_is_the_prediction_of_a_recording(tmp_path: Path) -> None:
    model = compiled_model(tmp_path / "mean", mean_steps=STEPS)
    net = stage(model)
    config = AggregateConfig(over="recording", take="last", steps=STEPS, mismatch="allow")
    scores = rows(through([net, Aggregate("decision", config, [net.port()])], recording(frames())))
    np.testing.assert_allclose(scores[0], emulated(model, frames()).mean(0), atol=2e-3)


def test_by_the_runtime_the_same_comes_out(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = model / "weights.safetensors"
    chip = ChipDouble(network=lambda: Emulator(models.load(weights)))
    monkeypatch.setitem(sys.modules, "pylynchipsdk", chip)
    config = Ka200Config(model=compiled_model(tmp_path / "chip"))
    outputs = rows(through([Ka200("net", config, [PORT])], recording(frames())))
    assert outputs.tobytes() == emulated(model, frames()).tobytes()
    assert (chip.broken, chip.live) == ([], {})


def test_the_emulator_is_called_what_it_is(model: Path) -> None:
    net = stage(model)
    assert net.remarks(account(net, recording(frames())))[0].startswith("12 steps on the emulator")


def test_weights_that_cannot_be_loaded_are_one_error(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise models.ModelError(f"{path}: no")

    monkeypatch.setattr(models, "load", refuse)
    with pytest.raises(ConfigError, match=r"weights.safetensors: no"):
        stage(model).open()

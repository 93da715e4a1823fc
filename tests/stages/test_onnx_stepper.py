"""``engine = "onnx"``: the network by ONNX Runtime, as torch steps it, and what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from streams import rows, through
from weights import random_weights

import models
from models.interchange.step import digest, export_onnx
from pipeline.errors import ConfigError
from pipeline.messages import EndRecording, Frames, Message, Start, Windows, control, data
from pipeline.ports import FramesPort
from pipeline.stage import PortError
from stages.inference.snn import Snn, SnnConfig

PORT = FramesPort(2, 40, 40, 25_000, 25_000)
STEPS = 12


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = random_weights(tmp_path_factory.mktemp("weights") / "random.safetensors")
    export_onnx(models.load(path), path.with_suffix(".onnx"), digest(path))
    return path


def snn(path: Path, engine: str = "onnx", **options: Any) -> Snn:
    return Snn("net", SnnConfig(**{"weights": path, "engine": engine, **options}), [PORT])


def recording(where: list[int]) -> Iterator[Message]:
    frames = np.random.default_rng(0).poisson(0.3, (STEPS, 2, 40, 40)).astype(np.uint8)
    yield control(Start(stream="cam", width=128, height=128, source="test"))
    first = 0
    for part in np.split(frames, where):
        windows = Windows(first, first * 25_000, 25_000, 25_000, (None,) * len(part))
        yield data(Frames, part, stream="cam", t_first_us=0, t_last_us=0, windows=windows)
        first += len(part)
    yield control(EndRecording(stream="cam"))


def outputs(stage: Snn, where: list[int]) -> NDArray[np.float32]:
    return rows(through([stage], recording(where)))


def test_outputs_are_those_of_torch(path: Path) -> None:
    wanted = outputs(snn(path, "torch"), [])
    assert 0 < wanted.mean() < 1
    np.testing.assert_array_equal(outputs(snn(path), []), wanted)
    np.testing.assert_array_equal(outputs(snn(path), [1, 5]), wanted)


def test_a_snapshot_takes_the_stream_up_again_in_either_engine(path: Path) -> None:
    start, first, second, _ = recording([5])
    for engine in ("onnx", "torch"):
        one, other = snn(path), snn(path, engine)
        one.open()
        other.open()
        state = one.start(start.header)  # type: ignore[arg-type]
        state = advanced(one, state, first)[1]
        again = other.restore(one.snapshot(state))
        np.testing.assert_array_equal(
            advanced(one, state, second)[0], advanced(other, again, second)[0]
        )
        shown = other.gauges(again)
        assert list(shown) == [
            f"membrane: {name}" for name in ("conv1", "conv2", "conv3", "fc1", "fc2")
        ]


def advanced(stage: Snn, state: Any, message: Message) -> tuple[NDArray[Any], Any]:
    """Return the outputs of one message, and the state after it."""
    steps = stage.process(state, message)
    output = next(steps).array
    with pytest.raises(StopIteration) as ended:
        next(steps)
    return output, ended.value.value


def test_without_the_file_one_is_told_how_to_make_it(path: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(path.read_bytes())
    with pytest.raises(PortError) as caught:
        snn(alone).port()
    onnx = alone.with_suffix(".onnx")
    assert (caught.value.key, str(caught.value)) == (
        "engine",
        f"{onnx} is not there; make it: pipeline models export {alone} --to onnx",
    )
    onnx.write_bytes(b"no ONNX")
    with pytest.raises(
        ConfigError, match=r"alone\.onnx: cannot be loaded \(.*\); make it: pipeline"
    ):
        snn(alone).open()


def test_the_file_of_other_weights_is_refused(path: Path, tmp_path: Path) -> None:
    other = random_weights(tmp_path / "other.safetensors", mode="analog")
    other.with_suffix(".onnx").write_bytes(path.with_suffix(".onnx").read_bytes())
    with pytest.raises(ConfigError, match=r"other\.onnx: must be of .*other\.safetensors, but is"):
        snn(other).open()


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        (
            {"device": "cuda"},
            "device",
            'engine = "onnx" runs on the processor, not on "cuda"; leave',
        ),
        (
            {"statistics": True},
            "statistics",
            'the event-driven engine counts them, and engine = "onnx"',
        ),
    ],
)
def test_what_onnx_runtime_does_not_do_is_refused(
    options: dict[str, Any], key: str, message: str, path: Path
) -> None:
    with pytest.raises(PortError) as caught:
        snn(path, **options).port()
    assert caught.value.key == key
    assert str(caught.value).startswith(message)

"""Either way of stepping goes on from where the other is, at any step."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray
from weights import random_weights

import models
from models.weights import save
from pipeline.errors import ConfigError
from stages.inference.stepper import EventStepper, Stepper, TorchStepper

STEPS = 10
SIZE = (40, 40)

Make = Callable[[Path], Stepper]
MAKE: dict[str, Make] = {
    "event": EventStepper,
    "torch": lambda path: TorchStepper(path, "cpu", 1),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights") / "random.safetensors", size=SIZE)


@pytest.fixture(scope="module")
def steppers(path: Path) -> dict[str, Stepper]:
    return {name: make(path) for name, make in MAKE.items()}


def frames(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).poisson(0.3, (STEPS, 2, *SIZE)).astype(np.uint8)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**32 - 1),
    names=st.lists(st.sampled_from([*MAKE]), min_size=STEPS, max_size=STEPS),
)
def test_taking_turns_gives_the_spikes_of_one_alone(
    steppers: dict[str, Stepper], seed: int, names: list[str]
) -> None:
    x, torch = frames(seed), steppers["torch"]
    expected, end = torch.step(x, torch.rest())
    arrays = torch.arrays(torch.rest())
    outputs = []
    for name, frame in zip(names, x, strict=True):
        output, membranes = steppers[name].step(frame[None], steppers[name].restore(arrays))
        arrays = steppers[name].arrays(membranes)
        outputs.append(output[0])
    np.testing.assert_array_equal(outputs, expected)
    for ours, theirs in zip(arrays, torch.arrays(end), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MAKE)
def test_membranes_taken_out_stay_as_they_are(steppers: dict[str, Stepper], name: str) -> None:
    stepper = steppers[name]
    _, membranes = stepper.step(frames(0), stepper.rest())
    arrays = stepper.arrays(membranes)
    kept = [array.copy() for array in arrays]
    expected, _ = stepper.step(frames(1), membranes)
    again, _ = stepper.step(frames(1), stepper.restore(arrays))
    assert again.tobytes() == expected.tobytes()
    assert [a.tobytes() for a in arrays] == [b.tobytes() for b in kept]


@pytest.mark.parametrize("name", MAKE)
def test_weights_that_do_not_fit_their_card_are_one_clear_error(
    path: Path, tmp_path: Path, name: str
) -> None:
    odd, card = tmp_path / "odd.safetensors", models.read_card(path)
    save(models.load(path), replace(card, options=card.options | {"size": [80, 80]}), odd)
    with pytest.raises(ConfigError, match=r"fc1\.fc\.weight"):
        MAKE[name](odd)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: EventStepper(path, batched=True),
        lambda path: EventStepper(path, 2, batched=True),
        MAKE["torch"],
    ],
    ids=["event", "event, two threads", "torch"],
)
def test_streams_stepped_together_are_as_alone(path: Path, make: Make) -> None:
    """Three streams, of which a changing part has a window; torch may differ in the last digit."""
    stepper, exact = make(path), make(path).__class__ is EventStepper
    streams = [frames(seed) for seed in range(3)]
    alone = [stepper.step(x, stepper.rest()) for x in streams]
    memories = [stepper.rest() for _ in streams]
    outputs: list[list[NDArray[np.float32]]] = [[] for _ in streams]
    random = np.random.default_rng(5)
    at = [0, 0, 0]
    while any(step < STEPS for step in at):
        left = [k for k in range(3) if at[k] < STEPS]
        there = [k for k in left if random.random() < 0.7] or left
        batch = np.stack([streams[k][at[k]] for k in there])
        found, after = stepper.step_together(
            batch, [memories[k] for k in there], [None] * len(there)
        )
        for k, output, memory in zip(there, found, after, strict=True):
            outputs[k].append(output)
            memories[k] = memory
            at[k] += 1
    for (expected, end), found_here, memory in zip(alone, outputs, memories, strict=True):
        if exact:
            np.testing.assert_array_equal(found_here, expected)
        for ours, theirs in zip(stepper.arrays(memory), stepper.arrays(end), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=0 if exact else 1e-4)

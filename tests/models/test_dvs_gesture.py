"""The DVS Gesture network: golden numbers, and the laws of a stream."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import models
from models.network import Network
from tests.golden_draw import event_frames, golden, parameters

SIZE = (9, 13)  # odd and not square, so that rows and columns cannot be swapped unnoticed


@cache
def reference() -> Network[Any]:
    tensors = {name: torch.from_numpy(a) for name, a in parameters("dvs_gesture").items()}
    return models.from_reference("dvs_gesture", tensors)


@cache
def small(mode: str = "spike") -> Network[Any]:
    torch.manual_seed(3)
    network = models.build("dvs_gesture", classes=5, size=SIZE, mode=mode)
    network.train()
    with torch.no_grad():  # gives BatchNorm statistics, so that the membranes are lively
        network(torch.poisson(torch.full((4, 20, 2, *SIZE), 0.5)))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def golden_input() -> torch.Tensor:
    return torch.from_numpy(event_frames("dvs_gesture", (2, 60, 2, 40, 40)))


def assert_golden(outputs: torch.Tensor) -> None:
    expected = golden("dvs_gesture")
    assert outputs.dtype == torch.float64
    per_step = outputs.transpose(0, 1).numpy()  # (steps, batch, classes)
    mean = outputs.mean(1)
    np.testing.assert_allclose(per_step, expected["last_steps_first_48"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(mean.numpy(), expected["mean_over_steps"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        reference().readout(mean).numpy(), expected["output"], rtol=0, atol=1e-9
    )


def test_golden_by_forward(golden_input: torch.Tensor) -> None:
    outputs, _ = reference()(golden_input)
    assert_golden(outputs)


def test_golden_by_step(golden_input: torch.Tensor) -> None:
    network = reference()
    state = network.initial_state(2)
    outputs = []
    for t in range(60):
        y, state = network.step(golden_input[:, t], state)
        outputs.append(y)
    assert_golden(torch.stack(outputs, 1))


def same(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> bool:
    return type(a) is type(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


frames = st.builds(
    lambda seed, batch, steps: torch.from_numpy(
        np.random.default_rng(seed).poisson(0.4, (batch, steps, 2, *SIZE)).astype(np.uint8)
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(2, 8),
)


@settings(max_examples=12, deadline=None)
@given(x=frames, data=st.data(), mode=st.sampled_from(["spike", "analog"]))
def test_where_the_time_axis_is_cut_changes_nothing(
    x: torch.Tensor, data: st.DataObject, mode: str
) -> None:
    network = small(mode)
    whole, end = network(x)
    cuts = sorted(data.draw(st.sets(st.integers(1, x.shape[1] - 1))))
    state = network.initial_state(len(x))
    parts = []
    for begin, stop in zip([0, *cuts], [*cuts, x.shape[1]], strict=True):
        y, state = network(x[:, begin:stop], state)
        parts.append(y)
    assert torch.equal(torch.cat(parts, 1), whole)
    assert same(state, end)


@settings(max_examples=12, deadline=None)
@given(x=frames)
def test_forward_is_a_loop_of_step(x: torch.Tensor) -> None:
    network = small()
    whole, end = network(x)
    state = network.initial_state(len(x))
    for t in range(x.shape[1]):
        y, state = network.step(x[:, t].clone(), state)
        assert torch.equal(y, whole[:, t])
    assert same(state, end)


@settings(max_examples=8, deadline=None)
@given(x=frames, before=frames)
def test_reset_is_a_fresh_state(x: torch.Tensor, before: torch.Tensor) -> None:
    network = small()
    fresh, _ = network(x)
    network(before)
    again, _ = network(x, network.initial_state(len(x)))
    assert torch.equal(fresh, again)


@settings(max_examples=8, deadline=None)
@given(x=frames)
def test_snapshot_and_restore(x: torch.Tensor) -> None:
    network = small()
    _, state = network(x)
    arrays = [tensor.numpy().copy() for tensor in state]
    restored = type(state)(*map(torch.from_numpy, arrays))
    ahead, _ = network(x, state)
    again, _ = network(x, restored)
    assert torch.equal(ahead, again)
    assert same(state, restored)  # stepping wrote into neither


def test_memory_reaches_past_a_window() -> None:
    x = torch.ones(1, 4, 2, *SIZE)
    network = small("analog")
    first, state = network(x)
    assert not torch.equal(network(x, state)[0], first)


def test_dtype_on_the_wire_does_not_matter() -> None:
    x = torch.from_numpy(np.random.default_rng(0).poisson(1, (1, 3, 2, *SIZE)))
    results = [small()(x.to(dtype))[0] for dtype in (torch.uint8, torch.uint16, torch.float32)]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("shape", [(1, 2, 40, 40), (1, 3, *SIZE), (1, 2, *SIZE[::-1])])
def test_a_frame_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    network = small()
    with pytest.raises(models.ModelError, match=r"dvs_gesture takes \(batch, time, 2, 9, 13\)"):
        network.step(torch.zeros(shape), network.initial_state(1))


@pytest.mark.parametrize("shape", [(2, *SIZE), (1, 0, 2, *SIZE)])
def test_forward_wants_at_least_one_step(shape: tuple[int, ...]) -> None:
    with pytest.raises(models.ModelError, match="at least one step"):
        small()(torch.zeros(shape))

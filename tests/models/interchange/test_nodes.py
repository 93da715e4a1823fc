"""Every node of NIR, held against its equation, one step after the other."""

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from graphs import chain, imported
from numpy.typing import NDArray

STEPS = 25


def frames(shape: tuple[int, ...] = (2, 3, 4)) -> NDArray[np.float64]:
    return np.random.default_rng(3).poisson(0.7, (STEPS, *shape)).astype(float)


def outputs(node: Any, folder: Path, **options: Any) -> NDArray[np.float64]:
    """Return what a node makes of frames, in float64."""
    network = imported(chain(node), folder, **options).network.double()
    with torch.no_grad():
        y, _ = network(torch.from_numpy(frames())[None])
    return y[0].numpy()


def many(*values: float) -> NDArray[np.float64]:
    """Spread values over the neurons, so that none can be taken for another's."""
    return np.resize(np.array(values), (2, 3, 4))


def flat(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x.reshape(STEPS, -1)


TAU, R, LEAK = many(3.0, 5.0, 2.5), many(2.0, 4.0), many(0.1, 0.0, -0.2)
THETA, V_RESET = many(0.6, 1.1), many(0.0, 0.05)
NEURON = {"r": R, "v_leak": LEAK}
THRESHOLD = {"v_threshold": THETA, "v_reset": V_RESET}
CUBA = {"tau_syn": many(2.0, 4.0), "tau_mem": TAU, "w_in": many(1.5, 0.5), **NEURON}


@pytest.mark.parametrize("decay", ["euler", "exponential"])
@pytest.mark.parametrize("current", [False, True])
@pytest.mark.parametrize("fires", [False, True])
def test_leaky_neurons_follow_their_equation(
    decay: str, current: bool, fires: bool, tmp_path: Path
) -> None:
    if current:
        node = nir.CubaLIF(**CUBA, **THRESHOLD) if fires else nir.CubaLI(**CUBA)
    else:
        node = nir.LIF(TAU, **NEURON, **THRESHOLD) if fires else nir.LI(TAU, **NEURON)
    share = (lambda tau: 1 / tau) if decay == "euler" else (lambda tau: 1 - np.exp(-1 / tau))
    v, i, wanted = LEAK, np.zeros_like(LEAK), []
    for x in frames():
        if current:
            i = i + share(CUBA["tau_syn"]) * (CUBA["w_in"] * x - i)
        v = v + share(TAU) * (LEAK - v + R * (i if current else x))
        spikes = v > THETA
        wanted.append(spikes.astype(float) if fires else v)
        v = np.where(spikes, V_RESET, v) if fires else v
    np.testing.assert_allclose(outputs(node, tmp_path, decay=decay), flat(np.array(wanted)))


@pytest.mark.parametrize("inflow", ["rate", "jump"])
@pytest.mark.parametrize("fires", [False, True])
def test_what_does_not_leak_adds_up(inflow: str, fires: bool, tmp_path: Path) -> None:
    node = nir.IF(R, **THRESHOLD) if fires else nir.I(R)
    dt_s = 0.25
    v, wanted = V_RESET if fires else 0 * V_RESET, []
    for x in frames():
        v = v + (dt_s if inflow == "rate" else 1) * R * x
        spikes = v > THETA
        wanted.append(spikes.astype(float) if fires else v)
        v = np.where(spikes, V_RESET, v) if fires else v
    found = outputs(node, tmp_path, inflow=inflow, dt_s=dt_s)
    np.testing.assert_allclose(found, flat(np.array(wanted)))


@pytest.mark.parametrize("reset", ["value", "subtract", "subtract_later"])
@pytest.mark.parametrize("fires", ["above", "at", "many"])
def test_neurons_fire_and_are_reset_as_told(fires: str, reset: str, tmp_path: Path) -> None:
    def spikes_at(v: NDArray[np.float64]) -> NDArray[np.float64]:
        if fires == "many":
            return np.where(v > 0, np.floor(v / 0.5), 0.0)
        return (v >= 0.5 if fires == "at" else v > 0.5).astype(float)

    half = np.full((2, 3, 4), 0.5)
    node = nir.LIF(4 * half, 2 * half, 0 * half, half, 0.25 * half)  # keeps half of its membrane
    v, wanted = 0 * half, []
    for x in frames():
        late = 0.5 * spikes_at(v) if reset == "subtract_later" else 0.0
        v = v + 0.5 * (x - v) - late
        spikes = spikes_at(v)
        wanted.append(spikes)
        if reset == "value":
            v = np.where(spikes > 0, 0.125, v)
        elif reset == "subtract":
            v = v - 0.5 * spikes
    found = outputs(node, tmp_path, fires=fires, reset=reset)
    assert len(np.unique(found)) > 1
    np.testing.assert_array_equal(found, flat(np.array(wanted)))


def test_a_delay_gives_back_what_came_in_before(tmp_path: Path) -> None:
    delay = many(0.0, 0.5, 1.5)  # of steps of half a second: none, one, three
    found = outputs(nir.Delay(delay), tmp_path, dt_s=0.5)
    x = frames()
    wanted = np.zeros_like(x)
    for steps in (0, 1, 3):
        here = delay == steps / 2
        wanted[steps:, here] = x[: STEPS - steps, here]
    np.testing.assert_array_equal(found, flat(wanted))


def test_what_remembers_nothing(tmp_path: Path) -> None:
    x = frames()
    scale = many(0.5, 2.0, -1.0)
    np.testing.assert_array_equal(outputs(nir.Scale(scale), tmp_path), flat(x * scale))
    threshold = many(0.0, 1.0)
    wanted = (x > threshold).astype(float)
    np.testing.assert_array_equal(outputs(nir.Threshold(threshold), tmp_path), flat(wanted))
    pool = {
        "kernel_size": np.array([1, 2]),
        "stride": np.array([1, 2]),
        "padding": np.zeros(2, int),
    }
    pairs = x.reshape(STEPS, 2, 3, 2, 2)
    for node, wanted in ((nir.SumPool2d, pairs.sum(-1)), (nir.AvgPool2d, pairs.mean(-1))):
        graph = chain(nir.Scale(np.ones((2, 3, 4))), node(**pool))
        network = imported(graph, tmp_path).network.double()
        found = network(torch.from_numpy(x)[None])[0][0].detach().numpy()
        np.testing.assert_array_equal(found, flat(wanted))


def test_products_are_those_of_torch(tmp_path: Path) -> None:
    rng, x = np.random.default_rng(5), frames()
    weight, bias = rng.normal(size=(3, 1, 2, 3)), rng.normal(size=3)
    node = nir.Conv2d((3, 4), weight[:2], (2, 1), (1, 0), (1, 1), 2, bias[:2])
    wanted = torch.nn.functional.conv2d(
        *map(torch.from_numpy, (x, weight[:2], bias[:2])), (2, 1), (1, 0), 1, 2
    )
    np.testing.assert_allclose(outputs(node, tmp_path), flat(wanted.numpy()))
    flatten, weight = nir.Flatten({"input": np.array([2, 3, 4])}, 0, -1), rng.normal(size=(5, 24))
    for last, shift in (
        (nir.Linear(weight), 0.0),
        (nir.Affine(weight, bias[:1].repeat(5)), bias[0]),
    ):
        network = imported(chain(flatten, last), tmp_path).network.double()
        found = network(torch.from_numpy(x)[None])[0][0].detach().numpy()
        np.testing.assert_allclose(found, flat(x) @ weight.T + shift)


@pytest.mark.parametrize(("padding", "width"), [("same", 12), ("valid", 10), (2, 14)])
def test_a_row_of_numbers_is_convolved(padding: Any, width: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    weight, bias = rng.normal(size=(3, 2, 3)), rng.normal(size=3)
    node = nir.Conv1d(12, weight, 1, padding, 1, 1, bias)
    options = {"size": [1, 12], "input_channels": 2}
    network = imported(chain(node, shape=(2, 12)), tmp_path, **options).network.double()
    x = frames((2, 1, 12))
    found = network(torch.from_numpy(x)[None])[0][0].detach()
    assert found.shape == (STEPS, 3 * width)
    wanted = torch.nn.functional.conv1d(
        *map(torch.from_numpy, (x[:, :, 0], weight, bias)), padding=padding
    )
    np.testing.assert_allclose(found.numpy(), flat(wanted.numpy()))

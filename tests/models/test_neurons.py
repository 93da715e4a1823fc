"""The equation of the neuron, checked by hand."""

import math
from typing import Any

import pytest
import torch

from models.errors import ModelError
from models.lif import Constants, Lif
from models.neurons import lif_step


def column(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_equation() -> None:
    y, v = lif_step(column(0.4, 0.6, -1.0), column(0.0, 0.2, 0.0), Lif())
    assert y.tolist() == [[0, 1, 0]]
    assert torch.allclose(v, column(0.12, 0.0, -0.3))


def test_reset_and_bias() -> None:
    _, v = lif_step(column(1.0, 0.1), column(0.0, 0.0), Lif(alpha=0.5, beta=0.25, v_0=0.2))
    assert torch.allclose(v, column(0.35, 0.3))


def test_at_the_threshold_it_does_not_fire() -> None:
    at = torch.tensor([0.5, torch.nextafter(torch.tensor(0.5), torch.tensor(1.0))])
    y, _ = lif_step(at, torch.zeros(2), Lif())
    assert y.tolist() == [0, 1]


def test_analog_mode_puts_out_the_rectified_membrane_before_reset() -> None:
    y, v = lif_step(column(0.8, 0.3, -0.3), column(0, 0, 0), Lif("analog"))
    assert torch.equal(y, column(0.8, 0.3, 0.0))
    assert torch.allclose(v, column(0.0, 0.09, -0.09))


def test_norm_acts_on_the_membrane_not_on_the_current() -> None:
    y, _ = lif_step(column(0.2), column(0.2), Lif("analog"), norm=lambda v: 10 * v)
    assert torch.equal(y, column(4.0))


def test_parameters_may_differ_by_channel() -> None:
    theta = torch.tensor([0.1, 0.9]).view(2, 1, 1)
    y, _ = lif_step(
        torch.full((1, 2, 1, 1), 0.5), torch.zeros(1, 2, 1, 1), Lif(), Constants(theta=theta)
    )
    assert y.flatten().tolist() == [1, 0]


def test_gradient_flows_through_the_reset() -> None:
    x = torch.tensor([0.7, 0.3, 2.0], requires_grad=True)
    _, v = lif_step(x, torch.zeros(3), Lif())
    (gradient,) = torch.autograd.grad(v.sum(), x)
    # d/dv alpha (1 - fire) v = alpha ((1 - fire) - v where the rectangle is 1)
    assert torch.allclose(gradient, torch.tensor([-0.21, 0.3 - 0.09, 0.0]))


def test_arguments_are_not_written_to() -> None:
    x, v = torch.ones(3), torch.ones(3)
    lif_step(x, v, Lif())
    assert torch.equal(x, torch.ones(3))
    assert torch.equal(v, torch.ones(3))


@pytest.mark.parametrize(
    ("emit", "expected"),
    [
        ("membrane", [0.8, 0.3, -0.4]),
        ("distance", [0.3, -0.2, -0.9]),
        ("reset", [0.1, 0.3, -0.4]),
        ("leak", [0.25, 0.35, 0.0]),
    ],
)
def test_analog_mode_puts_out_any_membrane(emit: Any, expected: list[float]) -> None:
    lif = Lif("analog", alpha=0.5, beta=0.2, v_0=0.1, emit=emit, activation="none")
    y, v = lif_step(column(0.8, 0.3, -0.4), column(0, 0, 0), lif)
    assert torch.allclose(y, column(*expected))
    assert torch.allclose(v, column(0.25, 0.35, 0.0))


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("relu", [0.0, 2.0]),
        ("sigmoid", [1 / (1 + math.exp(1)), 1 / (1 + math.exp(-2))]),
        ("tanh", [math.tanh(-1), math.tanh(2)]),
        ("none", [-1.0, 2.0]),
    ],
)
def test_activations(activation: Any, expected: list[float]) -> None:
    y, _ = lif_step(column(-1, 2), column(0, 0), Lif("analog", activation=activation))
    assert torch.allclose(y, column(*expected))


def test_noise_is_a_share_of_the_spread_over_the_map() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 100, 100) * torch.tensor([1.0, 5.0, 0.0]).view(3, 1, 1)
    lif = Lif("analog", alpha=1.0, theta=99.0, noise=0.2, activation="none")
    y, v = lif_step(x, torch.zeros_like(x), lif, training=True)
    assert torch.equal(y, x)  # what is put out is the membrane before the noise
    noise = v - x
    expected = torch.tensor([0.2, 1.0, 0.0]).expand(2, 3)
    assert torch.allclose(noise.std((2, 3)), expected, rtol=0.03)
    assert torch.allclose(noise.mean((2, 3)) / 0.2, torch.zeros(2, 3), atol=0.2)


def test_noise_without_a_map_is_a_share_of_the_spread_over_all() -> None:
    torch.manual_seed(0)
    x = 3 * torch.randn(200, 100)
    lif = Lif("analog", alpha=1.0, theta=99.0, noise=0.2)
    _, v = lif_step(x, torch.zeros_like(x), lif, training=True)
    assert torch.allclose((v - x).std(), torch.tensor(0.6), rtol=0.03)


@pytest.mark.parametrize("shape", [(1, 1), (4, 3, 1, 1)])
def test_one_value_alone_has_no_noise(shape: tuple[int, ...]) -> None:
    x = torch.ones(shape)
    _, v = lif_step(x, torch.zeros_like(x), Lif(theta=9.0, noise=0.5), training=True)
    assert torch.equal(v, torch.full(shape, 0.3))


def test_there_is_no_noise_but_in_training() -> None:
    x = torch.rand(2, 3, 4, 4)
    noisy, quiet = (lif_step(x, torch.zeros_like(x), Lif(noise=noise)) for noise in (0.5, 0.0))
    assert torch.equal(noisy[1], quiet[1])


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("mode", "spikes", "mode must be one of the choices, got 'spikes'"),
        ("surrogate", "box", "surrogate must be one of the choices, got 'box'"),
        ("noise", -0.1, "noise must be at least 0, got -0.1"),
        ("alpha", math.nan, "alpha must be a finite number, got nan"),
        ("theta", "x", "theta must be a finite number, got 'x'"),
        ("learnable", "no", "learnable must be true or false, got 'no'"),
    ],
)
def test_what_no_neuron_has_is_refused(option: str, value: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        Lif(**{option: value})

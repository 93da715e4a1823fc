"""The equation of the neuron, checked by hand."""

import pytest
import torch

from models.layers import Conv2dLif, FcLif, Lif2d
from models.neurons import Constants, Lif, lif_step
from models.surrogates import spike


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


def test_surrogate_gradient_is_a_rectangle() -> None:
    distance = torch.tensor([-0.6, -0.5, -0.49, 0.0, 0.49, 0.5, 0.6], requires_grad=True)
    (gradient,) = torch.autograd.grad((3 * spike(distance)).sum(), distance)
    assert gradient.tolist() == [0, 0, 3, 3, 3, 0, 0]


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


@pytest.mark.parametrize("size", [(9, 12), (40, 40), (1, 1)])
def test_state_of_a_convolution_has_the_shape_of_its_output(size: tuple[int, int]) -> None:
    layer = Conv2dLif(2, 3, 3, 2, 1)
    y, v = layer(torch.rand(2, 4, 2, *size), layer.initial_state(2, *size))
    assert y[:, 0].shape == v.shape == layer.initial_state(2, *size).shape


def test_a_stretch_is_a_loop_of_single_steps() -> None:
    torch.manual_seed(0)
    layer = FcLif(4, 3).eval()
    x = torch.rand(2, 5, 4)
    outputs, last = layer(x, layer.initial_state(2))
    v = layer.initial_state(2)
    for t in range(5):
        y, v = layer(x[:, t : t + 1], v)
        assert torch.allclose(y, outputs[:, t : t + 1])
    assert torch.allclose(v, last)


def test_lif2d_has_no_weights() -> None:
    layer = Lif2d(2, Lif("analog"))
    assert not list(layer.parameters())
    v = layer.initial_state(1, 3, 3)
    y, v = layer(torch.full((1, 1, 2, 3, 3), 0.25), v)
    assert torch.equal(y, torch.full((1, 1, 2, 3, 3), 0.25))

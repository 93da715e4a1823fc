"""Surrogate gradients: a step forward, a smooth neighbour's slope back."""

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from models.lif import Surrogate
from models.surrogates import spike, surrogate_gradient

SMOOTH: dict[Surrogate, Callable[[Tensor], Tensor]] = {
    "rectangle": lambda d: (d + 0.5).clamp(0, 1),
    "arctan": lambda d: torch.atan(torch.pi * d) / torch.pi + 0.5,
    "sigmoid": lambda d: 1 / (1 + torch.exp(-4 * d)),
    "triangle": lambda d: torch.where(d < 0, 0.5 * (1 + d) ** 2, 1 - 0.5 * (1 - d) ** 2),
}
"""Antiderivatives of the surrogates where |d| < 1: what the spike is taken for on the way back."""
KINDS = get_args(Surrogate)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_the_slope_of_the_smooth_step(kind: Surrogate) -> None:
    d = torch.linspace(-0.97, 0.97, 50, dtype=torch.float64)
    h = 1e-6
    slope = (SMOOTH[kind](d + h) - SMOOTH[kind](d - h)) / (2 * h)
    torch.testing.assert_close(surrogate_gradient(d, kind), slope, rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_height_and_area_are_one(kind: Surrogate) -> None:
    d = torch.linspace(-3000, 3000, 600_001, dtype=torch.float64)
    gradient = surrogate_gradient(d, kind)
    torch.testing.assert_close(gradient.max().item(), 1.0)
    torch.testing.assert_close(torch.trapezoid(gradient, d).item(), 1.0, rtol=0, atol=2e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_is_a_strict_step(kind: Surrogate) -> None:
    d = torch.tensor([-1.0, -1e-30, 0.0, 1e-30, 1.0])
    assert spike(d, kind).tolist() == [0, 0, 0, 1, 1]


def test_rectangle_is_open_at_both_ends() -> None:
    distance = torch.tensor([-0.6, -0.5, -0.49, 0.0, 0.49, 0.5, 0.6], requires_grad=True)
    (gradient,) = torch.autograd.grad((3 * spike(distance)).sum(), distance)
    assert gradient.tolist() == [0, 0, 3, 3, 3, 0, 0]

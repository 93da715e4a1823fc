"""Layers: a map, then neurons, over (batch, time, ...)."""

import pytest
import torch
from torch import nn

from models.layers import Conv2dLif, FcLif, Lif2d, LifLayer, Normalise, SumLayer, each_step
from models.lif import Lif


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


@pytest.mark.parametrize(("sharing", "count"), [("all", 1), ("channel", 3)])
def test_constants_are_shared_by_the_layer_or_within_a_channel(sharing: str, count: int) -> None:
    lif = Lif(sharing=sharing, learnable=True)  # type: ignore[arg-type]
    for layer in (Conv2dLif(2, 3, lif=lif), FcLif(2, 3, lif), Lif2d(3, lif)):
        assert [constant.numel() for constant in layer.constants] == [count] * 4  # type: ignore[union-attr]


def test_learnable_constants_learn() -> None:
    torch.manual_seed(0)
    lif = Lif("analog", sharing="channel", learnable=True, emit="leak", activation="none")
    layer = Lif2d(2, lif)
    y, _ = layer(torch.rand(4, 6, 2, 3, 3), layer.initial_state(4, 3, 3))
    (y**2).sum().backward()
    for name, constant in layer.named_parameters():
        assert constant.grad is not None
        assert (constant.grad != 0).all(), name
    before = {name: constant.detach().clone() for name, constant in layer.named_parameters()}
    torch.optim.SGD(layer.parameters(), 0.01).step()
    assert all((layer.get_parameter(name) != value).all() for name, value in before.items())


def test_noise_reaches_training_of_many_steps() -> None:
    """What has no kernel is not left out: the plain loop takes it."""
    torch.manual_seed(0)
    x = torch.rand(2, 4, 3, 5, 5)
    noisy, quiet = Lif2d(3, Lif(noise=0.5)), Lif2d(3)
    v = quiet.initial_state(2, 5, 5)
    assert not torch.equal(noisy(x, v)[1], quiet(x, v)[1])
    noisy.eval()
    assert torch.equal(noisy(x, v)[1], quiet(x, v)[1])


def test_a_map_that_has_no_kernel_is_used_all_the_same() -> None:
    class Doubling(LifLayer):
        @property
        def product(self) -> nn.Module:
            return nn.Upsample(scale_factor=2)

    x = torch.rand(2, 3, 1, 2, 2)
    y, _ = Doubling(Lif("analog"))(x, torch.zeros(2, 1, 4, 4))
    assert torch.equal(y[:, 0], x[:, 0].repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize("time_first", [False, True])
def test_each_step_keeps_the_order_in_memory(time_first: bool) -> None:
    x = torch.arange(24.0).view(2, 3, 4) if not time_first else torch.rand(3, 2, 4).transpose(0, 1)
    y = each_step(lambda x: 2 * x, x)
    assert torch.equal(y, 2 * x)
    assert y.stride() == x.stride()


def test_sum_layer_is_the_mean_over_the_steps() -> None:
    x = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [1.0, 3.0], [1.0, 1.0]]])
    assert torch.equal(SumLayer()(x), torch.tensor([[0.75, 1.0]]))


def test_fixed_scaling_is_exact_in_double_precision() -> None:
    x = torch.full((1, 2, 1, 1), 7.0, dtype=torch.float64)
    scaled = Normalise([0.1, 118.656525], [0.3, 60.48212]).double()(x)
    assert scaled.flatten().tolist() == [(7 - 0.1) / 0.3, (7 - 118.656525) / 60.48212]

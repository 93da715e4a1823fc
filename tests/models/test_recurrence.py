"""Neurons through time as one function: the same numbers as the plain loop, by the same names."""

import copy
import weakref
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import models
from models import recurrence
from models.errors import ModelError
from models.layers import Conv2dLif, FcLif, Lif2d, LifLayer, StepNorm2d
from models.lif import Lif

TOLERANCE = 1e-9


def enliven(module: nn.Module) -> None:
    """Give every norm a scale and shift that are not 1 and 0, so that none can be forgotten."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.3, 0.7)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=TOLERANCE, atol=TOLERANCE)


def gradients(layer: LifLayer, run: Any, x: Tensor, v: Tensor) -> list[Tensor]:
    """Return outputs, last membrane, gradients of all that has one, and running statistics."""
    x, v = x.clone().requires_grad_(), v.clone().requires_grad_()
    y, last = run(x, v)
    # Outputs and membrane each with a gradient of its own at every place.
    draw = torch.Generator().manual_seed(1)
    loss = (y * torch.randn(y.shape, generator=draw, dtype=y.dtype)).sum()
    loss = loss + (last * torch.randn(last.shape, generator=draw, dtype=y.dtype)).sum()
    loss.backward()
    tensors = [y, last, x.grad, v.grad, *(p.grad for p in layer.parameters())]
    assert all(tensor is not None for tensor in tensors)
    return [tensor.detach() for tensor in tensors if tensor is not None] + list(layer.buffers())


def assert_twins(layer: LifLayer, x: Tensor, v: Tensor) -> None:
    twin = copy.deepcopy(layer)
    fused = gradients(layer, layer.forward, x, v)
    plain = gradients(twin, twin.loop, x, v)
    for ours, theirs in zip(fused, plain, strict=True):
        close(ours, theirs)


neurons = st.builds(
    Lif,
    mode=st.sampled_from(["spike", "analog"]),
    alpha=st.sampled_from([0.3, 0.9]),
    beta=st.sampled_from([0.0, 0.1]),
    theta=st.sampled_from([0.5, 0.2]),
    v_0=st.sampled_from([0.0, -0.2]),
    sharing=st.sampled_from(["all", "channel"]),
    surrogate=st.sampled_from(["rectangle", "arctan", "sigmoid", "triangle"]),
    emit=st.sampled_from(["membrane", "distance", "reset", "leak"]),
    activation=st.sampled_from(["relu", "sigmoid", "tanh", "none"]),
)
sizes = st.tuples(st.integers(2, 4), st.integers(2, 7), st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=150, deadline=None)
@given(
    lif=neurons,
    size=sizes,
    kind=st.sampled_from(["convolution", "linear", "none"]),
    stretch_bytes=st.sampled_from([1, 2000, 1 << 20]),
    seed=st.integers(0, 2**32 - 1),
)
def test_all_gradients_are_the_plain_loops(
    lif: Lif, size: tuple[int, int, int, int], kind: str, stretch_bytes: int, seed: int
) -> None:
    batch, steps, inputs, outputs = size
    torch.manual_seed(seed)
    layer: LifLayer
    if kind == "convolution":
        layer = Conv2dLif(inputs, outputs, 3, 2, 1, lif)
        x, v = torch.rand(batch, steps, inputs, 5, 4), layer.initial_state(batch, 5, 4)
    elif kind == "linear":
        layer = FcLif(inputs, outputs, lif)
        x, v = torch.rand(batch, steps, inputs), layer.initial_state(batch)
    else:
        layer = Lif2d(outputs, lif)
        x, v = torch.rand(batch, steps, outputs, 3, 4), layer.initial_state(batch, 3, 4)
    enliven(layer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrence, "STRETCH_BYTES", stretch_bytes)
        assert_twins(
            layer.double(), 2 * x.double(), v.double() + 0.2 * torch.randn_like(v).double()
        )


@settings(max_examples=20, deadline=None)
@given(size=sizes, time_first=st.booleans(), momentum=st.sampled_from([0.1, 0.7, None]))
def test_a_norm_takes_the_steps_in_their_order(
    size: tuple[int, int, int, int], time_first: bool, momentum: float | None
) -> None:
    batch, steps, channels, width = size
    torch.manual_seed(width)
    norm = StepNorm2d(channels, momentum=momentum).double()
    enliven(norm)
    one_step = nn.BatchNorm2d(channels, momentum=momentum).double()
    one_step.load_state_dict(norm.state_dict())
    x = torch.randn(steps, batch, 4, width, channels, dtype=torch.float64).movedim(-1, 2)
    x = x.transpose(0, 1) if time_first else x.transpose(0, 1).contiguous()
    weights = torch.randn_like(x)
    results = []
    for run in (norm, lambda x: torch.stack([one_step(now) for now in x.unbind(1)], 1)):
        now = x.clone(memory_format=torch.preserve_format).requires_grad_()
        y = run(now)
        (y * weights).sum().backward()
        results.append([y, now.grad])
    for module, tensors in zip((norm, one_step), results, strict=True):
        tensors += [*module.buffers(), *(parameter.grad for parameter in module.parameters())]
    for ours, theirs in zip(*results, strict=True):
        close(ours, theirs)


def step_alone(self: StepNorm2d, input: Tensor) -> Tensor:
    """Normalise step by step, by torch's own norm."""
    return torch.stack([nn.BatchNorm2d.forward(self, now) for now in input.unbind(1)], 1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dvs_gesture", {"size": (9, 13), "classes": 3}),
        ("dvs_gesture", {"size": (8, 8), "classes": 3, "mode": "analog", "sharing": "channel"}),
        ("mnist_dvs", {"size": (9, 8), "classes": 3}),
        ("mnist_dvs", {"size": (8, 8), "classes": 3, "mode": "spike", "head": "per_step"}),
    ],
)
def test_a_network_trains_as_the_plain_loop_does(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = models.build(name, **options, lif={"surrogate": "arctan"}).double().train()
    enliven(network)
    twin = copy.deepcopy(network)
    x = torch.poisson(torch.full((3, 5, *network.input_shape), 0.5))
    results = []
    for ours in (network, twin):
        if ours is twin:
            monkeypatch.setattr(LifLayer, "forward", LifLayer.loop)
            monkeypatch.setattr(StepNorm2d, "forward", step_alone)
        outputs, state = ours(x)
        nn.functional.cross_entropy(ours.decide(outputs), torch.arange(3)).backward()
        grads = [parameter.grad for parameter in ours.parameters()]
        results.append([outputs, *state, *grads, *ours.buffers()])
    for now, plain in zip(*results, strict=True):
        assert now is not None
        close(now, plain)


def test_threads_change_no_bit() -> None:
    torch.manual_seed(0)
    layer = Lif2d(48)
    layer.norm = nn.BatchNorm2d(48)
    x, v = torch.rand(4, 6, 48, 16, 16), layer.initial_state(4, 16, 16)
    before = torch.get_num_threads()
    results = []
    for count in (1, 3):
        torch.set_num_threads(count)
        try:
            results.append(gradients(layer, layer.forward, x, v)[:4])
        finally:
            torch.set_num_threads(before)
    assert all(torch.equal(one, three) for one, three in zip(*results, strict=True))


@pytest.mark.parametrize("batch", [0, 1])
@pytest.mark.parametrize("steps", [1, 5])
def test_one_sample_has_no_spread_to_be_normalised_by(batch: int, steps: int) -> None:
    layer, norm = FcLif(4, 3), StepNorm2d(3)
    with pytest.raises(ModelError, match=f"more than one value .* got a batch of {batch}"):
        layer(torch.rand(batch, steps, 4), layer.initial_state(batch))
    with pytest.raises(ModelError, match=f"more than one value .* got a batch of {batch}"):
        norm(torch.rand(batch, steps, 3, 1, 1))
    assert not layer.get_buffer("norm.running_mean").any()


def test_without_a_norm_a_batch_may_be_empty() -> None:
    layer = Lif2d(3)
    y, v = layer(torch.rand(0, 4, 3, 2, 2), layer.initial_state(0, 2, 2))
    assert (y.shape, v.shape) == ((0, 4, 3, 2, 2), (0, 3, 2, 2))


def test_two_stretches_before_one_way_back() -> None:
    """The membrane carries a gradient from the second to the first, as in the plain loop."""
    torch.manual_seed(0)
    layer = FcLif(4, 3).double()
    twin, (first, second) = copy.deepcopy(layer), torch.rand(2, 3, 4, 4).double()
    for one, run in ((layer, layer.forward), (twin, twin.loop)):
        y, v = run(first, one.initial_state(3))
        z, v = run(second, v)
        (y.sum() + 2 * z.sum() + (v**2).sum()).backward()
    for ours, theirs in zip(layer.parameters(), twin.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        close(ours.grad, theirs.grad)


@pytest.mark.parametrize("kind", ["convolution", "none"])
def test_nothing_that_the_caller_holds_is_written_to(kind: str) -> None:
    lif = Lif("analog", activation="none")
    layer = Conv2dLif(2, 2, lif=lif) if kind == "convolution" else Lif2d(2, lif)
    # Steps first in memory, so that the layer need not copy.
    x, v = torch.rand(3, 2, 4, 4, 2).movedim(-1, 2).transpose(0, 1), torch.rand(2, 2, 4, 4)
    kept = x.clone(), v.clone()
    y, last = layer(x, v)
    y.detach().zero_()
    last.detach().zero_()
    assert torch.equal(x, kept[0])
    assert torch.equal(v, kept[1])


def test_a_layer_without_a_map_does_not_hold_its_input() -> None:
    layer = Lif2d(2)
    x = torch.rand(2, 3, 2, 4, 4, requires_grad=True) * 1
    held = weakref.ref(x)
    y, _ = layer(x, layer.initial_state(2, 4, 4))
    del x
    assert held() is None
    y.sum().backward()

"""Meta-SpikeFormer: the published network's numbers, and its laws on a narrow sibling."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import models
from models.errors import ModelError
from models.meta_spikeformer import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MetaSpikeformer,
    MetaSpikeformerState,
)
from models.meta_spikeformer_blocks import Attention, RepConv
from models.tau_lif import TauLif, TauLifLayer
from models.weights import restore
from tests.golden_draw import golden, image_frames, tensors


class Narrow(MetaSpikeformer):
    name = "meta_spikeformer_narrow"
    widths = (8, 8, 16, 16, 24)


def draw_norms(module: nn.Module) -> None:
    """Give every BatchNorm something to do, and every neuron something to fire about."""
    with torch.no_grad():
        for name, part in module.named_modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                assert part.running_mean is not None
                assert part.running_var is not None
                part.running_mean.normal_(0, 0.3)
                part.running_var.uniform_(0.5, 1.5)
                part.weight.uniform_(1, 2.5)
                into_attention = name.endswith(("q.norm3", "k.norm3", "v.norm3"))
                part.bias.normal_(1.8 if into_attention else 0.1, 0.5)


def narrow(**options: Any) -> Narrow:
    torch.manual_seed(0)
    network = Narrow(**{"classes": 5, "size": (40, 33), **options}).double()
    draw_norms(network)
    return network.eval().requires_grad_(False)


def pictures(network: Narrow, batch: int = 1, time: int = 3) -> Tensor:
    torch.manual_seed(7)
    return torch.randn(batch, time, *network.input_shape, dtype=torch.float64)


def neurons(network: nn.Module) -> dict[str, TauLifLayer]:
    return {name: part for name, part in network.named_modules() if isinstance(part, TauLifLayer)}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.NETWORKS, Narrow.name, f"{__name__}:Narrow")


def test_golden() -> None:
    """Full size in float64, step by step: `forward` is a loop of it, see below."""
    name = "meta_spikeformer_8_512"
    expected = golden(name)
    network = models.from_reference(name, tensors(name), head="per_step")
    x = torch.from_numpy(2 * image_frames("sdt", (1, 3, 224, 224)) - 0.5)
    state, outputs = network.initial_state(1), []
    for _ in range(4):
        y, state = network.step(x, state)
        outputs.append(y)
    logits = torch.stack(outputs)  # (time, batch, classes)
    close = {"rtol": 0, "atol": 1e-9}
    np.testing.assert_allclose(logits[:, 0, :48], expected["last_steps_first_48"][0], **close)
    np.testing.assert_allclose(logits, expected["mean_over_steps"], **close)
    np.testing.assert_allclose(logits.mean(0), expected["output"], **close)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("meta_spikeformer_8_384", 31.33),
        ("meta_spikeformer_8_512", 55.35),
        ("meta_spikeformer_8_768", 123.74),
    ],
)
def test_number_of_parameters(name: str, millions: float) -> None:
    with torch.device("meta"):
        network = models.build(name)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert round(count / 1e6, 2) == millions


def test_the_state_names_every_layer_of_neurons() -> None:
    network = narrow()
    paths = [path.removeprefix("layers.").replace(".", "_") for path in neurons(network)]
    assert list(MetaSpikeformerState._fields) == paths
    assert len(paths) == 77
    before = network.initial_state(2)
    _, after = network.step(pictures(network, batch=2)[:, 0], before)
    assert isinstance(after, MetaSpikeformerState)
    assert [v.shape for v in after] == [v.shape for v in before]
    assert not any(v.any() for v in before)


def test_all_its_neurons_fire_in_these_tests() -> None:
    network = narrow()
    rates: dict[str, float] = {}
    for name, part in neurons(network).items():
        part.register_forward_hook(
            lambda _module, _inputs, outputs, name=name: rates.update({name: outputs[0].mean()})
        )
    network.run(pictures(network, time=6), network.initial_state(1))
    assert len(rates) == 77
    assert all(0 < rate < 1 for rate in rates.values())


def test_forward_is_a_loop_of_step_and_may_be_cut() -> None:
    network = narrow()
    x = pictures(network, batch=2, time=5)
    whole, end = network(x)
    state, outputs = network.initial_state(2), []
    for now in x.unbind(1):
        y, state = network.step(now, state)
        outputs.append(y)
    assert torch.equal(torch.stack(outputs, 1), whole)
    assert all(torch.equal(a, b) for a, b in zip(state, end, strict=True))
    first, state = network(x[:, :2])
    second, _ = network(x[:, 2:], state)
    assert torch.equal(torch.cat([first, second], 1), whole)


def test_all_steps_at_once_give_the_same_numbers() -> None:
    """As in training, where what has no memory runs over all steps together."""
    network = narrow()
    x = pictures(network, batch=2, time=4)
    by_step, _ = network(x)
    at_once, _ = network.run(x, network.initial_state(2))
    torch.testing.assert_close(at_once, by_step, rtol=0, atol=1e-9)


def test_every_parameter_can_be_trained() -> None:
    network = narrow().train().requires_grad_(True)
    outputs, _ = network(pictures(network, batch=2, time=6))
    nn.functional.cross_entropy(network.decide(outputs), torch.tensor([1, 3])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def rep_conv(width: int = 6) -> RepConv:
    torch.manual_seed(1)
    conv = RepConv(width).double()
    draw_norms(conv)
    return conv.eval()


def test_rep_conv_is_one_convolution_with_zero_padding() -> None:
    conv = rep_conv()
    x = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(conv.fold()(x), conv(x), rtol=0, atol=1e-12)
    # The border is what a zero becomes: a map of zeros comes out even.
    even = conv(torch.zeros_like(x))
    torch.testing.assert_close(even, even[..., 2:3, 2:3].expand_as(even), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("registered")
def test_folded_it_is_the_same_network() -> None:
    network = narrow(mean=[0.1, 0.2, 0.3], lif={"tau": 1.5})
    folded = network.fold()
    assert folded.options == {**network.options, "folded": True}
    assert not any(isinstance(part, RepConv) for part in folded.modules())
    x = pictures(network, time=4)
    outputs, _ = folded(x)
    torch.testing.assert_close(outputs, network(x)[0], rtol=0, atol=1e-9)
    again = restore(Narrow.name, folded.state_dict(), "a file", torch.float64, folded.options)
    assert torch.equal(again(x)[0], outputs)


def test_attention_is_q_times_k_times_v() -> None:
    """Against every pixel held against every other one."""
    torch.manual_seed(3)
    attention = Attention(16, TauLif(), folded=False).double()
    draw_norms(attention)
    attention.eval()
    x = 3 * torch.rand(2, 1, 16, 4, 5, dtype=torch.float64)
    rest = torch.zeros(2, 16, 4, 5, dtype=torch.float64)
    fires: list[Tensor] = []
    attention.out_lif.register_forward_hook(lambda _module, _inputs, out: fires.append(out[0]))
    y, membranes = attention(x, iter([rest] * 5))

    spikes, _ = attention.lif(x, rest)
    q, k, v = (
        lif(conv(spikes[:, 0])[:, None], rest)[0].view(2, 8, 2, 20)
        for conv, lif in (
            (attention.q, attention.q_lif),
            (attention.k, attention.k_lif),
            (attention.v, attention.v_lif),
        )
    )
    similar = torch.einsum("bhdn,bhdm->bhnm", q, k)
    attended = torch.einsum("bhnm,bhdm->bhdn", similar, v) * 0.125
    fire, membrane = attention.out_lif(attended.reshape(x.shape), rest)
    assert torch.equal(fires[0], fire)
    assert torch.equal(membranes[-1], membrane)
    assert 0 < fire.mean() < 1
    assert torch.equal(y, attention.project(fire[:, 0])[:, None])


def test_both_orders_of_head_and_mean_agree() -> None:
    after, each = narrow(), narrow(head="per_step")
    x = pictures(after)
    torch.testing.assert_close(after.decide(after(x)[0]), each.decide(each(x)[0]))


@pytest.mark.parametrize("head_input", ["spikes", "mean"])
@pytest.mark.parametrize("distilled", [False, True])
def test_what_the_heads_see(head_input: str, distilled: bool) -> None:
    network = narrow(head_input=head_input, distilled=distilled)
    seen: list[tuple[Tensor, Tensor]] = []
    network.head_lif.register_forward_hook(
        lambda _module, inputs, outputs: seen.append((inputs[0], outputs[0]))
    )
    logits = network.decide(network(pictures(network))[0])
    means, spikes = (torch.cat(parts, 1).mean(1) for parts in zip(*seen, strict=True))
    expected = network.fc(means if head_input == "mean" else spikes)
    if distilled:
        assert network.fc_kd is not None
        expected = (expected + network.fc_kd(spikes)) / 2
    torch.testing.assert_close(logits, expected)


def published(network: Narrow) -> dict[str, Any]:
    """A checkpoint of the network, as its authors' training writes it."""
    theirs = {ours: name for name, ours in network.reference_names.items()}
    named = {}
    for name, tensor in network.state_dict().items():
        prefix, _, last = name.rpartition(".")
        named[f"module.{theirs[prefix]}.{last}"] = tensor
    return {"model": named}


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.parametrize("folded", [False, True])
def test_a_checkpoint_tells_whether_it_has_a_second_head(distilled: bool, folded: bool) -> None:
    network = narrow(distilled=distilled)
    checkpoint = published(network)
    assert ("module.head_kd.weight" in checkpoint["model"]) is distilled
    loaded = models.from_reference(Narrow.name, checkpoint, classes=5, size=(40, 33), folded=folded)
    assert loaded.options["distilled"] is distilled
    x = pictures(network)
    close = {"rtol": 0, "atol": 1e-9}
    torch.testing.assert_close(loaded.decide(loaded(x)[0]), network.decide(network(x)[0]), **close)


@pytest.mark.usefixtures("registered")
def test_a_checkpoint_that_cannot_be_folded_is_refused() -> None:
    checkpoint = published(narrow())
    del checkpoint["model"]["module.block3.2.attn.k_conv.1.bias"]
    with pytest.raises(ModelError, match=r"a RepConv cannot be folded \(.*norm3\.bias.*check the"):
        models.from_reference(Narrow.name, checkpoint, classes=5, size=(40, 33), folded=True)


def test_bytes_are_scaled_inside() -> None:
    plain, scaling = narrow(), narrow(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    frames = torch.randint(0, 256, (1, 2, 3, 40, 33), dtype=torch.uint8)
    mean, std = (torch.tensor(one).view(3, 1, 1).double() for one in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(scaling(frames)[0], plain((frames - mean) / std)[0])


@pytest.mark.parametrize("size", [(1, 1), (16, 47), (224, 224)])
def test_any_size(size: tuple[int, int]) -> None:
    network = narrow(size=size).float()
    state = network.initial_state(1)
    rows = [v.shape[2] for v in state[:-1]]
    assert all(after in (before, -(-before // 2)) for before, after in pairwise(rows))
    y, _ = network.step(torch.zeros(1, 3, *size), state)
    assert y.shape == (1, 24)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"mode": "analog"}, "mode must be 'spike' and sharing 'all'"),
        (
            {"sharing": "channel"},
            "mode must .* its neurons have no other, got 'spike' and 'channel'",
        ),
        ({"head_input": "both"}, "head_input must be 'spikes' or 'mean', got 'both'"),
        ({"lif": {"tau": 0.2}}, "tau must be at least 1 step, got 0.2"),
        ({"lif": {"alpha": 0.3}}, "lif: unknown 'alpha'; choices: surrogate, tau, theta"),
        ({"size": (0, 224)}, "height must be a whole number of at least 1, got 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ModelError, match=f"meta_spikeformer_narrow: {problem}"):
        Narrow(**options)

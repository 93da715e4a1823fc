"""The laws that every network keeps, at small sizes."""

import copy
import pickle
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import models
from models.network import Network, Options

SIZE = (9, 13)  # odd and not square, so that rows and columns cannot be swapped unnoticed

SMALL: dict[str, dict[str, Any]] = {
    "dvs_gesture": {"classes": 5, "size": SIZE},
    "rgb_gesture": {"classes": 3, "size": SIZE, "mode": "analog"},
    "mnist_dvs": {"classes": 4, "size": SIZE, "head": "per_step"},
    "cifar10_dvs": {"classes": 4, "size": (63, 66), "mode": "spike"},
    "luna16cls": {"size": SIZE, "mean": [0.5], "std": [2]},
    "jester": {"classes": 4, "size": SIZE, "sharing": "channel"},
    "es_imagenet": {"classes": 4, "size": (8, 11)},
    "imdb": {"vocabulary": 20},
}
NAMES = list(SMALL)

PARAMETERS = {
    "dvs_gesture": 2_013_157,
    "rgb_gesture": 2_013_157,
    "mnist_dvs": 1_799_274,
    "cifar10_dvs": 2_625_514,
    "luna16cls": 1_208_130,
    "jester": 11_195_163,
    "es_imagenet": 11_691_176,
    "imdb": 21_137,
}
"""Counted in the reference's own checkpoints, at the text's sizes."""

laws = settings(max_examples=4, deadline=None)
every_network = pytest.mark.parametrize("name", NAMES)


def draw(name: str, seed: int, batch: int, steps: int) -> torch.Tensor:
    """Draw frames that the small network of a name takes."""
    rng = np.random.default_rng(seed)
    shape = (batch, steps, *small(name).input_shape)
    if name == "imdb":
        return torch.from_numpy(rng.integers(0, 20, shape))
    return torch.from_numpy(rng.poisson(0.6, shape).astype(np.uint8))


def built(name: str, **options: Any) -> Network[Any]:
    torch.manual_seed(3)
    return models.build(name, **SMALL[name] | options)


@cache
def small(name: str) -> Network[Any]:
    """Build a network whose BatchNorm has seen data, so that the membranes are lively."""
    network = built(name)
    frames = torch.poisson(torch.full((4, 8, *network.input_shape), 0.6))
    network.train()
    with torch.no_grad():
        network(frames)
    return network.eval().requires_grad_(False)


@cache
def precise(name: str) -> Network[Any]:
    """Return the small network in float64, where no order of sums makes a neuron fire or not."""
    network = built(name).double()
    network.load_state_dict(small(name).state_dict())
    return network.eval().requires_grad_(False)


def same(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> bool:
    return type(a) is type(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


seeds = st.integers(0, 2**32 - 1)
batches = st.integers(1, 3)


def test_all_networks_are_here() -> None:
    left_out = set(models.NETWORKS) - set(NAMES)
    own = ("meta_spikeformer", "nir")  # they have their own
    assert all(name.startswith(own) for name in left_out)


@every_network
def test_parameters_are_as_many_as_the_reference_has(name: str) -> None:
    network = models.build(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]


@every_network
@laws
@given(seed=seeds, batch=batches, steps=st.integers(2, 6), data=st.data())
def test_where_the_time_axis_is_cut_changes_nothing(
    name: str, seed: int, batch: int, steps: int, data: st.DataObject
) -> None:
    network, x = small(name), draw(name, seed, batch, steps)
    whole, end = network(x)
    cuts = sorted(data.draw(st.sets(st.integers(1, steps - 1))))
    state = network.initial_state(batch)
    parts = []
    for begin, stop in zip([0, *cuts], [*cuts, steps], strict=True):
        y, state = network(x[:, begin:stop], state)
        parts.append(y)
    assert torch.equal(torch.cat(parts, 1), whole)
    assert same(state, end)


@every_network
@laws
@given(seed=seeds, batch=batches)
def test_forward_is_a_loop_of_step(name: str, seed: int, batch: int) -> None:
    network, x = small(name), draw(name, seed, batch, 4)
    whole, end = network(x)
    state = network.initial_state(batch)
    for t in range(4):
        y, state = network.step(x[:, t].clone(), state)
        assert torch.equal(y, whole[:, t])
    assert same(state, end)


@every_network
def test_all_steps_at_once_give_the_numbers_of_single_steps(name: str) -> None:
    network, x = precise(name), draw(name, 1, 2, 5)
    looped, end = network(x)
    network.training = True  # its parts stay in evaluation: what is drawn or learned is left out
    at_once, at_once_end = network(x)
    network.training = False
    torch.testing.assert_close(at_once, looped, rtol=0, atol=1e-12)
    for ours, theirs in zip(at_once_end, end, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@every_network
@laws
@given(seed=seeds)
def test_reset_is_a_fresh_state(name: str, seed: int) -> None:
    network, x = small(name), draw(name, seed, 2, 3)
    fresh, _ = network(x)
    network(draw(name, seed + 1, 2, 2))
    again, _ = network(x, network.initial_state(2))
    assert torch.equal(fresh, again)


@every_network
@laws
@given(seed=seeds)
def test_snapshot_and_restore(name: str, seed: int) -> None:
    network, x = small(name), draw(name, seed, 2, 3)
    _, state = network(x)
    restored = type(state)(*(torch.from_numpy(tensor.numpy().copy()) for tensor in state))
    ahead, _ = network(x, state)
    again, _ = network(x, restored)
    assert torch.equal(ahead, again)
    assert same(state, restored)  # stepping wrote into neither


@every_network
def test_memory_reaches_past_a_window(name: str) -> None:
    network, x = small(name), draw(name, 5, 1, 4)
    _, rest = network(x)
    assert not same(network(x, rest)[1], rest)
    assert any(membrane.any() for membrane in rest)


@every_network
def test_each_sample_of_a_batch_has_a_membrane_of_its_own(name: str) -> None:
    network, x = precise(name), draw(name, 6, 3, 3)
    together, _ = network(x)
    for k in range(3):
        alone, _ = network(x[k : k + 1])
        torch.testing.assert_close(together[k : k + 1], alone, rtol=0, atol=1e-12)


@every_network
def test_dtype_on_the_wire_does_not_matter(name: str) -> None:
    x = draw(name, 0, 1, 3)
    first, *others = [
        small(name)(x.to(dtype))[0] for dtype in (torch.uint8, torch.int64, torch.float)
    ]
    assert all(torch.equal(first, other) for other in others)


@every_network
@pytest.mark.parametrize("head", ["after_mean", "per_step"])
def test_outputs_become_one_logit_a_class(name: str, head: str) -> None:
    network = built(name, head=head).eval()
    with torch.no_grad():
        outputs, _ = network(draw(name, 2, 3, 4))
        logits = network.decide(outputs)
        taken = outputs.mean(1) if network.take == "mean" else outputs[:, -1]
        torch.testing.assert_close(network.readout(taken), network.scores(logits))
    assert logits.shape == (3, network.options["classes"])


@every_network
def test_the_head_may_come_before_or_after_the_mean(name: str) -> None:
    after, before = built(name, head="after_mean").eval(), built(name, head="per_step").eval()
    x = draw(name, 2, 2, 3)
    with torch.no_grad():
        features, _ = after(x)
        per_step, _ = before(x)
        torch.testing.assert_close(after.classify(features), per_step)


@pytest.mark.parametrize("name", models.NETWORKS)
def test_every_option_is_kept_with_its_default(name: str) -> None:
    known = models.network_class(name).known_options()
    with torch.device("meta"):
        options = models.build(name).options
    assert list(known)[: len(Options.__annotations__)] == list(Options.__annotations__)
    assert options.pop("size") == list(known.pop("size"))
    assert options == {option: value for option, value in known.items() if value is not None}


@every_network
def test_options_build_the_same_network_again(name: str) -> None:
    network = built(name)
    torch.manual_seed(3)
    again = models.build(name, **network.options)
    assert again.options == network.options
    x = draw(name, 4, 1, 2)
    assert torch.equal(network.eval()(x)[0], again.eval()(x)[0])


@every_network
def test_constants_may_be_one_a_channel(name: str) -> None:
    shared, channel = built(name, sharing="all").eval(), built(name, sharing="channel").eval()
    x = draw(name, 4, 1, 3)
    assert torch.equal(shared(x)[0], channel(x)[0])  # all alike until they are trained
    trained = built(name, sharing="channel", lif={"learnable": True})
    theta = [p for key, p in trained.named_parameters() if key.endswith("theta")]
    assert theta
    assert all(parameter.numel() > 1 for parameter in theta)


@every_network
def test_every_weight_gets_a_gradient(name: str) -> None:
    network = built(name, mode="analog", lif={"learnable": True}).train()
    outputs, _ = network(draw(name, 4, 3, 3))
    nn.functional.cross_entropy(network.decide(outputs), torch.tensor([0, 1, 0])).backward()
    without = {
        key for key, p in network.named_parameters() if p.grad is None or p.grad.isnan().any()
    }
    assert not without


@pytest.mark.parametrize("name", [name for name in NAMES if name != "imdb"])  # ids are not scaled
def test_training_in_bfloat16_gives_every_weight_a_gradient(name: str) -> None:
    network = built(name).train()
    with torch.autocast("cpu", torch.bfloat16):
        outputs, _ = network(draw(name, 4, 3, 3))
        loss = nn.functional.cross_entropy(network.decide(outputs), torch.tensor([0, 1, 0]))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@every_network
def test_a_copy_and_a_pickle_go_on_alike_after_training(name: str) -> None:
    network, x = built(name).train(), draw(name, 4, 2, 3)
    network(x)
    twins = copy.deepcopy(network), pickle.loads(pickle.dumps(network))
    outputs, state = network.eval()(x)
    for twin in twins:
        again, again_state = twin.eval()(x)
        assert torch.equal(again, outputs)
        assert same(again_state, state)


@every_network
@pytest.mark.parametrize("wrong", ["width", "no step", "one frame"])
def test_frames_of_another_shape_are_refused(name: str, wrong: str) -> None:
    network = small(name)
    channels, height, width = network.input_shape
    shape = {
        "width": (1, 2, channels, height, width + 1),
        "no step": (1, 0, channels, height, width),
        "one frame": (channels, height, width),
    }[wrong]
    with pytest.raises(
        models.ModelError, match=rf"^{name} takes .*\(batch, time.* at least one step"
    ):
        network(torch.zeros(shape))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mnist_dvs", {"size": (7, 40)}, r"mnist_dvs: size must be at least \[8, 8\].*\[7, 40\]"),
        ("luna16cls", {"size": (32, 7)}, r"luna16cls: size must be at least \[8, 8\].*\[32, 7\]"),
        ("cifar10_dvs", {"size": (62, 63)}, r"must be at least \[63, 63\].*\[62, 63\]"),
        ("jester", {"mean": [1, 2]}, "jester: mean and std must have one value for each of 3"),
        ("jester", {"std": [1, 0, 1]}, "std none of 0"),
        ("jester", {"mean": [1, 2, float("nan")]}, "all finite"),
        ("es_imagenet", {"on_first": 1}, "es_imagenet: on_first must be true or false, got 1"),
        ("imdb", {"classes": 3}, "imdb: a step is one token .* got 3, 1 and"),
        ("imdb", {"vocabulary": 0}, "imdb: vocabulary must be at least 1, got 0"),
        ("imdb", {"size": (2, 1)}, r"size \[1, 1\], got 2, 1 and \[2, 1\]"),
    ],
)
def test_an_option_out_of_range_is_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(models.ModelError, match=message):
        models.build(name, **options)


def test_dropout_before_the_classifier_is_for_training_alone() -> None:
    torch.manual_seed(1)
    network = models.build("mnist_dvs", size=(8, 8), dropout=0.5)
    assert network.options["dropout"] == 0.5
    features = torch.ones(1, 128)
    assert not torch.equal(network.classify(features), network.classify(features))
    network.eval()
    assert torch.equal(network.classify(features), network.classify(features))

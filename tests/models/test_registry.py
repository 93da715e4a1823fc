"""Building networks by name, and loading reference checkpoints."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

import models
from models import ModelError
from models.network import Network
from tests.golden_draw import tensors


def test_public_names_exist() -> None:
    for name in models.__all__:
        assert hasattr(models, name)


@pytest.mark.parametrize("module", ["models", "models.card", "models.errors"])
def test_importing_loads_neither_torch_nor_numba_nor_numpy(module: str) -> None:
    code = (
        f"import sys, {module}; "
        "print([name for name in ('torch', 'numba', 'numpy') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dvs_gestur", {}, "unknown network 'dvs_gestur'; did you mean 'dvs_gesture'? (choices: "),
        (
            "zzz",
            {},
            "unknown network 'zzz'; choices: cifar10_dvs, dvs_gesture, es_imagenet, imdb, ",
        ),
        (
            "dvs_gesture",
            {"classes": 0},
            "dvs_gesture: classes must be a whole number of at least 1, got 0",
        ),
        (
            "dvs_gesture",
            {"mode": "loud"},
            "dvs_gesture: mode must be one of the choices, got 'loud'; choices: analog, spike",
        ),
        (
            "dvs_gesture",
            {"clases": 3},
            "dvs_gesture: unknown option 'clases'; did you mean 'classes'? "
            "(choices: classes, head, input_channels, lif, mean, mode, sharing, size, std, steps)",
        ),
        ("mnist_dvs", {"head": "x"}, "mnist_dvs: head must be 'after_mean' or 'per_step', got 'x'"),
        (
            "mnist_dvs",
            {"dropuot": 0.1},
            "mnist_dvs: unknown option 'dropuot'; did you mean 'dropout'",
        ),
        ("luna16cls", {"on_first": True}, "luna16cls: unknown option 'on_first'; "),
        ("imdb", {"mean": [1]}, "imdb: mean and std must be left out, a token is no quantity"),
        ("dvs_gesture", {"steps": 2.5}, "dvs_gesture: steps must be a whole number of at least 1"),
        (
            "dvs_gesture",
            {"lif": {"alfa": 1}},
            "dvs_gesture: lif: unknown 'alfa'; did you mean 'alpha'? (choices: activation, alpha",
        ),
        ("dvs_gesture", {"lif": {"mode": "analog"}}, "dvs_gesture: lif: unknown 'mode'; choices: "),
    ],
)
def test_a_wrong_request_is_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.build(name, **options)
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("options", [{"size": 3}, {"size": [1, 2, 3]}, {"mean": 3}])
def test_an_option_of_another_kind_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="cannot be used"):
        models.build("mnist_dvs", **options)


def test_options_build_the_same_network_again() -> None:
    network = models.build("dvs_gesture", classes=3, size=(8, 8), mode="analog", steps=7)
    again = models.build("dvs_gesture", **network.options)
    assert again.options == network.options
    assert again.input_shape == (2, 8, 8)


def test_a_checkpoint_that_does_not_fit_is_refused() -> None:
    checkpoint = tensors("dvs_gesture")
    with pytest.raises(
        ModelError, match=r"with 5 classes, but its head \(flif2.p0.weight\) has 11; set"
    ):
        models.from_reference("dvs_gesture", checkpoint, classes=5)
    checkpoint["extra.weight"] = checkpoint.pop("norm.weight")
    with pytest.raises(ModelError, match=r"norm.weight is missing, extra.weight is unknown"):
        models.from_reference("dvs_gesture", checkpoint)
    with pytest.raises(ModelError, match="one floating dtype, got none"):
        models.from_reference("dvs_gesture", {})
    with pytest.raises(ModelError, match=r"must hold tensors by parameter name, .* 'epoch' is int"):
        models.from_reference("dvs_gesture", {"epoch": 3})


def test_a_checkpoint_keeps_its_dtype_and_needs_no_gradient() -> None:
    checkpoint = {name: tensor.float() for name, tensor in tensors("dvs_gesture").items()}
    network = models.from_reference("dvs_gesture", checkpoint)
    assert network.dtype == torch.float32
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def same(ours: Network[Any], theirs: Network[Any]) -> bool:
    state = theirs.state_dict()
    return all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: {"state_dict": tensors, "epoch": 3, "config": "a text"},
        lambda tensors: {"model": tensors, "optimizer": {"state": {}}},
        lambda tensors: {f"module.backbone.{name}": tensor for name, tensor in tensors.items()},
        lambda tensors: {f"_orig_mod.{name}": tensor for name, tensor in tensors.items()},
        lambda tensors: {name.replace(".p0", ".unit.p0"): t for name, t in tensors.items()},
        lambda tensors: tensors | {"clif1.lif.norm.num_batches_tracked": torch.tensor(7)},
    ],
    ids=["BIDL", "BICLab", "parallel", "compiled", "over time", "counted"],
)
def test_what_training_wraps_around_a_checkpoint_is_taken_off(
    wrap: Callable[[dict[str, torch.Tensor]], dict[str, Any]],
) -> None:
    plain = models.from_reference("mnist_dvs", tensors("mnist_dvs_spike"))
    assert same(models.from_reference("mnist_dvs", wrap(tensors("mnist_dvs_spike"))), plain)


def test_published_weights_of_es_imagenet_take_on_events_first() -> None:
    checkpoint = tensors("esimagenet_analog")
    size = {"size": (8, 8)}  # the stem is another one, of the same names
    checkpoint["conv.0.weight"] = checkpoint["conv.0.weight"][..., 2:5, 2:5]
    plain = models.from_reference("es_imagenet", checkpoint, **size)
    turned = models.from_reference("es_imagenet", checkpoint, **size, on_first=True)
    assert models.build("es_imagenet", **turned.options).options["on_first"]
    off_on = torch.poisson(torch.full((1, 2, 2, 8, 8), 0.5)).double()
    assert torch.equal(turned(off_on)[0], plain(off_on.flip(2))[0])
    assert not torch.equal(turned(off_on)[0], plain(off_on)[0])


def test_both_ages_of_the_residual_checkpoints_are_read() -> None:
    checkpoint = tensors("jester_spike")
    plain = models.from_reference("jester", checkpoint)
    for neurons in ("lif", "layer1.0.lif1", "layer4.1.lif2"):
        checkpoint[f"{neurons}.alpha"] = torch.tensor(0.3).double()
        checkpoint[f"{neurons}.lif.theta"] = torch.tensor(0.5).double()
    assert same(models.from_reference("jester", checkpoint), plain)


def with_constants(alpha: torch.Tensor) -> dict[str, torch.Tensor]:
    constants = {"alpha": alpha, "beta": torch.tensor(0.0), "theta": torch.tensor(0.5)}
    return tensors("mnist_dvs_spike") | {
        f"clif{layer}.lif.{name}": value.double()
        for layer in (1, 2, 3)
        for name, value in {**constants, "v_0": torch.tensor(0.0)}.items()
    }


def test_the_constants_of_a_checkpoint_must_be_those_of_the_options() -> None:
    network = models.from_reference("mnist_dvs", with_constants(torch.tensor(0.3)))
    assert "conv1.alpha" not in network.state_dict()
    with pytest.raises(
        ModelError, match=r"clif1.lif.alpha must be what the options say, \[0.3.*0.25"
    ):
        models.from_reference("mnist_dvs", with_constants(torch.tensor(0.25)))
    models.from_reference("mnist_dvs", with_constants(torch.tensor(0.25)), lif={"alpha": 0.25})


def test_constants_that_were_trained_are_kept() -> None:
    checkpoint = with_constants(torch.tensor(0.25))
    checkpoint["clif2.lif.alpha"] = torch.rand(1, 64, 1, 1, dtype=torch.float64)
    for layer, channels in ((1, 32), (3, 128)):
        checkpoint[f"clif{layer}.lif.alpha"] = torch.rand(1, channels, 1, 1, dtype=torch.float64)
    lif = {"learnable": True}
    with pytest.raises(ModelError, match=r"clif1.lif.alpha is \(1, 32, 1, 1\), not \(\)"):
        models.from_reference("mnist_dvs", checkpoint, lif=lif)
    for name, tensor in checkpoint.items():
        if tensor.numel() == 1:
            channels = {"1": 32, "2": 64, "3": 128}[name[4]]
            checkpoint[name] = tensor.expand(1, channels, 1, 1)
    network = models.from_reference("mnist_dvs", checkpoint, lif=lif, sharing="channel")
    alpha = network.get_parameter("conv2.alpha")
    assert alpha.shape == (64, 1, 1)
    assert torch.equal(alpha.flatten(), checkpoint["clif2.lif.alpha"].flatten())

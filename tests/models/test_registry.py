"""Building networks by name, and loading reference checkpoints."""

import subprocess
import sys

import pytest
import torch

import models
from models import ModelError
from tests.golden_draw import parameters


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
        (
            "dvs_gestur",
            {},
            "unknown network 'dvs_gestur'; did you mean 'dvs_gesture'? (choices: dvs_gesture)",
        ),
        ("zzz", {}, "unknown network 'zzz'; choices: dvs_gesture"),
        ("dvs_gesture", {"classes": 0}, "dvs_gesture: classes must be at least 1, got 0"),
        (
            "dvs_gesture",
            {"mode": "loud"},
            "dvs_gesture: mode must be one of the choices, got 'loud'; choices: analog, spike",
        ),
        (
            "dvs_gesture",
            {"clases": 3},
            "dvs_gesture: unknown option 'clases'; did you mean 'classes'? "
            "(choices: classes, head, input_channels, lif, mode, sharing, size, steps)",
        ),
    ],
)
def test_a_wrong_request_is_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.build(name, **options)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("options", [{"size": 3}, {"size": [1, 2, 3]}, {"classes": "x"}])
def test_an_option_of_another_kind_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="cannot be used"):
        models.build("dvs_gesture", **options)


def test_options_build_the_same_network_again() -> None:
    network = models.build("dvs_gesture", classes=3, size=(8, 8), mode="analog", steps=7)
    again = models.build("dvs_gesture", **network.options)
    assert again.options == network.options
    assert again.input_shape == (2, 8, 8)


def test_a_checkpoint_that_does_not_fit_is_refused() -> None:
    tensors = {name: torch.from_numpy(a) for name, a in parameters("dvs_gesture").items()}
    with pytest.raises(ModelError, match=r"fc2.fc.weight is \(11, 256\), not \(5, 256\), .* more"):
        models.from_reference("dvs_gesture", tensors, classes=5)
    tensors["extra.weight"] = tensors.pop("norm.weight")
    with pytest.raises(ModelError, match=r"norm.weight is missing, extra.weight is unknown"):
        models.from_reference("dvs_gesture", tensors)
    with pytest.raises(ModelError, match="one floating dtype, got none"):
        models.from_reference("dvs_gesture", {})


def test_a_checkpoint_keeps_its_dtype_and_needs_no_gradient() -> None:
    arrays = parameters("dvs_gesture")
    tensors = {name: torch.from_numpy(a).float() for name, a in arrays.items()}
    network = models.from_reference("dvs_gesture", tensors)
    assert network.dtype == torch.float32
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())

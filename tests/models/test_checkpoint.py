"""Training checkpoints: read without running anything, and named as they name themselves."""

import argparse
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import models
from models import ModelError
from models.checkpoint import read_checkpoint
from tests.golden_draw import tensors


def test_a_checkpoint_is_read_from_a_pickle_or_from_safetensors(tmp_path: Path) -> None:
    plain = {"norm.weight": torch.tensor([0.1, 0.2])}
    beside = {"epoch": 3, "args": argparse.Namespace(model="x", lr=0.1)}
    torch.save({"model": {f"module.{k}": v for k, v in plain.items()}, **beside}, tmp_path / "a")
    save_file(plain, tmp_path / "b")
    for name, written in (("a", "module.norm.weight"), ("b", "norm.weight")):
        found = read_checkpoint(tmp_path / name)
        assert list(found) == [written]
        assert torch.equal(found[written], plain["norm.weight"])


class Touches:
    """What a hostile pickle holds: reading it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hook": Touches(tmp_path / "made")}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"only tensors, .* it needs posix.mkdir: .* state_dict"):
        read_checkpoint(tmp_path / "w.pth")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"junk" * 40, struct.pack("<Q", 4) + b"{}xx"])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"w.pth: must be a checkpoint .* damaged, or of another"):
        read_checkpoint(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(ModelError, match="it holds a list"):
        read_checkpoint(path)
    with pytest.raises(ModelError, match=r"none: cannot be read \(No such file"):
        read_checkpoint(tmp_path / "none")


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps({"hook": Touches(tmp_path / "made")}, protocol=4))
    with pytest.raises(ModelError, match=r"w.pth: must .*[^\n]$"):
        read_checkpoint(path)
    assert not (tmp_path / "made").exists()


def test_numbers_that_are_not_finite_are_refused() -> None:
    checkpoint = models.build("imdb").state_dict()
    checkpoint["fc2.bias"] = torch.tensor([float("nan")])
    with pytest.raises(ModelError, match=r"the checkpoint: fc2.bias must be finite"):
        models.from_reference("imdb", checkpoint)


def published() -> dict[str, torch.Tensor]:
    """A checkpoint of mnist_dvs in BIDL's names, as parallel training leaves them."""
    drawn = tensors("mnist_dvs_spike")
    return {f"module.backbone.{name}": tensor.float() for name, tensor in drawn.items()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"module.backbone.clif1.p0.bias": None}, "clif1.p0.bias is missing; check"),
        ({"module.backbone.extra": torch.ones(1)}, "module.backbone.extra is unknown; check"),
        (
            {"module.backbone.clif1.p0.weight": torch.ones(32, 3, 3, 3)},
            "module.backbone.clif1.p0.weight is (32, 3, 3, 3), not (32, 2, 3, 3); check",
        ),
        (
            {"module.backbone.head.2.bias": torch.tensor([torch.inf])},
            "the checkpoint: module.backbone.head.2.bias must be finite",
        ),
        (
            {"module.backbone.clif2.lif.alpha": torch.tensor([0.7])},
            "module.backbone.clif2.lif.alpha must be what the options say, [0.3",
        ),
    ],
)
def test_a_parameter_is_named_as_in_the_file(
    changes: dict[str, torch.Tensor | None], message: str
) -> None:
    checkpoint = {name: t for name, t in (published() | changes).items() if t is not None}
    with pytest.raises(ModelError) as caught:
        models.from_reference("mnist_dvs", checkpoint)
    assert message in str(caught.value)
    models.from_reference("mnist_dvs", published())


def test_a_head_of_another_number_of_classes_is_told_in_numbers() -> None:
    with pytest.raises(ModelError) as caught:
        models.from_reference("mnist_dvs", published(), classes=7)
    assert str(caught.value) == (
        "the checkpoint: must fit mnist_dvs with 7 classes, but its head"
        " (module.backbone.head.4.weight) has 10; set classes = 10, on the command line"
        " --option classes=10 or --classes with 10 names"
    )
    ours = models.build("dvs_gesture", classes=4).state_dict()  # six tensors have a row a class
    with pytest.raises(ModelError, match=r"with 11 classes, but its head \(fc2.fc.weight\) has 4;"):
        models.from_reference("dvs_gesture", ours)

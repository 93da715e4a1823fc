"""One step as ONNX and as a program of torch.export: what the network does, step for step."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

import models
from models import ModelError
from models.interchange import step
from models.interchange.step import export_onnx, export_torch
from models.network import Network
from models.untrained import calibrate, random_frames

SMALL: dict[str, dict[str, Any]] = {
    "mnist_dvs": {"classes": 4, "size": (9, 13), "head": "per_step", "mean": [1, 2], "std": [2, 3]},
    "imdb": {"vocabulary": 20},
    "nir": {"classes": 4, "size": (9, 13)},
}
every_network = pytest.mark.parametrize("name", SMALL)


@pytest.fixture(autouse=True, scope="module")
def programs_made_once() -> Iterator[None]:
    """What ONNX and torch.export are written of is the same, and takes seconds to make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "_program", cache(step._program))
        yield


@cache
def network(name: str) -> Network[Any]:
    torch.manual_seed(3)
    built = models.build(name, **SMALL[name])
    calibrate(built)
    return built.eval().requires_grad_(False)


def frames(name: str) -> Tensor:
    torch.manual_seed(4)
    drawn = random_frames(network(name), 4)[:3, :4]
    return drawn if name == "imdb" else drawn.float()


@every_network
def test_onnx_steps_as_the_network_does(name: str, tmp_path: Path) -> None:
    export_onnx(network(name), tmp_path / "step.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(tmp_path / "step.onnx", options)
    for batch in (3, 1):  # of any size
        x = frames(name)[:batch]
        state = network(name).initial_state(batch)
        memories = {field: memory.numpy() for field, memory in state._asdict().items()}
        assert [each.name for each in session.get_inputs()] == ["frame", *memories]
        for now in x.unbind(1):
            wanted, state = network(name).step(now, state)
            found = dict(
                zip(
                    (each.name for each in session.get_outputs()),
                    session.run(None, {"frame": now.numpy(), **memories}),
                    strict=True,
                )
            )
            np.testing.assert_allclose(found.pop("output"), wanted, rtol=1e-4, atol=1e-5)
            assert list(found) == [f"{field}_next" for field in memories]
            memories = {field: found[f"{field}_next"] for field in memories}
        for field, memory in state._asdict().items():
            np.testing.assert_allclose(memories[field], memory, rtol=1e-4, atol=1e-4)


@every_network
def test_a_program_steps_as_the_network_does(name: str, tmp_path: Path) -> None:
    export_torch(network(name), tmp_path / "step.pt2")
    program = torch.export.load(tmp_path / "step.pt2").module()  # this very file is trusted
    x = frames(name)
    state = after = network(name).initial_state(len(x))
    for now in x.unbind(1):
        wanted, state = network(name).step(now, state)
        found, *after = program(now, *after)
        assert torch.equal(found, wanted)
    assert all(torch.equal(a, b) for a, b in zip(after, state, strict=True))


def test_a_membrane_that_does_not_start_at_zero_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    built = models.build("nir", classes=4, size=(9, 13)).eval()
    built.node("lif").v_leak.fill_(0.5)
    with pytest.raises(ModelError, match="nir: n_lif_v does not start at 0, and a file of one"):
        export_onnx(built, tmp_path / "step.onnx")


@pytest.mark.parametrize("export", [export_onnx, export_torch])
def test_a_place_that_cannot_be_written_is_named(export: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be written .* choose another place"):
        export(network("nir"), tmp_path / "nowhere" / "step.pt2")

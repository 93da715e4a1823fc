"""What is said of a network before it is compiled."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.ka200 import preflight as preflights
from models.ka200.compiled import BURST, PAIRS
from models.ka200.preflight import preflight

SMALL: dict[str, dict[str, Any]] = {
    "dvs_gesture": {},
    "rgb_gesture": {},
    "mnist_dvs": {"size": [16, 16]},
    "cifar10_dvs": {"size": [64, 64]},
    "luna16cls": {},
    "imdb": {},
    "jester": {"size": [32, 32], "mean": [1.0, 2.0, 3.0], "std": [1.0, 1.0, 1.0]},
    "es_imagenet": {"size": [32, 32], "on_first": True},
    "meta_spikeformer_8_384": {"size": [32, 32]},
}


@pytest.mark.parametrize("name", SMALL)
def test_all_nine_networks_can_be_compiled_as_far_as_is_known(name: str) -> None:
    steps = None if name == "imdb" else 4  # there the last step decides
    report = preflight(name, SMALL[name], input_type="float32", mean_steps=steps)
    assert report.problems == ()
    assert all(operator.known for operator in report.operators)
    assert max(operator.axes for operator in report.operators) <= 4
    counts = {operator.name: operator.count for operator in report.operators}
    assert counts["custom::load"] == counts["custom::save"], "what is loaded is saved"


def test_sizes_are_those_of_the_network_in_float16() -> None:
    report = preflight("dvs_gesture", {}, batch=4, mean_steps=60)
    membranes = 64 * 20 * 20 + 128 * 10 * 10 + 256 * 5 * 5 + 256 + 11
    assert report.input_shape == (4, 2, 40, 40)
    assert report.outputs == 11
    assert report.parameters == 2_013_157
    assert report.weights_bytes == 2 * 2_013_157
    assert report.membranes == membranes
    assert report.kept_bytes == 4 * 2 * (membranes + 11), "the mean is kept too"
    assert report.largest_bytes == 4 * 2 * 64 * 20 * 20
    assert report.buffers_bytes == PAIRS * BURST * 4 * (2 * 40 * 40 + 2 * 11)
    assert preflight("dvs_gesture", {}, batch=4, mean_steps=60, layout="nhwc").kept_bytes == (
        report.kept_bytes
    )


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("nir", {}, "nir: cannot run on the KA200: its neurons are of another kind"),
        ("mnist_dvs", {"sharing": "channel"}, 'sharing = "channel" gives each channel constants'),
        ("imdb", {}, "bytes hold ids up to 255, and the vocabulary has more; compile with"),
    ],
)
def test_what_cannot_run_has_a_reason(name: str, options: dict[str, Any], why: str) -> None:
    (problem,) = preflight(name, options).problems
    assert why in problem


def test_an_operator_that_no_compiled_network_has_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(nn.Module):
        """Sorts, in place, with an axis too many."""

        def __init__(self, network: nn.Module, mean_steps: int | None, layout: str) -> None:
            super().__init__()
            self.network = network

        def forward(self, frame: Tensor) -> Tensor:
            y = torch.cumsum(frame.to(torch.float32), 3)
            return y.mul_(2).reshape(1, 1, 2, 40, 40)

    monkeypatch.setattr(preflights, "ChipModule", Odd)
    report = preflight("dvs_gesture", {})
    assert "aten::cumsum is in no network that is known to compile" in report.remarks
    assert set(report.problems) == {
        "aten::mul_ writes in place, which the compiler does not do",
        "aten::reshape has a tensor of 5 axes, the chip has 4",
    }


def test_remarks_tell_what_may_go_wrong() -> None:
    report = preflight("mnist_dvs", {"size": [16, 16]}, mean_steps=20)
    assert report.remarks == (
        "bytes hold up to 255 events of a pixel and step; a frame with more ends the run, so"
        " compile with --input float32 where windows are long or pixels hot",
        "the mean is of the 20 steps since a model reset, and a recording with more ends the run;"
        " for streams leave --mean out and let `aggregate` take it",
    )


@pytest.mark.parametrize("batch", [0, 3, 29])
def test_a_batch_that_the_compiler_does_not_take_is_refused(batch: int) -> None:
    taken = "1, 2, 4, 7, 14, 28"
    with pytest.raises(ModelError, match=f"^batch must be .* {taken}, got {batch}$"):
        preflight("dvs_gesture", {}, batch=batch)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ModelError, match="did you mean 'jester'"):
        preflight("jster", {})

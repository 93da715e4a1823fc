"""Networks as NIR: the same outputs where it can be said, a reason where it cannot."""

import copy
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from graphs import chain, imported
from torch import Tensor

import models
from models import ModelError
from models.interchange.nir_in import read
from models.interchange.nir_out import to_nir, write
from models.network import Network
from models.untrained import calibrate

SIZE = (9, 13)
FULL = np.full((2, 3, 4), 1.0)
FRAME_ONLY = {"input_channels": 2, "size": [3, 4]}


def gesture(name: str = "dvs_gesture", **options: Any) -> Network[Any]:
    """Build a network whose neurons forget so fast that none of their membranes grows."""
    torch.manual_seed(3)
    options["lif"] = {"alpha": 0.08, **options.get("lif", {})}
    network = models.build(name, classes=5, size=SIZE, **options).double()
    calibrate(network)
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def plain() -> Network[Any]:
    return gesture()


def frames(shape: tuple[int, ...]) -> Tensor:
    torch.manual_seed(2)
    return torch.poisson(torch.full((2, 20, *shape), 0.4))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dvs_gesture", {}),
        ("dvs_gesture", {"mean": [0.5, 0.25], "std": [2.0, 0.5]}),
        ("rgb_gesture", {"sharing": "channel", "lif": {"learnable": True, "theta": 0.25}}),
        ("rgb_gesture", {"lif": {"v_0": 0.1, "alpha": 0.05}}),
    ],
)
def test_ours_as_nir_put_out_the_same(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    network = gesture(name, **options)
    path = tmp_path / "ours.nir"
    write(network, path, 25_000)
    again, window_us = read(path, {})
    assert (again.dtype, window_us) == (torch.float64, 25_000)
    x = frames(network.input_shape)
    wanted, end = network(x)
    found, state = again(x)
    assert 0.01 < wanted.mean() < 0.99
    assert torch.equal(found, wanted)
    alpha = network.fc2.constants.alpha  # what NIR remembers is not yet leaked
    torch.testing.assert_close(alpha * state.n_fc2_lif_v, end.fc2, rtol=1e-9, atol=1e-9)


def test_the_graph_passes_the_checks_of_nir(plain: Network[Any]) -> None:
    graph = to_nir(plain, 25_000)
    graph.infer_types()
    assert graph.check_types()
    assert graph.nodes["conv3_lif"].tau.shape == (256, 2, 2)


def test_a_graph_is_written_as_it_was_read(tmp_path: Path) -> None:
    weight = np.random.default_rng(1).normal(size=(6, 24))
    neurons = nir.CubaLIF(*(np.full(6, value) for value in (3.0, 4.0, 2.0, 0.1, 0.7, 0.0)))
    flatten = nir.Flatten({"input": np.array([2, 3, 4])}, 0, -1)
    pool = nir.SumPool2d(np.array([1, 1]), np.array([1, 1]), np.array([0, 0]))
    conv = nir.Conv2d((3, 4), np.ones((2, 2, 1, 1)), 1, 0, 1, 1, np.zeros(2))
    graph = chain(conv, pool, nir.IF(FULL, FULL), flatten, nir.Linear(weight), neurons, output=6)
    graph.nodes |= {"back": nir.Linear(np.eye(6)), "late": nir.Delay(np.full(6, 2.0))}
    graph.edges += [("5", "back"), ("back", "late"), ("late", "5")]
    network = imported(graph, tmp_path).network
    write(network, tmp_path / "again.nir", 2000)
    again, window_us = read(tmp_path / "again.nir", {})
    assert (window_us, again.options["dt_s"]) == (2000, 0.002)  # all times are of that step now
    x = frames(network.input_shape)
    assert torch.equal(network(x)[0], again(x)[0])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mnist_dvs", "it pools by the maximum"),
        ("jester", "it pools by the maximum"),
        ("imdb", "it looks words up"),
        ("meta_spikeformer_8_384", "its attention multiplies spikes by spikes"),
    ],
)
def test_what_nir_has_no_node_for_is_refused(name: str, reason: str) -> None:
    with torch.device("meta"):
        network = models.build(name)
    with pytest.raises(ModelError) as caught:
        to_nir(network, 1000)
    assert str(caught.value) == f"{name}: NIR cannot say what it does: {reason}; export it to onnx"


def test_every_network_is_written_or_has_its_reason() -> None:
    from models.interchange.nir_out import UNSAYABLE

    assert set(models.NETWORKS) - set(UNSAYABLE) == {"dvs_gesture", "rgb_gesture", "nir"}


def test_neurons_that_nir_has_not_are_refused(plain: Network[Any]) -> None:
    for options, reason in (
        ({"mode": "analog"}, "it does: neurons in analog mode put their membrane out and reset it"),
        ({"lif": {"beta": 0.1}}, "conv1 does: beta is 0.1, and NIR does not say that a membrane"),
    ):
        with pytest.raises(ModelError, match=f"NIR cannot say what {reason}"):
            to_nir(gesture(**options), 1000)
    network = copy.deepcopy(plain)
    with torch.no_grad():
        network.fc1.norm.weight[7] = 40.0
    with pytest.raises(
        ModelError, match=r"fc1 does: 1 of 256 channels keep .* \(channel 7\), alpha"
    ):
        to_nir(network, 1000)
    with pytest.raises(ModelError, match="nobody knows how long a step is; give window_us"):
        to_nir(plain, None)


@pytest.mark.parametrize(
    "options",
    [
        {"decay": "exponential"},
        {"inflow": "jump"},
        {"inflow": "li_jump"},
        {"decay": "exponential", "inflow": "jump", "fires": "at", "dt_s": 0.5},
    ],
)
def test_what_steps_in_another_way_is_said_by_other_numbers(
    options: dict[str, Any], tmp_path: Path
) -> None:
    def full(value: float, count: int = 24) -> Any:
        return np.resize(np.array([value, 1.25 * value]), count)

    graph = chain(
        nir.Flatten({"input": np.array([2, 3, 4])}, 0, -1),
        nir.LI(full(3.0), full(1.5), full(0.1)),
        nir.IF(full(0.75), full(1.0)),
        nir.CubaLI(full(2.0), full(4.0), full(1.0), full(0.0), full(2.0)),
        nir.CubaLIF(*(full(value) for value in (2.0, 3.0, 4.0, 0.0, 0.5, 0.0, 1.5))),
        nir.LIF(*(full(value) for value in (2.0, 3.0, 0.0, 0.5, 0.0))),
        output=24,
    )
    network = imported(graph, tmp_path, **options).network.double()
    write(network, tmp_path / "again.nir", 2000)
    again, window_us = read(tmp_path / "again.nir", FRAME_ONLY)
    assert window_us == 2000
    assert {again.options[key] for key in ("decay", "fires", "inflow")} == {
        "euler",
        "above",
        "rate",
    }
    x = frames(network.input_shape)
    wanted = network(x)[0]
    assert 0 < wanted.mean() < 1
    assert torch.equal(again(x)[0], wanted)


def test_a_membrane_at_the_threshold_fires_behind_the_file_too(tmp_path: Path) -> None:
    graph = chain(nir.LIF(2 * FULL, FULL, 0 * FULL, 0.5 * FULL, 0 * FULL))
    network = imported(graph, tmp_path, fires="at").network
    write(network, tmp_path / "again.nir", 1_000_000)
    again = read(tmp_path / "again.nir", {}).network
    x = torch.ones(1, 1, 2, 3, 4)  # goes half of the way: to the threshold
    assert again(x)[0].all()
    assert not imported(graph, tmp_path).network(x)[0].any()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"reset": "subtract"}, "its neurons have reset = 'subtract', and in NIR a spike sets the"),
        ({"reset": "subtract_later"}, "have reset = 'subtract_later', and"),
        ({"fires": "many"}, "have fires = 'many', and"),
    ],
)
def test_a_graph_that_does_what_nir_has_no_word_for_is_refused(
    options: dict[str, str], what: str, tmp_path: Path
) -> None:
    graph = chain(nir.LIF(8 * FULL, FULL, 0 * FULL, FULL, 0 * FULL))
    with pytest.raises(ModelError, match=f"nir: NIR cannot say what it does: .*{what}"):
        to_nir(imported(graph, tmp_path, **options).network, 1000)
    leaky = chain(nir.LI(8 * FULL, FULL, 0 * FULL))
    assert to_nir(imported(leaky, tmp_path, **options).network, 1000), "there is no spike in it"


def test_a_place_that_cannot_be_written_is_named(plain: Network[Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be written .* choose another place"):
        write(plain, tmp_path / "nowhere" / "ours.nir", 1000)

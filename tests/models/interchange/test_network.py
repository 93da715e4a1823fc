"""Graphs as networks: their wiring, their state, and what is refused."""

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from graphs import chain, imported
from hypothesis import given, settings
from hypothesis import strategies as st

import models
from models import ModelError
from models.interchange.network import plain_graph
from models.network import Network

ONE = np.ones(24)
FLATTEN = nir.Flatten({"input": np.array([2, 3, 4])}, 0, -1)


def lif(count: int = 24, tau: float = 4.0) -> Any:
    full = np.full(count, 1.0)
    return nir.LIF(tau * full, 2 * full, 0 * full, 0.4 * full, 0 * full)


def recurrent() -> Any:
    """Flatten -> LIF, whose spikes come back through a linear map and a delay."""
    weight = np.random.default_rng(1).normal(size=(24, 24)) / 4
    graph = chain(FLATTEN, lif())
    graph.nodes |= {"back": nir.Linear(weight), "late": nir.Delay(ONE)}
    graph.edges += [("1", "back"), ("back", "late"), ("late", "1")]
    return graph


def frames(steps: int, batch: int = 2) -> torch.Tensor:
    torch.manual_seed(2)
    return torch.poisson(torch.full((batch, steps, 2, 3, 4), 0.6))


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> Network[Any]:
    return imported(recurrent(), tmp_path_factory.mktemp("graph")).network


@settings(max_examples=10)
@given(cut=st.integers(1, 11))
def test_a_state_carries_everything(cut: int, looped: Network[Any]) -> None:
    network, x = looped, frames(12)
    whole, end = network(x)
    first, state = network(x[:, :cut])
    second, again = network(x[:, cut:], state)
    assert torch.equal(whole, torch.cat([first, second], 1))
    assert type(end) is type(again)
    assert all(torch.equal(a, b) for a, b in zip(end, again, strict=True))
    assert end._fields == ("n_1_v", "n_late_past", "n_late_out")


def test_spikes_come_back_in_the_next_step(tmp_path: Path) -> None:
    weight = np.random.default_rng(1).normal(size=(24, 24)) / 4
    graph = chain(FLATTEN, lif())
    graph.nodes["back"] = nir.Linear(weight)
    graph.edges += [("1", "back"), ("back", "1")]
    network = imported(graph, tmp_path).network.double()
    x = frames(9, 1)
    v, spikes = np.zeros(24), np.zeros(24)
    for step, y in enumerate(network(x)[0][0].numpy()):
        v = v + (2 * (x[0, step].flatten().numpy() + weight @ spikes) - v) / 4
        spikes = (v > 0.4).astype(float)
        v = np.where(spikes, 0, v)
        np.testing.assert_array_equal(y, spikes)


def test_edges_that_meet_are_added(tmp_path: Path) -> None:
    graph = chain(FLATTEN, nir.Scale(2 * ONE), nir.Scale(ONE))
    graph.edges.append(("0", "2"))
    x = frames(3)
    assert torch.equal(imported(graph, tmp_path).network(x)[0], 3 * x.flatten(2))


def test_graphs_in_graphs_are_taken_apart(tmp_path: Path) -> None:
    inner = chain(nir.Scale(2 * ONE), lif(), shape=(24,), output=24)
    graph = chain(FLATTEN, chain(inner, nir.Scale(3 * ONE), shape=(24,), output=24))
    network = imported(graph, tmp_path).network
    names = [*network.options["graph"]["nodes"]]
    assert sorted(names) == ["0", "1.0.0", "1.0.1", "1.1", "input", "output"]
    y = network(frames(5))[0]
    assert set(y.unique().tolist()) == {0.0, 3.0}


def test_an_input_begins_with_no_batch(tmp_path: Path) -> None:
    for shape in ((1, 2, 3, 4), (2, 3, 4), (1, 24), (24,)):
        nodes = [FLATTEN, lif()] if len(shape) > 2 else [lif()]
        network = imported(chain(*nodes, shape=shape), tmp_path).network
        assert network.input_shape == (2, 3, 4)


def test_a_network_without_a_graph_has_one_layer() -> None:
    torch.manual_seed(0)
    plain = models.build("nir", classes=3, size=(5, 6))
    graph = plain_graph((2, 5, 6), 3)
    given = models.build("nir", classes=3, size=(5, 6), graph=graph)
    given.load_state_dict(plain.state_dict())
    x = torch.poisson(torch.full((1, 20, 2, 5, 6), 1.0))
    assert torch.equal(plain.eval()(x)[0], given.eval()(x)[0])


def test_it_learns_through_its_spikes() -> None:
    torch.manual_seed(0)
    network = models.build("nir", classes=3, size=(5, 6)).train()
    network(torch.poisson(torch.full((2, 6, 2, 5, 6), 1.0)))[0].sum().backward()
    gradient = network.node("fc").weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_weights_keep_their_type(tmp_path: Path) -> None:
    double, single = np.ones((3, 24)), np.ones((3, 24), np.float32)
    for weight in (double, single):
        network = imported(chain(FLATTEN, nir.Linear(weight), lif(3)), tmp_path).network
        assert network.dtype == torch.from_numpy(weight).dtype


LOOP = [("1", "2"), ("2", "1")]


@pytest.mark.parametrize(
    ("nodes", "edges", "options", "message"),
    [
        ([nir.Scale(ONE)], [], {}, "nir: node '0' (Scale): scale is (24,), its input (2, 3, 4)"),
        (
            [FLATTEN, nir.Linear(np.ones((3, 5)))],
            [],
            {},
            "nir: node '1' (Linear): weight is (3, 5)",
        ),
        ([FLATTEN, lif(3)], [], {}, "nir: node '1' (LIF): tau is (3,), its input (24,)"),
        (
            [lif(1), nir.Linear(np.ones((3, 24)))],
            [],
            {},
            "nir: node '1' (Linear): weight is (3, 24)",
        ),
        ([FLATTEN, lif()], [], {"size": [3, 5]}, "nir: the graph's input is (2, 3, 4), 24 numbers"),
        ([FLATTEN, lif()], [], {"classes": 3}, "nir: classes must be 24, as the graph puts out"),
        ([FLATTEN, lif()], [], {"mode": "analog"}, "nir: mode must be 'spike' for this graph, got"),
        ([FLATTEN, lif()], [], {"lif": {"alpha": 1}}, "nir: lif must be left out, the graph says"),
        ([FLATTEN, lif()], [], {"fires": "below"}, "fires must be one of the choices, got"),
        (
            [FLATTEN, lif()],
            [],
            {"dt_s": -1.0},
            "dt_s must be a number of seconds above 0, got",
        ),
        (
            [FLATTEN, lif()],
            [],
            {"steppes": 2},
            "nir: unknown option 'steppes'; did you mean 'steps'",
        ),
        ([FLATTEN, nir.Delay(0.3 * ONE)], [], {}, "delay must be a whole number of steps of 1 s"),
        ([FLATTEN], [], {}, "nir: a graph must have a node with weights or neurons"),
        ([FLATTEN, lif()], [("1", "x")], {}, "nir: edge '1' -> 'x': the graph has no node 'x'"),
        (
            [FLATTEN, nir.Scale(ONE), nir.Scale(ONE)],
            [("2", "1")],
            {},
            "nir: the loop 1 -> 2 -> 1 must have a neuron in it",
        ),
        (
            [FLATTEN, lif()],
            [("input", "1")],
            {},
            "nir: edge 'input' -> '1': (2, 3, 4) comes to (24,)",
        ),
    ],
)
def test_what_cannot_be_run_is_refused(
    nodes: list[Any], edges: list[tuple[str, str]], options: Any, message: str, tmp_path: Path
) -> None:
    graph = chain(*nodes)
    graph.edges += edges
    with pytest.raises(ModelError) as caught:
        imported(graph, tmp_path, **options)
    path = tmp_path / "graph.nir"
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_node_that_nothing_reaches_is_named(tmp_path: Path) -> None:
    graph = chain(FLATTEN, lif())
    graph.nodes["alone"] = lif()
    graph.edges.append(("alone", "output"))
    with pytest.raises(ModelError, match="node 'alone': nothing comes to it from the input"):
        imported(graph, tmp_path)

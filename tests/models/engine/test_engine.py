"""The engine against the torch network of the same weights, at small sizes and with all options."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engines import beside, card_of, engine_of, tensors_of, torch_state
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

import models
from models.engine.chain import CHAINS
from models.engine.engine import Engine
from models.network import Network
from models.weights import save

Array = NDArray[Any]

SIZE = (9, 13)
"""Odd and not square: rows and columns cannot be swapped, and squares of maxima leave a rest."""

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "dvs_gesture": ("dvs_gesture", {"classes": 5, "size": SIZE}),
    "dvs_gesture, own scaling": (
        "dvs_gesture",
        {"classes": 5, "size": SIZE, "mean": [0.2, 0.4], "std": [0.5, 2.0]},
    ),
    "rgb_gesture, analog": ("rgb_gesture", {"classes": 17, "size": SIZE, "mode": "analog"}),
    "mnist_dvs": ("mnist_dvs", {"classes": 4, "size": SIZE, "dropout": 0.5}),
    "mnist_dvs, spikes, classified at each step": (
        "mnist_dvs",
        {"classes": 4, "size": SIZE, "mode": "spike", "head": "per_step"},
    ),
    "luna16cls, scaled": ("luna16cls", {"size": SIZE, "mean": [30.0], "std": [60.0]}),
    "luna16cls, spikes": ("luna16cls", {"size": (8, 11), "mode": "spike", "std": [4.0]}),
    "cifar10_dvs": ("cifar10_dvs", {"classes": 4, "size": (63, 70)}),
    "cifar10_dvs, spikes": (
        "cifar10_dvs",
        {"classes": 4, "size": (66, 63), "mode": "spike", "head": "per_step"},
    ),
}
"""Name -> network and its options."""

LIFS: list[dict[str, Any]] = [
    {"mode": "spike", "sharing": "channel", "lif": {"learnable": True}},
    {"mode": "spike", "lif": {"alpha": 0.8, "beta": -0.05, "theta": 0.3, "v_0": 0.1}},
    {"mode": "spike", "lif": {"learnable": True, "noise": 0.2, "surrogate": "arctan"}},
    {"mode": "analog", "sharing": "channel", "lif": {"learnable": True, "emit": "reset"}},
    *(
        {"mode": "analog", "lif": {"emit": emit, "activation": activation, "v_0": -0.2}}
        for emit in ("membrane", "distance", "reset", "leak")
        for activation in ("none", "relu", "sigmoid", "tanh")
    ),
]

every_network = pytest.mark.parametrize("name", SMALL)
laws = settings(max_examples=5)
seeds = st.integers(0, 2**32 - 1)


def lively(network: str, seed: int = 3, **options: Any) -> Network[Any]:
    """Build a network whose neurons fire, each channel with constants of its own if it has any."""
    torch.manual_seed(seed)
    built = models.build(network, **options)
    with torch.no_grad():
        built.train()(torch.poisson(torch.full((4, 8, *built.input_shape), 0.6)))
        for name, parameter in built.named_parameters():
            if name.endswith(("alpha", "beta", "theta", "v_0")):
                parameter += 0.1 * torch.rand_like(parameter)
    return built.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pairs() -> dict[str, tuple[Network[Any], Engine]]:
    """Each network with its engine."""
    networks = {name: lively(network, **options) for name, (network, options) in SMALL.items()}
    return {name: (network, engine_of(network)) for name, network in networks.items()}


Pairs = dict[str, tuple[Network[Any], Engine]]


def draw(network: Network[Any], seed: int, batch: int, steps: int) -> Array:
    """Draw frames of events; the brightness of slices is of their order too."""
    shape = (batch, steps, *network.input_shape)
    return np.random.default_rng(seed).poisson(0.6, shape).astype(np.uint8)


def run(network: Network[Any], x: Array, state: Any = None) -> tuple[Array, Any]:
    outputs, state = network(torch.from_numpy(x), state)
    return outputs.numpy(), state


def assert_near(ours: Array, theirs: Array) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def same(a: Any, b: Any) -> bool:
    return bool(a.membranes.tobytes() == b.membranes.tobytes())


def test_every_chain_is_here() -> None:
    assert {network for network, _ in SMALL.values()} == set(CHAINS)


@every_network
def test_every_layer_is_torchs(pairs: Pairs, name: str) -> None:
    network, engine = pairs[name]
    x = draw(network, 1, 1, 12)
    found = beside(engine, network, x[0])
    assert found.decisions > 10_000
    assert found.differing <= found.decisions / 1e5
    if not found.differing:
        outputs, _ = run(network, x)
        assert_near(found.outputs, outputs[0])
        assert outputs.any()


@pytest.mark.parametrize("options", LIFS, ids=str)
def test_every_kind_of_neuron_is_torchs(options: dict[str, Any]) -> None:
    network = lively("mnist_dvs", classes=3, size=(8, 9), **options)
    x = draw(network, 2, 1, 6)
    found = beside(engine_of(network), network, x[0])
    assert found.differing == 0
    assert_near(found.outputs, run(network, x)[0][0])


@every_network
@laws
@given(seed=seeds, batch=st.integers(1, 3), steps=st.integers(1, 4))
def test_forward_is_a_loop_of_step_to_the_bit(
    pairs: Pairs, name: str, seed: int, batch: int, steps: int
) -> None:
    network, engine = pairs[name]
    x = draw(network, seed, batch, steps)
    whole, end = engine.forward(x)
    state = engine.initial_state(batch)
    for t in range(steps):
        y, state = engine.step(x[:, t], state)
        assert y.tobytes() == whole[:, t].tobytes()
    assert same(state, end)


@every_network
@laws
@given(seed=seeds, batch=st.integers(2, 5), threads=st.integers(2, 3))
def test_batches_and_threads_change_no_bit(
    pairs: Pairs, name: str, seed: int, batch: int, threads: int
) -> None:
    network, engine = pairs[name]
    x = draw(network, seed, batch, 3)
    together, end = engine.forward(x)
    threaded, threaded_end = engine.forward(x, threads=threads)
    assert together.tobytes() == threaded.tobytes()
    assert same(end, threaded_end)
    for k in range(batch):
        alone, _ = engine.forward(x[k : k + 1])
        assert alone.tobytes() == together[k : k + 1].tobytes()


def test_cores_change_no_bit(pairs: Pairs) -> None:
    network, engine = pairs["dvs_gesture"]
    on_two = Engine(card_of(network), tensors_of(network), cores=2)
    x = draw(network, 8, 1, 4)
    expected, end = engine.forward(x)
    # In a thread of its own: what runs Numba's loops on cores also tells torch, in that thread, to
    # use as many.
    with ThreadPoolExecutor(1) as thread:
        outputs, on_two_end = thread.submit(on_two.forward, x).result()
    assert torch.get_num_threads() == 1
    assert outputs.tobytes() == expected.tobytes()
    assert same(end, on_two_end)


@every_network
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_frames_of_any_type_are_taken_and_never_written_to(
    pairs: Pairs, name: str, dtype: type
) -> None:
    network, engine = pairs[name]
    first, _ = engine.forward(draw(network, 0, 1, 3))
    x = draw(network, 0, 1, 3).astype(dtype)
    before = x.copy()
    x.flags.writeable = False  # as the frames of a message are
    outputs, _ = engine.forward(x)
    assert outputs.tobytes() == first.tobytes()
    x.flags.writeable = True
    outputs, _ = engine.forward(x)
    assert x.tobytes() == before.tobytes()
    assert outputs.tobytes() == first.tobytes()


@every_network
@laws
@given(seed=seeds, steps=st.integers(0, 6), batch=st.integers(1, 2))
def test_either_goes_on_from_where_the_other_is(
    pairs: Pairs, name: str, seed: int, steps: int, batch: int
) -> None:
    network, engine = pairs[name]
    x = draw(network, seed, batch, 9)
    head, tail = x[:, :steps], x[:, steps:]
    ours, theirs = engine.initial_state(batch), network.initial_state(batch)
    if steps:
        (_, ours), (_, theirs) = engine.forward(head), run(network, head)
    for membranes, tensor in zip(engine.to_arrays(ours), theirs, strict=True):
        assert_near(membranes, tensor.numpy())
    expected, _ = run(network, tail, theirs)
    from_ours, _ = run(network, tail, torch_state(network, engine.to_arrays(ours)))
    from_theirs, _ = engine.forward(tail, engine.from_arrays([v.numpy() for v in theirs]))
    assert_near(from_ours, expected)
    assert_near(from_theirs, expected)


@every_network
def test_a_state_taken_out_and_put_back_is_the_same_to_the_bit(pairs: Pairs, name: str) -> None:
    network, engine = pairs[name]
    _, state = engine.forward(draw(network, 5, 2, 3))
    kept, arrays = state.copy(), engine.to_arrays(state)
    back = engine.from_arrays(arrays)
    assert same(state, back)
    engine.forward(draw(network, 6, 2, 2), state)
    assert not same(state, kept)
    assert same(kept, back)  # what was taken out is not stepped with the state
    assert same(kept, engine.from_arrays(arrays))


@every_network
@pytest.mark.parametrize("limit", [-1, 50, 10**9])
def test_how_it_is_convolved_changes_no_bit(pairs: Pairs, name: str, limit: int) -> None:
    network, engine = pairs[name]
    x = draw(network, 7, 1, 3)
    expected, end = engine.forward(x)
    other = engine_of(network)
    for number in range(len(other.layers)):
        other.program.limit(number, limit)
    outputs, other_end = other.forward(x)
    assert outputs.tobytes() == expected.tobytes()
    assert same(end, other_end)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_any_floating_type_are_those_that_torch_reads(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    network, path = lively("mnist_dvs", size=(8, 8)), tmp_path / "a.safetensors"
    save(network, card_of(network), path, dtype)
    network, engine = models.load(path), Engine.load(path)
    x = draw(network, 0, 1, 4)
    found = beside(engine, network, x[0])
    assert found.differing == 0
    assert_near(found.outputs, run(network, x)[0][0])


def damaged(change: str) -> tuple[models.ModelCard, dict[str, Array]]:
    """A small network's card and weights, one thing about them wrong."""
    network = lively("mnist_dvs", size=(8, 8), sharing="channel", lif={"learnable": True})
    card, tensors = card_of(network), tensors_of(network)
    options = dict(card.options)
    match change:
        case "network":
            card = replace(card, network="jester")
        case "silent":
            del options["mode"], options["head"]
        case "neurons":
            options["lif"] = {"leak": 0.3}
        case "value":
            options["lif"] = {"emit": "spike"}
        case "missing":
            del tensors["conv2.conv.weight"]
        case "shape":
            tensors["conv1.norm.bias"] = np.zeros(7, np.float32)
        case "size":
            options["size"] = [8, 16]
        case "classes":
            options["classes"] = 11
        case "constants":
            tensors["conv3.theta"] = np.zeros((1, 1, 1), np.float32)
    return replace(card, options=options), tensors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("network", r"the event-driven engine runs dvs_gesture, .*, not jester; use torch"),
        ("silent", r"the card of mnist_dvs must say mode, head for the event-driven engine; use"),
        ("neurons", r"mnist_dvs: lif cannot be used: .*'leak'"),
        ("value", r"emit must be one of the choices, got 'spike'"),
        (
            "missing",
            r"mnist_dvs: there must be a tensor conv2.conv.weight of \(64, 32, 3, 3\), the ",
        ),
        ("shape", r"a tensor conv1.norm.bias of \(32\), the file has one of \(7,\); it is damaged"),
        ("size", r"a tensor classifier.0.weight of \(any, 256\), the file has one of \(512, 128\)"),
        (
            "classes",
            r"a tensor classifier.4.weight of \(11, 128\), the file has one of \(10, 128\)",
        ),
        ("constants", r"a tensor conv3.theta of \(128\), the file has one of \(1,\)"),
    ],
)
def test_what_does_not_fit_is_told(change: str, message: str) -> None:
    with pytest.raises(models.ModelError, match=message) as caught:
        Engine(*damaged(change))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    network, path = lively("mnist_dvs", size=(8, 8)), tmp_path / "a.safetensors"
    save(network, card_of(network), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(models.ModelError, match="must be a whole safetensors file"):
        Engine.load(path)


@every_network
@pytest.mark.parametrize("wrong", ["width", "no step", "one frame"])
def test_frames_of_another_shape_are_refused(pairs: Pairs, name: str, wrong: str) -> None:
    network, engine = pairs[name]
    channels, height, width = network.input_shape
    shape = {
        "width": (1, 2, channels, height, width + 1),
        "no step": (1, 0, channels, height, width),
        "one frame": (channels, height, width),
    }[wrong]
    with pytest.raises(
        models.ModelError, match=rf"^{network.name} takes \(batch, time.* at least one step, got"
    ):
        engine.forward(np.zeros(shape, np.uint8))


def test_states_of_another_shape_are_refused(pairs: Pairs) -> None:
    _, engine = pairs["mnist_dvs"]
    _, other = pairs["luna16cls, spikes"]
    with pytest.raises(models.ModelError, match=r"the state must be of 2 samples as the frames"):
        engine.forward(np.zeros((2, 1, *engine.input_shape)), engine.initial_state(1))
    arrays = other.to_arrays(other.initial_state(1))
    for wrong in (arrays, arrays[:2]):
        with pytest.raises(models.ModelError, match=r"mnist_dvs: membranes must be of \[\(32, 9,"):
            engine.from_arrays(wrong)

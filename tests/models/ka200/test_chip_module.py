"""Networks in the chip's operators: in float32 they are the networks, to the bit."""

from typing import Any

import pytest
import torch

import models
from models.errors import ModelError
from models.ka200.chip_module import MEAN, ChipModule
from models.ka200.operators import ChipMemory
from models.lif import Lif
from models.network import Network
from models.tau_lif import TauLifLayer
from models.untrained import calibrate, random_frames

SMALL: dict[str, dict[str, Any]] = {
    "dvs_gesture": {},
    "rgb_gesture": {"sharing": "all", "lif": {"beta": 0.125, "v_0": 0.25, "theta": 0.3}},
    "mnist_dvs": {"size": [16, 16]},
    "cifar10_dvs": {"size": [64, 64], "head": "per_step"},
    "luna16cls": {"mode": "spike"},
    "imdb": {},
    "jester": {"size": [32, 32], "mean": [1.0, 2.0, 3.0], "std": [50.0, 60.0, 70.0]},
    "es_imagenet": {"size": [64, 64], "classes": 7},
    "meta_spikeformer_8_384": {
        "size": [32, 32],
        "classes": 7,
        "folded": True,
        "head_input": "mean",
        "distilled": True,
    },
}


def network(name: str, **options: Any) -> Network[Any]:
    torch.manual_seed(0)
    built = models.build(name, **{**SMALL[name], **options})
    calibrate(built)
    return built


def step(module: ChipModule, frame: torch.Tensor, memory: ChipMemory) -> torch.Tensor:
    with torch.inference_mode(), memory.in_use():
        y: torch.Tensor = module(frame)
    return y


@pytest.mark.parametrize("name", SMALL)
def test_in_float32_it_is_the_network_to_the_bit(name: str) -> None:
    net = network(name)
    module, memory = ChipModule(net, arithmetic=torch.float32), ChipMemory()
    membranes: dict[str, torch.Tensor] = {}
    module.watch = lambda name, y, v: membranes.update({name: v})
    frames, state = random_frames(net, 1)[:1, :3], net.initial_state(1)
    for frame in frames.unbind(1):
        with torch.inference_mode():
            y, state = net.step(frame, state)
        assert torch.equal(step(module, frame, memory), y)
        assert [*membranes] == [*state._fields], "neurons fire in the order of the state"
        for name, membrane in zip(state._fields, state, strict=True):
            assert torch.equal(membranes[name], membrane), name
    assert memory.values.keys() == membranes.keys(), "what is kept is the state, by its names"


@pytest.mark.parametrize("emit", ["membrane", "distance", "reset", "leak"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "none"])
def test_every_analog_output_is_that_of_the_network(emit: str, activation: str) -> None:
    net = network("dvs_gesture", mode="analog", lif={"emit": emit, "activation": activation})
    module, memory = ChipModule(net, arithmetic=torch.float32), ChipMemory()
    frame, state = random_frames(net, 1)[:1, 0], net.initial_state(1)
    for _ in range(2):
        with torch.inference_mode():
            y, state = net.step(frame, state)
        assert torch.equal(step(module, frame, memory), y)


def test_events_that_are_on_first_are_turned_round_in_the_weights() -> None:
    net = network("es_imagenet", on_first=True, size=[32, 32])
    before = net.stem.conv.weight.clone()
    module = ChipModule(net, arithmetic=torch.float32)
    frame = random_frames(net, 1)[:1, 0]
    with torch.inference_mode():
        y, _ = net.step(frame, net.initial_state(1))
    assert torch.allclose(step(module, frame, ChipMemory()), y, atol=1e-5)
    assert torch.equal(net.stem.conv.weight, before), "the network was written to"


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_spikingjellys_neurons_fire_at_the_threshold(dtype: torch.dtype) -> None:
    module, memory = ChipModule(models.build("luna16cls"), arithmetic=dtype), ChipMemory()
    most = torch.nextafter(torch.tensor(2.0, dtype=dtype), torch.tensor(0.0, dtype=dtype))
    x = torch.stack([most, torch.tensor(2.0, dtype=dtype)])[None]
    with memory.in_use():  # tau is 2: the membrane is half of the input, the threshold 1
        assert module._fire("lif", TauLifLayer(2), x).tolist() == [[0, 1]]


def test_the_chip_keeps_the_mean_of_the_outputs() -> None:
    net, steps = network("mnist_dvs"), 4
    module, memory = ChipModule(net, steps, torch.float32), ChipMemory()
    frames = random_frames(net, 1)[:1, :steps]
    for frame in frames.unbind(1):
        logits = step(module, frame, memory)
    with torch.inference_mode():
        outputs, _ = net(frames)
        assert torch.allclose(logits, net.decide(outputs), atol=1e-5)
    assert MEAN in memory.values


def test_where_the_last_step_decides_there_is_no_mean_to_keep() -> None:
    with pytest.raises(ModelError, match=r"imdb: its last step decides, .*; leave --mean out"):
        ChipModule(network("imdb"), 500)


def test_frames_may_come_with_channels_last() -> None:
    net = network("mnist_dvs")
    module, memory = ChipModule(net, arithmetic=torch.float32, layout="nhwc"), ChipMemory()
    frames, state = random_frames(net, 1)[:1, :3], net.initial_state(1)
    for frame in frames.unbind(1):
        with torch.inference_mode():
            y, state = net.step(frame, state)
        assert torch.equal(step(module, frame.permute(0, 2, 3, 1), memory), y)


def test_in_float16_a_run_stays_near_the_network() -> None:
    net = network("luna16cls")
    module, memory = ChipModule(net).to(torch.float16), ChipMemory()
    frame = random_frames(net, 1)[:1, 0]
    y = step(module, frame, memory)
    with torch.inference_mode():
        expected, _ = net.step(frame, net.initial_state(1))
    assert y.dtype == torch.float16
    assert {value.dtype for value in memory.values.values()} == {torch.float16}
    assert float((y.float() - expected).abs().mean()) < 0.01 * float(expected.abs().mean())


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("dvs_gesture", {"sharing": "channel"}, "cmpandfire and resetwithdecay take one number"),
        ("imdb", {"vocabulary": 2049}, "float16 has whole numbers up to 2048"),
        ("nir", {}, "its neurons are of another kind than those that the chip's operators step"),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(
    name: str, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(ModelError, match=f"{name}: cannot run on the KA200: .*{why}"):
        ChipModule(models.build(name, **options))


def test_learned_constants_of_a_layer_are_numbers_of_it() -> None:
    net = network("dvs_gesture", lif={"learnable": True})
    with torch.no_grad():
        net.conv1.theta.fill_(0.75)
    module = ChipModule(net, arithmetic=torch.float32)
    frame = random_frames(net, 1)[:1, 0]
    with torch.inference_mode():
        y, _ = net.step(frame, net.initial_state(1))
    assert torch.equal(step(module, frame, ChipMemory()), y)
    assert net.conv1.lif == Lif(learnable=True), "the options still say where it began"

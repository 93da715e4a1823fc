"""The event-driven engine beside the torch network of the same weights."""

from collections.abc import Iterator
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import max_pool2d

from models.card import ModelCard
from models.engine.engine import Engine
from models.engine.layer import Layer
from models.engine.membranes import ACTIVATIONS, EMITS
from models.engine.program import Program
from models.layers import LifLayer
from models.network import Network
from models.neurons import lif_step

Array = NDArray[Any]


class Beside(NamedTuple):
    """What was found in a stretch that both stepped.

    Attributes:
        outputs: Of the engine, (steps, features or classes).
        decisions: Neurons times steps that were compared, each fed with the same.
        differing: Those that fired in one alone: their membrane was at the threshold.
        furthest: How far a membrane of the one was from that of the other.
    """

    outputs: Array
    decisions: int
    differing: int
    furthest: float


def card_of(network: Network[Any]) -> ModelCard:
    """Describe a network; only what the engine reads is told."""
    classes = network.options["classes"]
    size = network.input_shape[1:]
    return ModelCard(
        network=network.name,
        options=network.options,
        classes=tuple(str(k) for k in range(classes)),
        sensor_size=size,
        input_size=size,
        window_us=None,
        steps=network.options["steps"],
        data="none",
        accuracy="none",
        licence="none",
        created_by="tests",
    )


def tensors_of(network: Network[Any]) -> dict[str, Array]:
    """Return a network's weights as a file would have them."""
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def engine_of(network: Network[Any]) -> Engine:
    """Return the engine for a network in evaluation."""
    return Engine(card_of(network), tensors_of(network))


def torch_state(network: Network[Any], arrays: list[Array]) -> Any:
    """Return membranes as the torch network holds them."""
    return type(network.initial_state(1))(*(torch.from_numpy(each.copy()) for each in arrays))


def beside(engine: Engine, network: Network[Any], frames: Array, atol: float = 1e-4) -> Beside:
    """Step the engine through frames (steps, channels, height, width); hold each layer to torch's.

    The torch layers get what the engine's got, inputs and membranes. So a spike that differs is
    explained where it arises: the membrane before it fires is within `atol` (and 1e-5 of its size)
    of torch's everywhere, and both fire as their own membrane says.
    """
    steps = [*_steps(engine, frames)]
    layers = [each for each in network.children() if isinstance(each, LifLayer)]
    decisions = differing = 0
    furthest = 0.0
    x = network.normalise(torch.from_numpy(frames.astype(np.float32))[None])
    x = getattr(network, "norm", torch.nn.Identity())(x)[0]
    for k, (layer, ours) in enumerate(zip(layers, engine.layers, strict=True)):
        v = torch.from_numpy(np.concatenate([step.before[k] for step in steps]))
        assert layer.product is not None
        assert layer.norm is not None
        current = layer.product(x if ours.is_map else x.flatten(1))
        u, theta = layer.norm(current + v), layer.constants.theta
        y, v_after = lif_step(current, v, layer.lif, layer.constants, layer.norm)
        our_u = torch.from_numpy(_membranes(ours, [s.inputs[k] for s in steps], v.numpy()))
        torch.testing.assert_close(our_u, u, rtol=1e-5, atol=atol)
        fired, alike = our_u - theta > 0, (our_u - theta > 0) == (u - theta > 0)
        x = torch.from_numpy(np.stack([step.inputs[k + 1] for step in steps]))
        if layer.lif.mode == "spike":
            assert torch.equal(x, _largest(fired.float(), ours))
        elif alike.all():
            torch.testing.assert_close(x, _largest(y, ours), rtol=1e-5, atol=atol)
        after = torch.from_numpy(np.concatenate([step.after[k] for step in steps]))
        torch.testing.assert_close(after[alike], v_after[alike], rtol=1e-5, atol=atol)
        decisions += alike.numel()
        differing += int((~alike).sum())
        furthest = max(furthest, float((our_u - u).abs().max()))
    return Beside(np.stack([step.outputs for step in steps]), decisions, differing, furthest)


class _Step(NamedTuple):
    """A step of the engine: the input of each layer and the last one's output, and membranes."""

    inputs: list[Array]
    before: list[Array]
    after: list[Array]
    outputs: Array


def _steps(engine: Engine, frames: Array) -> Iterator[_Step]:
    """Step through frames, each layer's maps (channels, height, width) looked at."""
    state, program, room = engine.initial_state(), engine.program, engine._room
    for frame in frames:
        before = engine.to_arrays(state)
        outputs, state = engine.step(frame[None], state)
        maps = [program.inputs_of(0, room)]
        maps += [program.map_of(k, room) for k in range(len(engine.layers))]
        inputs = [each.transpose(2, 0, 1).astype(np.float32, order="C") for each in maps]
        yield _Step(inputs, before, engine.to_arrays(state), outputs[0])


def _membranes(layer: Layer, inputs: list[Array], before: Array) -> Array:
    """Return what the engine's neurons decide with: a layer that puts out its membrane tells it."""
    twin, g = copy(layer), layer.geometry
    twin.pool, twin.out_size = 1, (g.out_height, g.out_width, g.outputs)
    output = EMITS.index("membrane"), ACTIVATIONS.index("none")
    alone = Program([twin], spikes=False, output=output)
    room, found = alone.room(), []
    for x, v in zip(inputs, before, strict=True):
        alone.step(x, np.moveaxis(v, 0, -1).astype(np.float32).ravel(), room)
        found.append(np.moveaxis(alone.map_of(0, room), -1, 0).reshape(v.shape).copy())
    return np.stack(found)


def _largest(y: torch.Tensor, layer: Layer) -> torch.Tensor:
    """Return the output map of a layer, (steps, channels, height, width)."""
    return max_pool2d(y, layer.pool) if layer.is_map else y[..., None, None]

"""The nodes of NIR as torch modules: input and memories in, output and memories out.

Sources: the equations are those of NIR 1.0 (``nir/ir``, BSD-3-Clause); how they are stepped is
`models.interchange.scheme`. The current of a step acts on the membrane in the same step, as in
snnTorch, norse and SpikingJelly.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.errors import ModelError
from models.interchange.scheme import Scheme
from models.surrogates import spike

__all__ = ["ARRAYS", "FIRING", "NUMBERS", "Memory", "Node", "node_of"]

Memory: TypeAlias = tuple[Tensor, ...]

_NEURON = ("r", "v_leak")
_THRESHOLD = ("v_threshold", "v_reset")

ARRAYS: dict[str, tuple[str, ...]] = {
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Scale": ("scale",),
    "Conv1d": ("weight", "bias"),
    "Conv2d": ("weight", "bias"),
    "SumPool2d": (),
    "AvgPool2d": (),
    "Flatten": (),
    "Threshold": ("threshold",),
    "Delay": ("delay",),
    "I": ("r",),
    "IF": ("r", *_THRESHOLD),
    "LI": ("tau", *_NEURON),
    "LIF": ("tau", *_NEURON, *_THRESHOLD),
    "CubaLI": ("tau_syn", "tau_mem", *_NEURON, "w_in"),
    "CubaLIF": ("tau_syn", "tau_mem", *_NEURON, "w_in", *_THRESHOLD),
}
"""Type of a node -> its arrays; all types of NIR 1.0 but graphs, their inputs and outputs."""

NUMBERS: dict[str, tuple[str, ...]] = {
    "Conv1d": ("stride", "padding", "dilation", "groups"),
    "Conv2d": ("stride", "padding", "dilation", "groups"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Flatten": ("start_dim", "end_dim"),
}
"""Type of a node -> what it has beside arrays."""

FIRING = frozenset({"IF", "LIF", "CubaLIF", "Threshold"})
"""Nodes that put out spikes."""


class Node(nn.Module):
    """A node; this one remembers nothing.

    Args:
        kind: Its type in NIR.
        shapes: Array -> its shape.
        numbers: What it has beside arrays: whole numbers, pairs of them, or a text.
        scheme: How it is stepped.
    """

    memories: tuple[str, ...] = ()
    """Names of what it remembers."""

    def __init__(
        self,
        kind: str,
        shapes: Mapping[str, Sequence[int]],
        numbers: Mapping[str, Any],
        scheme: Scheme,
    ) -> None:
        super().__init__()
        self.kind, self.numbers, self.scheme = kind, dict(numbers), scheme
        for name in ARRAYS[kind]:
            tensor = torch.full(tuple(shapes[name]), _FRESH.get(name, 1.0))
            if name in ("weight", "bias"):
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        if "weight" in ARRAYS[kind]:
            bound = 1 / math.sqrt(max(1, math.prod(shapes["weight"][1:])))
            for parameter in self.parameters():
                nn.init.uniform_(parameter, -bound, bound)

    def array(self, name: str) -> Tensor:
        """Return an array, to be used in a step."""
        tensor: Tensor = getattr(self, name)
        # One number in a vector counts for all, whatever the shape of the input is.
        return tensor.reshape(()) if tensor.numel() == 1 and tensor.ndim == 1 else tensor

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse an input that the arrays do not fit.

        Args:
            shape: Of the input, without batch.

        Raises:
            ModelError: They do not; the message names the array.
        """
        for name in ARRAYS[self.kind]:
            given = tuple(getattr(self, name).shape)
            per_channel = (*shape[:1], *(1 for _ in shape[1:]))
            if math.prod(given) != 1 and given not in (shape, per_channel):
                raise ModelError(f"{name} is {given}, its input {shape}")

    def rest(self, shape: tuple[int, ...], batch: int) -> Memory:
        """Return what it remembers before the first step, for an input (batch, *shape)."""
        return ()

    def forward(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Advance one step: input (batch, ...) and memories -> output and memories."""
        if self.kind == "Scale":
            return x * self.array("scale"), memory
        return self.fire(x - self.array("threshold")), memory

    def fire(self, distance: Tensor) -> Tensor:
        """Return spikes, by the distance from the threshold."""
        if self.scheme.fires == "at":
            return 1 - spike(-distance)
        return spike(distance)


class _Product(Node):
    """Affine, Linear, Conv1d, Conv2d."""

    weight: Tensor
    bias: Tensor

    def check(self, shape: tuple[int, ...]) -> None:
        weight = tuple(self.weight.shape)
        axes = {"Affine": 2, "Linear": 2, "Conv1d": 3, "Conv2d": 4}[self.kind]
        if len(weight) != axes:
            raise ModelError(f"weight must have {axes} axes, it is {weight}")
        inputs = weight[1] * self.numbers.get("groups", 1)
        flat = axes == 2
        if not shape or shape[-1 if flat else 0] != inputs or len(shape) != (axes - 1 - flat or 1):
            raise ModelError(f"weight is {weight}, its input {shape}")

    def forward(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        bias = self.bias if "bias" in ARRAYS[self.kind] else None
        if "Conv" not in self.kind:
            return functional.linear(x, self.weight, bias), memory
        convolve = functional.conv1d if self.kind == "Conv1d" else functional.conv2d
        return convolve(x, self.weight, bias, **self.numbers), memory


class _Pool(Node):
    """SumPool2d and AvgPool2d; the padding counts, as zeros."""

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3:
            raise ModelError(f"pools a map (channels, height, width), its input is {shape}")

    def forward(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        divisor = 1 if self.kind == "SumPool2d" else None
        return functional.avg_pool2d(x, **self.numbers, divisor_override=divisor), memory


class _Flatten(Node):
    """Axes of the input, which has no batch in NIR, made one."""

    def check(self, shape: tuple[int, ...]) -> None:
        first, last = (axis % max(1, len(shape)) for axis in self.numbers.values())
        if not shape or first > last:
            raise ModelError(f"axes {self.numbers} are none of its input {shape}")

    def forward(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        axes = (axis + 1 if axis >= 0 else axis for axis in self.numbers.values())
        return x.flatten(*axes), memory


class _Neuron(Node):
    """I, IF, LI, LIF, CubaLI and CubaLIF: a membrane, and in the last two a current before it."""

    def __init__(self, kind: str, *given: Any) -> None:
        super().__init__(kind, *given)
        self.memories = ("v", "i") if kind.startswith("Cuba") else ("v",)

    def rest(self, shape: tuple[int, ...], batch: int) -> Memory:
        """Return the membrane at its leak, or at its reset where nothing leaks, and no current."""
        silent = self.array("r").new_zeros(batch, *shape)
        arrays = ARRAYS[self.kind]
        name = next((name for name in ("v_leak", "v_reset") if name in arrays), None)
        v = silent if name is None else silent + self.array(name)
        return (v, silent.clone())[: len(self.memories)]

    def forward(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        v = memory[0]
        current: Memory = ()
        if self.kind.startswith("Cuba"):
            share = self._share("tau_syn")
            x = self.array("w_in") * x
            x = memory[1] + (x - share * memory[1] if self._jumps else share * (x - memory[1]))
            current = (x,)
        u = v + self._towards(v, self.array("r") * x)
        if self.kind not in FIRING:
            return u, (u, *current)
        theta = self.array("v_threshold")
        if self.scheme.reset == "subtract_later":
            u = u - theta * self._spikes(v, theta)
            return self._spikes(u, theta), (u, *current)
        spikes = self._spikes(u, theta)
        if self.scheme.reset == "subtract":
            return spikes, (u - spikes * theta, *current)
        fired = spikes.clamp(max=1)
        return spikes, (fired * self.array("v_reset") + (1 - fired) * u, *current)

    @property
    def _jumps(self) -> bool:
        return self.scheme.inflow == "jump"

    def _share(self, tau: str) -> Tensor:
        """Return the share of its way that something with a time constant goes in a step."""
        steps = self.scheme.dt_s / self.array(tau)
        return steps if self.scheme.decay == "euler" else -torch.expm1(-steps)

    def _towards(self, v: Tensor, drive: Tensor) -> Tensor:
        """Return by how much a step moves the membrane."""
        if self.kind in ("I", "IF"):
            return drive if self._jumps else self.scheme.dt_s * drive
        tau = "tau_mem" if self.kind.startswith("Cuba") else "tau"
        if self.kind == "LI" and self.scheme.inflow == "li_jump":
            return self._share(tau) * (self.array("v_leak") - v) + drive
        return self._share(tau) * (self.array("v_leak") - v + drive)

    def _spikes(self, v: Tensor, theta: Tensor) -> Tensor:
        if self.scheme.fires == "many":  # no gradient: such networks are run here, not trained
            return torch.where(v > 0, torch.floor(v / theta), 0.0)
        return self.fire(v - theta)


class _Delay(Node):
    """What came in some steps ago; each number of the input may have a delay of its own."""

    delay: Tensor
    memories = ("past",)

    def _steps(self) -> Tensor:
        return torch.round(self.array("delay") / self.scheme.dt_s).to(torch.int64)

    def rest(self, shape: tuple[int, ...], batch: int) -> Memory:
        """Return as many silent inputs as the longest delay, (batch, steps, *shape).

        Raises:
            ModelError: A delay is no whole number of steps.
        """
        if self.delay.is_meta:
            return (self.delay.new_zeros(batch, 1, *shape),)
        steps = self.array("delay").double() / self.scheme.dt_s
        if not torch.allclose(steps, steps.round(), atol=1e-3, rtol=1e-6) or bool(
            (steps < -0.5).any() or (steps > _MOST_STEPS).any()
        ):
            raise ModelError(
                f"delay must be a whole number of steps of {self.scheme.dt_s:g} s, at most "
                f"{_MOST_STEPS}, got {self.delay.flatten().tolist()[:3]} s; set dt_s to a step "
                "that fits"
            )
        longest = max(1, int(steps.max().round()))
        return (self.delay.new_zeros(batch, longest, *shape),)

    def forward(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        (past,) = memory
        known = torch.cat([past, x.unsqueeze(1)], 1)  # (batch, steps + 1, ...), the newest last
        at = (past.shape[1] - self._steps()).expand(x.shape).unsqueeze(1)
        return known.gather(1, at).squeeze(1), (known[:, 1:],)


_MOST_STEPS = 10_000

_FRESH = {"v_leak": 0.0, "v_reset": 0.0, "delay": 0.0, "tau": 0.01, "tau_mem": 0.01}
_FRESH |= {"tau_syn": 0.01, "r": 10.0, "w_in": 10.0}
"""Arrays of a network that was not read from a file; the others are 1."""


def node_of(
    kind: str, shapes: Mapping[str, Sequence[int]], numbers: Mapping[str, Any], scheme: Scheme
) -> Node:
    """Make a node, see `Node`; its weights are drawn from torch's global generator.

    Raises:
        ModelError: NIR has no such type, or something of it is missing or wrong.
    """
    if kind not in ARRAYS:
        raise ModelError(f"type {kind!r} is not supported; those that are: {', '.join(ARRAYS)}")
    for name in ARRAYS[kind]:
        if name not in shapes:
            raise ModelError(f"{kind} must have {name}")
    wanted = {name: _number(kind, name, numbers.get(name)) for name in NUMBERS.get(kind, ())}
    if "same" in wanted.values() and {1} != {*_each(wanted["stride"])}:
        raise ModelError(f"padding 'same' has no meaning with stride {wanted['stride']}")
    return _KINDS.get(kind, Node)(kind, shapes, wanted, scheme)


_KINDS: dict[str, type[Node]] = {
    **dict.fromkeys(("Affine", "Linear", "Conv1d", "Conv2d"), _Product),
    **dict.fromkeys(("SumPool2d", "AvgPool2d"), _Pool),
    **dict.fromkeys(("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"), _Neuron),
    "Flatten": _Flatten,
    "Delay": _Delay,
}


def _number(kind: str, name: str, value: Any) -> Any:
    """Return a whole number, a pair of them, or how convolutions are padded."""
    if name == "padding" and value in ("same", "valid") and kind.startswith("Conv"):
        return value
    each = _each(value)
    least = {"padding": 0, "start_dim": -8, "end_dim": -8}.get(name, 1)
    whole = all(type(one) is int and one >= least for one in each)
    single = name in ("groups", "start_dim", "end_dim") or kind == "Conv1d"
    if not whole or len(each) not in ((1,) if single else (1, 2)):
        raise ModelError(f"{name} of {kind} must be whole numbers, got {value!r}")
    return each[0] if single else (each[0], each[-1])


def _each(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)

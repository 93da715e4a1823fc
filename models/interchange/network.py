"""A network whose layers are a graph of NIR: made in another framework, run here as any other.

The graph is an option, so it travels in the card of the weights; its arrays are the weights. Edges
that meet in a node are added. Where a graph has a loop, what the neurons of it put out goes around
to the next step. A frame is brought to the shape of the graph's input, (channel, row, column) in
order; what the graph puts out is flattened, one number a class.

The options also say how neurons are stepped, since NIR does not: `pipeline models import FILE.nir
--as nir` sets them. Source: NIR 1.0 (neuroir.org; Pedersen et al., Nature Communications 15:8122,
2024).
"""

import math
from collections import namedtuple
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, TypeAlias, Unpack

import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.interchange.nodes import FIRING, Node, node_of
from models.interchange.scheme import Decay, Fires, Inflow, Reset, Scheme
from models.interchange.wiring import end, loops, nodes_and_edges, ordered
from models.lif import Mode
from models.network import Network, Options

__all__ = ["NirNetwork", "Probe", "State", "identifier", "plain_graph"]

State: TypeAlias = tuple[Tensor, ...]


def plain_graph(shape: Sequence[int], classes: int) -> dict[str, Any]:
    """Return the graph of one layer: flatten, a linear map, leaky neurons, one a class."""
    neurons = {name: [classes] for name in ("tau", "r", "v_leak", "v_threshold", "v_reset")}
    return {
        "nodes": {
            "input": {"type": "Input", "shape": [*shape]},
            "flatten": {"type": "Flatten", "start_dim": 0, "end_dim": -1},
            "fc": {"type": "Affine", "weight": [classes, math.prod(shape)], "bias": [classes]},
            "lif": {"type": "LIF", **neurons},
            "output": {"type": "Output"},
        },
        "edges": [["input", "flatten"], ["flatten", "fc"], ["fc", "lif"], ["lif", "output"]],
    }


class NirNetwork(Network[State]):
    """Network of a NIR graph; its state has what every node remembers, by name.

    ``mode`` says what the last node is: ``spike`` where it fires, ``analog`` elsewhere. The graph
    has one number a class, so ``head`` changes nothing; ``lif`` and ``sharing`` have no meaning.

    Args:
        graph: ``nodes``: name -> ``type``, its numbers and the shapes of its arrays; ``edges``:
            pairs of names. None: one layer of leaky neurons.
        dt_s: Length of a step, in the unit of the time constants, which NIR says are seconds.
        decay: Share of its way that a membrane goes in a step: ``euler``: dt / tau;
            ``exponential``: 1 - exp(-dt / tau).
        fires: ``above`` the threshold, ``at`` it too, or ``many``: as many spikes as the threshold
            goes into the membrane.
        reset: ``value``: to the graph's own; ``subtract`` the threshold; ``subtract_later``: in the
            next step, behind the decay.
        inflow: ``rate``: integrated over the step; ``jump``: I, IF and the currents of CubaLIF and
            CubaLI take it whole; ``li_jump``: LI does.
        **options: See `Options`.

    Attributes:
        graph: The graph.
        scheme: How it is stepped.

    Raises:
        ModelError: An option is out of range, or the graph is none that can be run.
    """

    name = "nir"
    defaults = Options(classes=10, steps=20, input_channels=2, size=(34, 34), mode="spike")
    reference_names: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        *,
        graph: Mapping[str, Any] | None = None,
        dt_s: float = 1e-3,
        decay: Decay = "euler",
        fires: Fires = "above",
        reset: Reset = "value",
        inflow: Inflow = "rate",
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.options |= {"dt_s": dt_s, "decay": decay, "fires": fires}
        self.options |= {"reset": reset, "inflow": inflow}
        if graph is None:
            written = plain_graph(self.input_shape, self.options["classes"])
        else:
            written = self.options["graph"] = {**graph}
        self.graph: Mapping[str, Any] = written
        try:
            self.scheme = Scheme(dt_s, decay, fires, reset, inflow)
            self._build(self.graph)
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from None

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights, and so of the state and the outputs."""
        return self._any.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._any.device

    @property
    def _any(self) -> Tensor:
        return next(chain(self.parameters(), self.buffers()))

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return the shape of what comes to a node; of the input, of what it is."""
        return self._inputs.get(name) or self._outputs[name]

    def node(self, name: str) -> Node:
        """Return a node, by its name in the graph."""
        found = self.nodes[identifier(name)]
        assert isinstance(found, Node)
        return found

    def initial_state(self, batch: int) -> State:
        """Return what all nodes remember at first, in the weights' dtype and on their device."""
        tensors: list[Tensor] = []
        for name in self._order:
            tensors += self.node(name).rest(self._inputs[name], batch)
        tensors += [self._any.new_zeros(batch, *self._outputs[name]) for name in self._late]
        state: State = self._state(*tensors)
        return state

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance over x (batch, time, channels, height, width) -> (batch, time, classes)."""
        outputs = []
        for now in x.unbind(1):
            y, state = self._step(now, state)
            outputs.append(y)
        return torch.stack(outputs, 1), state

    def _step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        left = iter(state)
        memories = {
            name: tuple(next(left) for _ in self.node(name).memories) for name in self._order
        }
        before = dict(zip(self._late, left, strict=True))
        values = {self._start: x.reshape(x.shape[0], *self._outputs[self._start])}
        for name in self._order:
            given = [before[a] if late else values[a] for a, late in self._sources[name]]
            values[name], memories[name] = self.node(name)(sum(given[1:], given[0]), memories[name])
        given = [values[a] for a, _ in self._sources[self._end]]
        remembered = [tensor for name in self._order for tensor in memories[name]]
        remembered += [values[name] for name in self._late]
        return sum(given[1:], given[0]).flatten(1), self._state(*remembered)

    def _build(self, graph: Mapping[str, Any]) -> None:
        """Make the nodes, bring them into order and find the shapes of what flows."""
        nodes, edges = nodes_and_edges(graph)
        kinds = {name: node["type"] for name, node in nodes.items()}
        self._start, self._end = end(kinds, "Input"), end(kinds, "Output")
        self.nodes = nn.ModuleDict()
        for name, written in nodes.items():
            if name in (self._start, self._end):
                continue
            if identifier(name) in self.nodes:
                raise ModelError(f"node {name!r}: another is called so, but for signs; rename one")
            try:
                self.nodes[identifier(name)] = node_of(kinds[name], written, written, self.scheme)
            except (ModelError, TypeError, RuntimeError) as error:
                raise ModelError(f"node {name!r}: {error}") from None
        if next(chain(self.parameters(), self.buffers()), None) is None:
            raise ModelError("a graph must have a node with weights or neurons")
        cut = loops(edges, kinds, self._start)
        self._order = ordered([edge for edge in edges if edge not in cut], kinds)
        self._late = tuple(dict.fromkeys(a for a, _ in edges if a in {c for c, _ in cut}))
        self._sources = {
            name: [(a, (a, b) in cut) for a, b in edges if b == name]
            for name in [*self._order, self._end]
        }
        self._find_shapes(nodes[self._start].get("shape"))
        self._check_output(kinds)
        fields = [f"{identifier(n)}_{m}" for n in self._order for m in self.node(n).memories]
        fields += [f"{identifier(name)}_out" for name in self._late]
        self._state: Any = _state_type(fields)

    def _find_shapes(self, given: Sequence[int] | None) -> None:
        """Send zeros through, and refuse what does not fit.

        Args:
            given: Shape of the graph's input; None: that of a frame.

        Raises:
            ModelError: It does not.
        """
        shape = tuple(given or self.input_shape)
        if math.prod(shape) != math.prod(self.input_shape):
            raise ModelError(
                f"the graph's input is {shape}, {math.prod(shape)} numbers, but a frame of "
                f"{self.input_shape} has {math.prod(self.input_shape)}; set input_channels and size"
            )
        self._inputs: dict[str, tuple[int, ...]] = {}
        self._outputs = {self._start: shape}
        waiting = [*self._order, self._end]
        while waiting:
            ready = [n for n in waiting if any(a in self._outputs for a, _ in self._sources[n])]
            if not ready:
                raise ModelError(f"node {waiting[0]!r}: nothing comes to it from the input")
            for name in ready:
                waiting.remove(name)
                self._admit(name)
        for name, shape in self._inputs.items():
            for source, _ in self._sources[name]:
                if self._outputs[source] != shape:
                    raise ModelError(
                        f"edge {source!r} -> {name!r}: {self._outputs[source]} comes to {shape}"
                    )

    def _admit(self, name: str) -> None:
        """Find out what a node makes of what comes to it."""
        shape = next(self._outputs[a] for a, _ in self._sources[name] if a in self._outputs)
        self._inputs[name] = shape
        if name == self._end:
            return
        node = self.node(name)
        try:
            node.check(shape)
            with torch.no_grad():
                y, _ = node(self._any.new_zeros(1, *shape), node.rest(shape, 1))
        except (ModelError, RuntimeError, IndexError) as error:
            raise ModelError(f"node {name!r} ({node.kind}): {error}") from None
        self._outputs[name] = tuple(y.shape[1:])

    def _check_output(self, kinds: Mapping[str, str]) -> None:
        """Refuse options that contradict what the graph puts out."""
        numbers, mode = self._puts_out(kinds)
        if self.options["classes"] != numbers:
            raise ModelError(
                f"classes must be {numbers}, as the graph puts out, got {self.options['classes']}"
            )
        if self.options["mode"] != mode:
            raise ModelError(f"mode must be {mode!r} for this graph, got {self.options['mode']!r}")
        if self.options["lif"]:
            raise ModelError("lif must be left out, the graph says what its neurons are")

    def _puts_out(self, kinds: Mapping[str, str]) -> tuple[int, Mode]:
        """Return how many numbers the graph puts out, and whether they are spikes."""
        last = [kinds[a] for a, _ in self._sources[self._end]]
        fires = len(last) == 1 and last[0] in FIRING
        return math.prod(self._inputs[self._end]), "spike" if fires else "analog"


class Probe(NirNetwork):
    """The network of a graph of which it is not known what it puts out.

    Attributes:
        found: The options ``classes`` and ``mode`` that it should have.
    """

    found: Options

    def _check_output(self, kinds: Mapping[str, str]) -> None:
        classes, mode = self._puts_out(kinds)
        self.found = Options(classes=classes, mode=mode)


def _state_type(fields: Sequence[str]) -> Any:
    """Return the type of a state: tensors by name, as those of the other networks are."""
    return namedtuple("NirState", fields)


def identifier(name: str) -> str:
    """Return the name of a node such as parameters and fields may have."""
    return "n_" + "".join(sign if sign.isalnum() and sign.isascii() else "_" for sign in name)

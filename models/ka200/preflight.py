"""What is known, without the chip and its compiler, of whether a network compiles for the KA200.

The one-step module is traced as the compiler traces it, with weights that mean nothing, and every
operator and tensor of the trace is looked at. Nobody publishes which operators the compiler has:
those that are taken for known are in the networks that LynxiTech/BIDL compiles for the chip. The
limits are those that users of the chip report: four axes, float16, nothing in place, static sizes.
"""

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec
import torch

from models import build, network_class
from models.errors import ModelError
from models.ka200.chip_module import ChipModule
from models.ka200.compiled import BURST, PAIRS, Layout
from models.ka200.operators import ChipMemory
from models.meta_spikeformer import MetaSpikeformer
from models.network import Network

__all__ = ["BATCHES", "InputType", "Operator", "Preflight", "preflight"]

BATCHES = (1, 2, 4, 7, 14, 28)
"""The batches that the compiler takes."""

InputType: TypeAlias = Literal["uint8", "float32"]

_MOST_AXES = 4

_KNOWN = {
    *("custom::load", "custom::save", "custom::cmpandfire", "custom::resetwithdecay"),
    *("aten::_convolution", "aten::linear", "aten::matmul", "aten::batch_norm"),
    *("aten::max_pool2d", "aten::avg_pool2d", "aten::mean"),
    *("aten::relu", "aten::sigmoid", "aten::tanh"),
    *("aten::add", "aten::sub", "aten::rsub", "aten::mul", "aten::div"),
    *("aten::flatten", "aten::reshape", "aten::permute", "aten::transpose", "aten::cat"),
    *("aten::zeros_like", "aten::to", "aten::dropout"),
}
"""In BIDL's networks for the chip, or a sign of one. Dropout does nothing in evaluation."""
_NO_WORK = ("prim::", "aten::size", "aten::Int", "aten::ScalarImplicit", "aten::detach")
"""Of the trace itself: constants, lists, names of weights, sizes that are static."""
_HALF = 2  # bytes


class Operator(msgspec.Struct, frozen=True):
    """An operator of the module.

    Attributes:
        name: As torch calls it.
        count: How often it is in one step.
        axes: Most axes of a tensor that it puts out.
        known: Whether the networks that are known to compile have it.
    """

    name: str
    count: int
    axes: int
    known: bool


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """The report; sizes are for float16 and for the whole batch.

    Attributes:
        network: Name of the network.
        input_shape: Of one step: (batch, channels, height, width).
        input_type: Type of its numbers.
        layout: Order of its axes on the chip.
        outputs: Numbers that a step puts out for each of the batch.
        steps: Steps that the mean on the chip is of; None where it keeps none.
        parameters: Numbers in all weights.
        weights_bytes: What they take.
        membranes: Neurons, each with a membrane, for each of the batch.
        kept_bytes: What stays on the chip from step to step.
        largest_bytes: The largest tensor between two operators.
        buffers_bytes: Of input and output, for all steps that are in flight.
        operators: All of them, the most frequent first.
        problems: Why it cannot run on the chip; none when it can, as far as is known.
        remarks: What may go wrong.
    """

    network: str
    input_shape: tuple[int, ...] = ()
    input_type: InputType
    layout: Layout = "nchw"
    outputs: int = 0
    steps: int | None
    parameters: int = 0
    weights_bytes: int = 0
    membranes: int = 0
    kept_bytes: int = 0
    largest_bytes: int = 0
    buffers_bytes: int = 0
    operators: tuple[Operator, ...] = ()
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @property
    def memory_bytes(self) -> int:
        """What it takes on the chip, about: a layer reads one tensor and writes another."""
        return self.weights_bytes + self.kept_bytes + 2 * self.largest_bytes + self.buffers_bytes


def preflight(
    name: str,
    options: Mapping[str, Any],
    batch: int = 1,
    input_type: InputType = "uint8",
    mean_steps: int | None = None,
    layout: Layout = "nchw",
) -> Preflight:
    """Look at the module of a network; its weights are not needed.

    Args:
        name: Of the network, a key of `models.NETWORKS`.
        options: Its options.
        batch: One of `BATCHES`.
        input_type: Type of the frames that the chip is given.
        mean_steps: Steps of the mean on the chip, see `ChipModule`.
        layout: Of the frames that the chip is given.

    Raises:
        ModelError: The batch is none of the compiler's, or the network or an option is unknown.
    """
    if batch not in BATCHES:
        taken = ", ".join(map(str, BATCHES))
        raise ModelError(f"batch must be one that the compiler takes, {taken}, got {batch}")
    asked: dict[str, Any] = {"network": name, "input_type": input_type, "steps": mean_steps}
    asked["layout"] = layout
    if issubclass(network_class(name), MetaSpikeformer):
        options = {**options, "folded": True}  # as it is compiled
    with torch.device("meta"):
        network = build(name, **options).eval()
        try:
            module = ChipModule(network, mean_steps, layout=layout)
        except ModelError as error:
            return Preflight(**asked, problems=(str(error),))
    module.to_empty(device="cpu")  # only shapes are asked for: the weights are whatever is there
    frame = torch.zeros(1, *network.input_shape, dtype=getattr(torch, input_type))
    if layout == "nhwc":
        frame = frame.permute(0, 2, 3, 1)
    with ChipMemory().in_use(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that are static here
        traced: Any = torch.jit.trace(module, frame, check_trace=False)  # type: ignore[no-untyped-call]
        outputs = module(frame).numel()
    nodes = [*_nodes(traced.inlined_graph)]
    operators = _operators(nodes)
    parameters = sum(tensor.numel() for tensor in module.network.parameters())
    kept = sum(math.prod(shape) for name, shape in nodes if name == "custom::save")
    values = 4 if input_type == "float32" else 1
    return Preflight(
        **asked,
        input_shape=(batch, *network.input_shape),
        outputs=outputs,
        parameters=parameters,
        weights_bytes=parameters * _HALF,
        membranes=sum(membrane.numel() for membrane in network.initial_state(1)),
        kept_bytes=batch * kept * _HALF,
        largest_bytes=batch * _HALF * max(math.prod(shape) for _, shape in nodes),
        buffers_bytes=PAIRS
        * BURST
        * batch
        * (values * math.prod(network.input_shape) + _HALF * outputs),
        operators=operators,
        problems=tuple(_problems(operators, network, input_type)),
        remarks=tuple(_remarks(operators, network, input_type, mean_steps)),
    )


def _nodes(graph: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield every operator of a trace with the shape of what it puts out."""
    for node in graph.nodes():
        if node.kind().startswith(_NO_WORK):
            continue
        for output in node.outputs():
            sizes = output.type().sizes() if output.isCompleteTensor() else None
            yield node.kind(), tuple(sizes or ())


def _operators(nodes: list[tuple[str, tuple[int, ...]]]) -> tuple[Operator, ...]:
    axes: dict[str, int] = {}
    for name, shape in nodes:
        axes[name] = max(axes.get(name, 0), len(shape))
    counted = Counter(name for name, _ in nodes).most_common()
    return tuple(Operator(name, count, axes[name], name in _KNOWN) for name, count in counted)


def _problems(
    operators: tuple[Operator, ...], network: Network[Any], input_type: InputType
) -> Iterator[str]:
    for operator in operators:
        if operator.axes > _MOST_AXES:
            yield f"{operator.name} has a tensor of {operator.axes} axes, the chip has {_MOST_AXES}"
        if operator.name.endswith("_"):
            yield f"{operator.name} writes in place, which the compiler does not do"
    if network.frame == "tokens" and input_type == "uint8":
        yield "bytes hold ids up to 255, and the vocabulary has more; compile with --input float32"


def _remarks(
    operators: tuple[Operator, ...],
    network: Network[Any],
    input_type: InputType,
    mean_steps: int | None,
) -> Iterator[str]:
    for operator in operators:
        if not operator.known:
            yield f"{operator.name} is in no network that is known to compile"
    if network.frame == "counts" and input_type == "uint8":
        yield (
            "bytes hold up to 255 events of a pixel and step; a frame with more ends the run, so"
            " compile with --input float32 where windows are long or pixels hot"
        )
    if mean_steps is not None:
        yield (
            f"the mean is of the {mean_steps} steps since a model reset, and a recording with more"
            " ends the run; for streams leave --mean out and let `aggregate` take it"
        )
    if isinstance(network, MetaSpikeformer):
        yield "each RepConv is compiled as one 3×3 convolution, the same but for rounding"

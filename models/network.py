"""What every network offers: one step, a loop of it, a head, and its state.

A network is stepped over a stream and never hides what it remembers: the membranes come in and go
out as a NamedTuple of tensors. With ``state = network.initial_state(batch)``:

- reset is that same line;
- a snapshot is ``[tensor.numpy().copy() for tensor in state]``;
- a restore is ``type(state)(*map(torch.from_numpy, arrays))``.

From frames to class scores::

    frames --run--> features of each step --classify--> logits --scores--> class scores

Between them time is taken together: the mean over the steps, or the last one (`Network.take`).
With ``head = "after_mean"`` (the design text: SumLayer, then FcBlock) that comes before `classify`,
with ``head = "per_step"`` (the reference code) after it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from inspect import signature
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
)

import torch
from torch import Tensor, nn

from models.choices import offer
from models.errors import ModelError
from models.layers import Normalise
from models.lif import Mode, Sharing

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Head", "Network", "Options"]

State = TypeVar("State", bound="tuple[Tensor, ...]")
Neurons = TypeVar("Neurons", bound="DataclassInstance")
Head: TypeAlias = Literal["after_mean", "per_step"]


class Options(TypedDict, total=False):
    """The options that every network has; any may be left out.

    Attributes:
        classes: Number of classes.
        steps: Steps that one prediction is made of; the network itself runs for any number.
        input_channels: Channels of a frame.
        size: (height, width) of a frame, pixels.
        mode: Output of the neurons: spikes, or the rectified membrane.
        head: Whether the classifier comes after the mean over time, or before it, at each step.
        sharing: Whether a layer shares its neurons' constants, or each channel has its own.
        lif: Other options of the neurons, see `models.lif.Lif`.
        mean: Subtracted from each channel of a frame before anything else; None: nothing is.
        std: What each channel is divided by then; None: 1.
    """

    classes: int
    steps: int
    input_channels: int
    size: Sequence[int]
    mode: Mode
    head: Head
    sharing: Sharing
    lif: Mapping[str, Any]
    mean: Sequence[float] | None
    std: Sequence[float] | None


_DEFAULTS: Options = {"head": "after_mean", "sharing": "all", "lif": {}, "mean": None, "std": None}
"""Of every network; the others are each network's own."""


class Network(nn.Module, ABC, Generic[State]):
    """Base of the networks; `State` is the subclass's NamedTuple of membranes.

    An option that only one network has is a keyword-only argument of its `__init__`, which hands
    the others up, and puts the value into `options`.

    Args:
        **options: See `Options`; what is left out is as `defaults` says.

    Attributes:
        name: Name in the registry, set by the subclass.
        defaults: What the text says of `Options`, set by the subclass: classes, steps,
            input_channels, size and mode.
        options: The keyword arguments that build this network again, JSON values only.
        input_shape: (channels, height, width) of one step's input.
        frame: What the text's frames hold, as the stages that make them call it.
        take: How the steps are taken together: their mean, or the last.
        reference_names: Module name in the published checkpoints -> module name here.

    Raises:
        ModelError: An option is unknown, or out of range.
    """

    name: ClassVar[str]
    defaults: ClassVar[Options]
    frame: ClassVar[str] = "counts"
    take: ClassVar[Literal["mean", "last"]] = "mean"
    reference_names: ClassVar[Mapping[str, str]] = {}
    options: dict[str, Any]
    input_shape: tuple[int, int, int]

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__()
        known = self.known_options()
        for option in options:
            if option not in known:
                raise ModelError(f"{self.name}: unknown option {option!r}; {offer(option, known)}")
        chosen: dict[str, Any] = {**known, **options}
        height, width = chosen["size"]
        counts = {option: chosen[option] for option in ("classes", "steps", "input_channels")}
        for option, value in {**counts, "height": height, "width": width}.items():
            if type(value) is not int or value < 1:
                raise ModelError(
                    f"{self.name}: {option} must be a whole number of at least 1, got {value!r}"
                )
        self.head: Head = chosen["head"]
        if self.head not in ("after_mean", "per_step"):
            raise ModelError(
                f"{self.name}: head must be 'after_mean' or 'per_step', got {self.head!r}"
            )
        self.input_shape = (chosen["input_channels"], height, width)
        self.options = {
            **counts,
            "size": [height, width],
            **{option: chosen[option] for option in ("mode", "head", "sharing")},
            "lif": dict(chosen["lif"]),
        }
        self.normalise = self._normalise(chosen["mean"], chosen["std"])

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights, and so of the state and the outputs."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @classmethod
    def known_options(cls) -> dict[str, Any]:
        """Return the default of every option, by its name, those of `Options` first."""
        known: dict[str, Any] = {**_DEFAULTS, **cls.defaults}
        known = {option: known[option] for option in Options.__annotations__}
        for each in cls.__mro__:
            if issubclass(each, Network):
                own = signature(each.__init__).parameters.values()
                known |= {one.name: one.default for one in own if one.kind is one.KEYWORD_ONLY}
        return known

    def neurons(self, kind: type[Neurons]) -> Neurons:
        """Return the neurons that the options describe.

        Args:
            kind: Their dataclass. What it has of `mode` and `sharing` is as those options say; the
                option `lif` tells the others.

        Raises:
            ModelError: An entry of `lif` is unknown, or a value is wrong.
        """
        given, names = self.options["lif"], [field.name for field in fields(kind)]
        fixed = {name: self.options[name] for name in ("mode", "sharing") if name in names}
        known = [name for name in names if name not in fixed]
        for option in given:
            if option not in known:
                raise ModelError(f"{self.name}: lif: unknown {option!r}; {offer(option, known)}")
        try:
            return kind(**fixed, **given)
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from None

    def _normalise(self, mean: Sequence[float] | None, std: Sequence[float] | None) -> nn.Module:
        """Return the fixed scaling of the input, if any, and put it among the options."""
        if mean is None and std is None:
            return nn.Identity()
        channels = self.input_shape[0]
        means, stds = list(mean or [0.0] * channels), list(std or [1.0] * channels)
        finite = all(map(math.isfinite, means + stds))
        if {len(means), len(stds)} != {channels} or not all(stds) or not finite:
            raise ModelError(
                f"{self.name}: mean and std must have one value for each of {channels} channels, "
                f"all finite, std none of 0, got {means} and {stds}"
            )
        self.options |= {"mean": means, "std": stds}
        return Normalise(means, stds)

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """Return the state at the start of a recording: every membrane at rest."""

    @abstractmethod
    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance over x (batch, time, channels, height, width), one step or many at once.

        `x` is checked, normalised and of the weights' dtype already.

        Returns:
            The features of every step, (batch, time, features), and the state after the last.
        """

    @classmethod
    def told_by(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the options that a checkpoint's tensors tell by themselves; none by default.

        Args:
            tensors: Name -> tensor, in the published names (without prefixes) or in these.
        """
        return {}

    def translate(self, tensors: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
        """Give a published checkpoint's tensors the names they have here; other names are kept.

        Args:
            tensors: Name -> tensor, in the published names (without prefixes) or in these.
            origin: Where they come from, for a message.

        Raises:
            ModelError: The checkpoint contradicts itself.
        """
        renamed = {}
        for name, tensor in tensors.items():
            prefix, _, last = name.rpartition(".")
            ours = self.reference_names.get(prefix, prefix)
            renamed[f"{ours}.{last}" if ours else last] = tensor
        return renamed

    def classify(self, features: Tensor) -> Tensor:
        """Turn features (..., features) into logits (..., classes).

        The identity where the last layer of neurons has one neuron a class.
        """
        return features

    def scores(self, logits: Tensor) -> Tensor:
        """Turn logits (..., classes) into the class scores that are shown; the same by default."""
        return logits

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one time step.

        Args:
            x: Frames of the step, (batch, channels, height, width), any real dtype.
            state: State left by the step before. It is not written to.

        Returns:
            The outputs, (batch, features), or (batch, classes) with ``head = "per_step"``, in the
            dtype of the weights, and the new state.

        Raises:
            ModelError: `x` has another shape than the network was built for.
        """
        outputs, state = self._advance(self.admit(x.unsqueeze(1)), state)
        return outputs.squeeze(1), state

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Advance over a stretch of time.

        In evaluation it is a loop of `step`, to the bit. In training what has no memory runs over
        all steps at once; the numbers are the same but for the order of sums.

        Args:
            x: Frames, (batch, time, channels, height, width), any real dtype.
            state: Where to start from; None starts a new recording.

        Returns:
            The outputs of every step, (batch, time, features or classes), and the state after
            the last. The prediction is the argmax of ``decide(outputs)``.

        Raises:
            ModelError: `x` has no step, or another shape than the network was built for.
        """
        x = self.admit(x)
        state = self.initial_state(len(x)) if state is None else state
        if self.training:
            return self._advance(x, state)
        outputs = []
        for now in torch.split(x, 1, 1):
            # Contiguous, so that a slice of a longer array gives the same bits as a lone frame.
            y, state = self._advance(now.contiguous(), state)
            outputs.append(y)
        return torch.cat(outputs, 1), state

    def decide(self, outputs: Tensor) -> Tensor:
        """Take the outputs of a whole stretch, (batch, time, ...), to logits (batch, classes)."""
        taken = outputs.mean(1) if self.take == "mean" else outputs[:, -1]
        return taken if self.head == "per_step" else self.classify(taken)

    def readout(self, taken: Tensor) -> Tensor:
        """Take the mean (or the last) of the steps' outputs, (n, ...), to scores (n, classes)."""
        return self.scores(taken if self.head == "per_step" else self.classify(taken))

    def admit(self, x: Tensor) -> Tensor:
        """Check frames (batch, time, ...) and bring them to the weights' device and dtype.

        Raises:
            ModelError: There is no step, or a frame has another shape than `input_shape`.
        """
        if x.ndim != 5 or x.shape[1] == 0 or tuple(x.shape[2:]) != self.input_shape:
            raise ModelError(
                f"{self.name} takes (batch, time, {', '.join(map(str, self.input_shape))}) with at "
                f"least one step, got {tuple(x.shape)}; bin the events to that size, build it with "
                "another `size`, or use `step` for a single frame"
            )
        return x.to(self.device, self.dtype, memory_format=torch.contiguous_format)

    def _advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        features, state = self.run(self.normalise(x), state)
        return (self.classify(features) if self.head == "per_step" else features), state

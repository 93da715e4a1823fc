"""What every network offers: one step, a loop of it, a head, and its state.

A network is stepped over a stream and never hides what it remembers: the membranes come in and go
out as a NamedTuple of tensors. With ``state = network.initial_state(batch)``:

- reset is that same line;
- a snapshot is ``[tensor.numpy().copy() for tensor in state]``;
- a restore is ``type(state)(*map(torch.from_numpy, arrays))``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from models.errors import ModelError

__all__ = ["Network"]

State = TypeVar("State", bound="tuple[Tensor, ...]")


class Network(nn.Module, ABC, Generic[State]):
    """Base of the networks; `State` is the subclass's NamedTuple of membranes.

    Attributes:
        name: Name in the registry, set by the subclass.
        options: The keyword arguments that build this network again, JSON values only.
        input_shape: (channels, height, width) of one step's input.
        reference_names: Parameter name prefix in BIDL's checkpoints -> prefix here.
    """

    name: ClassVar[str]
    reference_names: ClassVar[Mapping[str, str]] = {}
    options: dict[str, Any]
    input_shape: tuple[int, int, int]

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights, and so of the state and the outputs."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """Return the state at the start of a recording: every membrane at rest."""

    @abstractmethod
    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one step; `x` is checked and of the weights' dtype already."""

    def head(self, mean_features: Tensor) -> Tensor:
        """Turn the time mean of the step outputs into class scores, (batch, classes).

        The identity unless a network ends in fully connected layers after its SumLayer.
        """
        return mean_features

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one time step.

        Args:
            x: Frames of the step, (batch, channels, height, width), any real dtype.
            state: State left by the step before. It is not written to.

        Returns:
            The outputs, (batch, features), in the dtype of the weights, and the new state.

        Raises:
            ModelError: `x` has another shape than the network was built for.
        """
        if tuple(x.shape[1:]) != self.input_shape:
            raise ModelError(
                f"{self.name} takes (batch, {', '.join(map(str, self.input_shape))}) a step, got "
                f"{tuple(x.shape)}; bin the events to that size or build it with another `size`"
            )
        # Contiguous, so that a slice of a longer array gives the same bits as a lone frame.
        x = x.to(self.device, self.dtype, memory_format=torch.contiguous_format)
        return self.advance(x, state)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Advance over a stretch of time: a loop of `step`, to the bit.

        Args:
            x: Frames, (batch, time, channels, height, width), any real dtype.
            state: Where to start from; None starts a new recording.

        Returns:
            The outputs of every step, (batch, time, features), and the state after the last.
            The prediction is the argmax of ``head(outputs.mean(1))``.

        Raises:
            ModelError: `x` has no step, or another shape than the network was built for.
        """
        if x.ndim != 5 or x.shape[1] == 0:
            raise ModelError(
                f"{self.name} takes (batch, time, channels, height, width) with at least one "
                f"step, got {tuple(x.shape)}; use `step` for a single frame"
            )
        state = self.initial_state(len(x)) if state is None else state
        outputs = []
        for now in x.unbind(1):
            y, state = self.step(now, state)
            outputs.append(y)
        return torch.stack(outputs, 1), state

"""Aggregation: the outputs of many time steps become one prediction.

``mean`` over tumbling, sliding or running windows is the SumLayer of Lynxi's BIDL design text (sum
over T steps, divided by T); ``last`` takes the last of T steps. Sums are always taken over the same
outputs in the same order, so a prediction depends on nothing but its own windows.
"""

from collections.abc import Generator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.messages import Message, Outputs, Predictions, Span, Start, data
from pipeline.ports import OutputsPort, PredictionsPort
from pipeline.stage import Account, PortError, StageConfig, Transform

__all__ = ["Aggregate", "AggregateConfig", "AggregateState"]


class AggregateConfig(StageConfig):
    """Options of `aggregate`."""

    over: Literal["tumbling", "sliding", "running"] = "tumbling"
    """``tumbling``: every ``steps`` windows make one prediction; ``sliding``: the last ``steps``
    windows make one, each ``every`` windows; ``running``: all windows since the start do."""
    take: Literal["mean", "last"] = "mean"
    """Mean of the outputs, or the last one."""
    steps: int | None = Field(None, ge=1, le=1_000_000)
    """Windows to a prediction; what the model was trained for when left out."""
    every: int = Field(1, ge=1)
    """Windows between two predictions of ``sliding`` and ``running``."""
    mismatch: Literal["refuse", "allow"] = "refuse"
    """Whether another number of steps than the model was trained for is refused."""


class AggregateState(NamedTuple):
    """The outputs that predictions still need, since the start or the last reset.

    The rings are written to in place: window k, counted from the start or the last reset, is at
    place k modulo ``steps``.
    """

    stream: str
    epoch: int
    recent: NDArray[Any]
    """(steps, features) ring of the latest outputs; empty where no mean of them is taken."""
    starts_us: NDArray[np.int64]
    """(steps,) ring of the starts of the latest windows; empty for ``running``."""
    total: NDArray[np.float64] | float
    """Sum of all outputs, for ``running``."""
    first_us: int
    """Start of the first window."""
    taken: int
    """Windows since the start or the last reset."""
    made: int
    """Predictions of the whole recording."""
    due_before: int
    """Predictions that were due when the state was last reset; windows and unused likewise."""
    taken_before: int
    unused_before: int


class Aggregate(Transform[AggregateConfig, AggregateState]):
    """Turn the outputs of many time steps into predictions."""

    Config = AggregateConfig
    takes = (OutputsPort,)

    def port(self) -> PredictionsPort:
        """Hold T against what the model was trained for."""
        outputs, config = self._outputs, self.config
        if config.over == "running" and config.steps is not None:
            raise PortError("steps", f'has no meaning with over = "running", got {config.steps}')
        if config.over == "tumbling" and config.every != 1:
            raise PortError("every", f'has no meaning with over = "tumbling", got {config.every}')
        trained = outputs.trained_steps
        if config.over == "running" or (config.steps is None and trained is not None):
            return PredictionsPort(outputs.classes)
        if config.steps is None:
            raise PortError("steps", "is required: the model does not say what it was trained for")
        if trained is not None and config.steps != trained and config.mismatch == "refuse":
            raise PortError(
                "steps",
                f"the model was trained to be aggregated over {trained} steps, got {config.steps};"
                ' leave steps out, or set mismatch = "allow"',
            )
        return PredictionsPort(outputs.classes)

    def start(self, header: Start) -> AggregateState:
        """Return the state with nothing aggregated."""
        places = 0 if self.config.over == "running" else self._steps
        return AggregateState(
            stream=header.stream,
            epoch=header.epoch,
            recent=np.empty((0, 0), dtype=np.float32),
            starts_us=np.zeros(places, dtype=np.int64),
            total=0.0,
            first_us=0,
            taken=0,
            made=0,
            due_before=0,
            taken_before=0,
            unused_before=0,
        )

    def reset(self, state: AggregateState) -> AggregateState:
        """Forget the outputs so far; the counts go on."""
        return state._replace(
            total=0.0,
            taken=0,
            due_before=state.due_before + self._due(state.taken),
            taken_before=state.taken_before + state.taken,
            unused_before=state.unused_before + self._unused(state.taken),
        )

    def process(
        self, state: AggregateState, message: Message
    ) -> Generator[Message, None, AggregateState]:
        """Take the outputs of a run of windows; yield the predictions they complete."""
        header = message.header
        assert isinstance(header, Outputs)
        scores: list[NDArray[Any]] = []
        spans: list[Span] = []
        for k, output in enumerate(message.array):
            start_us, end_us = header.windows.span_us(k)
            state = self._take(state, output, start_us)
            if self._due(state.taken) == self._due(state.taken - 1):
                continue
            scores.append(self._score(state, output))
            running = self.config.over == "running"
            steps = state.taken if running else self._steps
            # The ring's next place holds its oldest window.
            first_us = state.first_us if running else int(state.starts_us[state.taken % steps])
            spans.append(
                Span(
                    window=header.windows.first + k,
                    t_start_us=first_us,
                    t_end_us=end_us,
                    steps=steps,
                    last_event_us=header.windows.last_event_us[k],
                    partial=header.windows.partial and k == len(message.array) - 1,
                )
            )
        if spans:
            state = state._replace(made=state.made + len(spans))
            yield data(
                Predictions,
                np.stack(scores),
                stream=state.stream,
                epoch=state.epoch,
                t_first_us=spans[0].t_start_us,
                t_last_us=spans[-1].t_end_us,
                by=self.name,
                classes=self._outputs.classes,
                spans=tuple(spans),
            )
        return state

    def account(self, state: AggregateState) -> Account:
        """Return windows aggregated, and predictions made and due."""
        taken = state.taken_before + state.taken
        unused = state.unused_before + self._unused(state.taken)
        return Account(
            taken=taken,
            used=taken - unused,
            made=state.made,
            unit_in="outputs",
            unit_out="predictions",
            refused={"in no prediction": unused},
            due=state.due_before + self._due(state.taken),
        )

    @property
    def _outputs(self) -> OutputsPort:
        (outputs,) = self.inputs
        assert isinstance(outputs, OutputsPort)
        return outputs

    @property
    def _steps(self) -> int:
        return self.config.steps or self._outputs.trained_steps or 1

    def _take(self, state: AggregateState, output: NDArray[Any], start_us: int) -> AggregateState:
        if not state.taken:
            state = state._replace(first_us=start_us)
        if self.config.over == "running":
            total = state.total + output.astype(np.float64)
            return state._replace(total=total, taken=state.taken + 1)
        place = state.taken % self._steps
        state.starts_us[place] = start_us
        if self.config.take == "mean":
            if not len(state.recent):
                ring = np.zeros((self._steps, *output.shape), dtype=output.dtype)
                state = state._replace(recent=ring)
            state.recent[place] = output
        return state._replace(taken=state.taken + 1)

    def _score(self, state: AggregateState, output: NDArray[Any]) -> NDArray[np.float32]:
        if self.config.take == "last":
            return np.array(output, dtype=np.float32)
        if self.config.over == "running":
            return np.asarray(state.total / state.taken, dtype=np.float32)
        oldest = state.taken % self._steps
        in_order = np.concatenate([state.recent[oldest:], state.recent[:oldest]])
        mean: NDArray[np.float64] = in_order.mean(axis=0, dtype=np.float64)
        return mean.astype(np.float32)

    def _due(self, taken: int) -> int:
        """Return how many predictions ``taken`` windows make."""
        config = self.config
        if config.over == "tumbling":
            return taken // self._steps
        if config.over == "running":
            return taken // config.every
        return 0 if taken < self._steps else (taken - self._steps) // config.every + 1

    def _unused(self, taken: int) -> int:
        """Return how many of ``taken`` windows are in no prediction."""
        made, config = self._due(taken), self.config
        if not made:
            return taken
        if config.over == "tumbling":
            return taken - made * self._steps
        if config.over == "running":
            return taken - made * config.every
        return taken - (self._steps + (made - 1) * min(config.every, self._steps))

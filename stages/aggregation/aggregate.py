"""Aggregation: the outputs of many time steps become one prediction.

``mean`` over tumbling, sliding or running windows is the SumLayer of Lynxi's BIDL design text (sum
over T steps, divided by T); ``last`` takes the last of T steps. What was taken goes through the
network's own head, where it has one (`models.network.Network.readout`), one prediction at a time.
A prediction is made of the outputs that came. Where overload has dropped windows or merged them it
reaches over a longer time, which its span tells, and what was lost is told once, by the first
prediction behind it (`pipeline.messages.Shed`).

Sums are in float64 and always over the same outputs in the same order, so a prediction depends on
nothing but its own windows.
"""

from collections.abc import Generator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.messages import Message, Outputs, Predictions, Span, Start, data
from pipeline.ports import OutputsPort, Port, PredictionsPort
from pipeline.stage import Account, PortError, StageConfig, Transform
from stages.aggregation.counting import Over, Rule
from stages.aggregation.head import Head
from stages.aggregation.weighing import faded_mean, fading, votes

__all__ = ["Aggregate", "AggregateConfig", "AggregateState"]

_UNUSED = "in no prediction"


class AggregateConfig(StageConfig):
    """Options of `aggregate`."""

    over: Over = "tumbling"
    """``tumbling``: every ``steps`` windows make one prediction; ``sliding``: the last ``steps``
    windows make one, each ``every`` windows; ``running``: all windows since the start do;
    ``recording``: all windows of a recording make one, at its end."""
    take: Literal["mean", "last", "vote", "exponential"] | None = None
    """Mean of the outputs; the last one; the share of the steps that each class wins; or a mean in
    which older outputs fade. What the model was trained for when left out."""
    steps: int | None = Field(None, ge=1, le=1_000_000)
    """Windows to a prediction; what the model was trained for when left out. With ``recording`` its
    first windows, all when left out; a recording that has fewer, or fewer than the model was
    trained for, gets its prediction all the same, marked partial."""
    every: int = Field(1, ge=1)
    """Windows between two predictions of ``sliding`` and ``running``."""
    decay: float | None = Field(None, gt=0, le=1)
    """With ``exponential``: by what an output's weight is multiplied at each further window."""
    time_constant_us: int | None = Field(None, gt=0)
    """With ``exponential``, instead of ``decay``: time in µs, from the start of one window to that
    of another, in which an output's weight fades to 1/e."""
    mismatch: Literal["refuse", "allow"] = "refuse"
    """Whether another number of steps than the model was trained for is refused."""


class Latest(NamedTuple):
    """The latest window that counts."""

    output: NDArray[Any]
    window: int
    start_us: int
    end_us: int
    last_event_us: int | None
    partial: bool


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
    """(steps,) ring of the starts of the latest windows; empty where all windows are taken."""
    total: NDArray[np.float64] | float
    """Sum of all outputs, each by its weight, where all windows are taken."""
    weight: float
    """Sum of their weights."""
    first_us: int
    """Start of the first window."""
    latest: Latest | None
    taken: int
    """Windows since the start or the last reset."""
    made: int
    """Predictions of the whole recording."""
    due_before: int
    """Predictions that were due when the state was last reset; windows and unused likewise."""
    taken_before: int
    unused_before: int
    ended: bool


class Aggregate(Transform[AggregateConfig, AggregateState]):
    """Turn the outputs of many time steps into predictions."""

    Config = AggregateConfig
    takes = (OutputsPort,)

    def __init__(self, name: str, config: AggregateConfig, inputs: Sequence[Port] = ()) -> None:
        """Keep the options; the head is loaded by `open`."""
        super().__init__(name, config, inputs)
        steps = config.steps if self._all else self._steps
        self._rule = Rule(config.over, steps, config.every)
        self._head = Head(None)

    def port(self) -> PredictionsPort:
        """Hold T against what the model was trained for."""
        config, trained = self.config, self._outputs.trained_steps
        features, classes = self._outputs.features, len(self._outputs.classes)
        if self._outputs.head is None and features not in (None, classes):
            raise PortError(
                "from", f"takes a score for each of {classes} classes, its input gives {features}"
            )
        if config.over == "running" and config.steps is not None:
            raise PortError("steps", f'has no meaning with over = "running", got {config.steps}')
        if config.over in ("tumbling", "recording") and config.every != 1:
            raise PortError(
                "every",
                f'has no meaning with over = "{config.over}", got {config.every}; set over ='
                ' "sliding", or leave it out',
            )
        self._check_fading()
        if config.steps is None:
            if trained is None and not self._all:
                raise PortError(
                    "steps", "is required: the model does not say what it was trained for"
                )
        elif trained not in (None, config.steps) and config.mismatch == "refuse":
            raise PortError(
                "steps",
                f"the model was trained to be aggregated over {trained} steps, got {config.steps};"
                ' leave steps out, or set mismatch = "allow"',
            )
        self._check_length()
        scores = "vote" if config.take == "vote" else self._outputs.scores
        return PredictionsPort(self._outputs.classes, scores, self._needs_us)

    def open(self) -> None:
        """Load the network whose head the predictions go through, if it has one."""
        self._head = Head(self._outputs.head)

    def start(self, header: Start) -> AggregateState:
        """Return the state with nothing aggregated."""
        return AggregateState(
            stream=header.stream,
            epoch=header.epoch,
            recent=np.empty((0, 0), dtype=np.float32),
            starts_us=np.zeros(0 if self._all else self._steps, dtype=np.int64),
            total=0.0,
            weight=0.0,
            first_us=0,
            latest=None,
            taken=0,
            made=0,
            due_before=0,
            taken_before=0,
            unused_before=0,
            ended=False,
        )

    def reset(self, state: AggregateState) -> AggregateState:
        """Forget the outputs so far; the counts go on."""
        return state._replace(
            total=0.0,
            weight=0.0,
            latest=None,
            taken=0,
            due_before=state.due_before + self._rule.due(state.taken),
            taken_before=state.taken_before + state.taken,
            unused_before=state.unused_before + self._rule.unused(state.taken),
        )

    def process(
        self, state: AggregateState, message: Message
    ) -> Generator[Message, None, AggregateState]:
        """Take the outputs of a run of windows; yield the predictions they complete."""
        header, last = message.header, len(message.array) - 1
        assert isinstance(header, Outputs)
        windows = header.windows
        made: list[tuple[NDArray[np.float32], Span]] = []
        for k, output in enumerate(message.array):
            partial = windows.partial and k == last
            span_us, last_event_us = windows.span_us(k), windows.last_event_us[k]
            latest = Latest(output, windows.number(k), *span_us, last_event_us, partial)
            state = self._take(state, latest)
            if self._rule.due(state.taken) > self._rule.due(state.taken - 1):
                made.append((self._scores(state), self._span(state)))
        return (yield from self._send(state, made))

    def finish(self, state: AggregateState) -> Generator[Message, None, AggregateState]:
        """Yield the prediction that a whole recording makes."""
        state = state._replace(ended=True)
        if self.config.over != "recording" or not state.taken:
            return state
        return (yield from self._send(state, [(self._scores(state), self._span(state))]))

    def account(self, state: AggregateState) -> Account:
        """Return windows aggregated, and predictions made and due."""
        taken = state.taken_before + state.taken
        unused = state.unused_before + self._rule.unused(state.taken, state.ended)
        return Account(
            taken=taken,
            used=taken - unused,
            made=state.made,
            unit_in="outputs",
            unit_out="predictions",
            refused={_UNUSED: unused},
            due=state.due_before + self._rule.due(state.taken, state.ended),
        )

    def waiting(self, state: AggregateState) -> dict[str, int]:
        """Return windows that wait for those which will make a prediction with them."""
        return {} if state.ended else {_UNUSED: self._rule.waiting(state.taken)}

    @property
    def _outputs(self) -> OutputsPort:
        (outputs,) = self.inputs
        assert isinstance(outputs, OutputsPort)
        return outputs

    @property
    def _steps(self) -> int:
        return self.config.steps or self._outputs.trained_steps or 1

    @property
    def _all(self) -> bool:
        """Whether a prediction is made of all windows since the start."""
        return self.config.over in ("running", "recording")

    def remarks(self, account: Account) -> list[str]:
        """Say what a prediction needs where none could be made."""
        if account.made or not account.taken:
            return []
        needed = self.config.every if self.config.over == "running" else self._steps
        length_us = self._outputs.step_us
        lasting = f", {needed * length_us / 1e6:g} s," if length_us else ""
        return [
            f"a prediction needs {needed} windows{lasting} of one recording, and there were fewer:"
            ' over = "recording", with every = 1, makes one of what there is, marked partial'
        ]

    @property
    def _needs_us(self) -> int | None:
        """How long a recording is in which the window that makes the first prediction begins."""
        step_us, over = self._outputs.step_us, self.config.over
        if step_us is None or self._outputs.steps is not None:
            return None
        needed = {"recording": 1, "running": self.config.every}.get(over, self._steps)
        return (needed - 1) * step_us

    @property
    def _how(self) -> str:
        return self.config.take or self._head.take

    def _check_length(self) -> None:
        """Refuse recordings that are known to be too short for a single prediction."""
        length = self._outputs.steps
        if length is not None and not self._rule.due(length, ended=True):
            key = "every" if self.config.over == "running" else "steps"
            needed = self.config.every if key == "every" else self._steps
            raise PortError(
                key,
                f"a prediction needs {needed} steps, and each recording has {length}, so that none"
                f" would ever be made; give recordings {needed} steps (`count` of the stage steps,"
                ' `steps` or `slices` of others), or set over = "recording"',
            )

    def _check_fading(self) -> None:
        decay, constant = self.config.decay, self.config.time_constant_us
        if self.config.take != "exponential":
            for key, value in (("decay", decay), ("time_constant_us", constant)):
                if value is not None:
                    raise PortError(
                        key, f'has no meaning without take = "exponential", got {value}'
                    )
        elif (decay is None) == (constant is None):
            raise PortError(
                "take", '"exponential" needs one of decay and time_constant_us, and not both'
            )

    def _take(self, state: AggregateState, latest: Latest) -> AggregateState:
        before, taken = state.latest, state.taken
        if self._all and self._rule.first(taken + 1) <= taken:
            return state._replace(taken=taken + 1)  # a whole recording's prediction has its windows
        if self._how == "vote":
            latest = latest._replace(output=votes(self._head.scores(latest.output)))
        first_us = state.first_us if taken else latest.start_us
        state = state._replace(first_us=first_us, latest=latest, taken=taken + 1)
        if self._all:
            fade = 1.0 if before is None else self._fading(1, latest.start_us - before.start_us)
            return state._replace(
                total=state.total * fade + latest.output.astype(np.float64),
                weight=state.weight * fade + 1,
            )
        place = taken % self._steps
        state.starts_us[place] = latest.start_us
        if self._how != "last":
            if not len(state.recent):
                ring = np.zeros((self._steps, *latest.output.shape), dtype=latest.output.dtype)
                state = state._replace(recent=ring)
            state.recent[place] = latest.output
        return state

    def _fading(self, windows: int, age_us: int) -> float:
        """Return the weight of an output that is so much older than the latest."""
        if self._how != "exponential":
            return 1.0
        return fading(self.config.decay, self.config.time_constant_us, windows, age_us)

    def _scores(self, state: AggregateState) -> NDArray[np.float32]:
        """Return the class scores of the windows taken, (classes,)."""
        assert state.latest is not None
        taken = state.latest.output if self._how == "last" else self._mean(state)
        return taken.astype(np.float32) if self._how == "vote" else self._head.scores(taken)

    def _mean(self, state: AggregateState) -> NDArray[np.float64]:
        if self._all:
            return np.asarray(state.total / state.weight)
        oldest = state.taken % self._steps
        in_order = np.concatenate([state.recent[oldest:], state.recent[:oldest]])
        if self._how != "exponential":
            mean: NDArray[np.float64] = in_order.mean(axis=0, dtype=np.float64)
            return mean
        ages_us = state.starts_us[oldest - 1] - np.roll(state.starts_us, -oldest)
        older = range(self._steps - 1, -1, -1)
        weights = [self._fading(*age) for age in zip(older, ages_us.tolist(), strict=True)]
        return faded_mean(in_order, weights)

    def _span(self, state: AggregateState) -> Span:
        latest, over = state.latest, self.config.over
        assert latest is not None
        steps = self._rule.first(state.taken) if self._all else self._steps
        partial = steps < self._steps if over == "recording" else latest.partial
        # The ring's next place holds its oldest window.
        oldest_us = state.first_us if self._all else state.starts_us[state.taken % self._steps]
        return Span(
            window=latest.window,
            t_start_us=int(oldest_us),
            t_end_us=latest.end_us,
            steps=steps,
            last_event_us=latest.last_event_us,
            partial=partial,
        )

    def _send(
        self, state: AggregateState, made: list[tuple[NDArray[np.float32], Span]]
    ) -> Generator[Message, None, AggregateState]:
        if not made:
            return state
        scores, spans = zip(*made, strict=True)
        yield data(
            Predictions,
            np.stack(scores),
            stream=state.stream,
            epoch=state.epoch,
            t_first_us=spans[0].t_start_us,
            t_last_us=spans[-1].t_end_us,
            by=self.table,
            classes=self._outputs.classes,
            spans=spans,
        )
        return state._replace(made=state.made + len(made))

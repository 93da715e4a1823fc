"""The work: recordings through the stages, several at a time, by an engine.

A recording is played as training plays it (`stages.datasets.frames.recorded`), and goes through the
very stages of a run (`pipeline.offline.Chain`), which each worker opens once.
"""

import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import Any

import numpy as np
from msgspec import structs

from pipeline.errors import ConfigError, PipelineError, StageError
from pipeline.messages import Data, Events, Message, Outputs, Predictions
from pipeline.offline import Chain
from pipeline.ports import Port
from pipeline.stage import PortError, Transform
from stages.aggregation.aggregate import Aggregate
from stages.batch import Engine, Work
from stages.datasets.cache import paths_in
from stages.datasets.data_set import Item
from stages.datasets.frames import Recorded, recorded, source_of
from stages.evaluation.plan import Plan
from stages.evaluation.results import Result

__all__ = ["Evaluation", "Evaluator", "Numbered", "evaluated", "port_of"]

Numbered = tuple[int, Item]
"""An item, and which of all it is."""

_ITEMS_A_JOB = 4
"""What a kill may cost each worker."""


class Evaluator:
    """Evaluates recordings one after another; a context manager.

    Args:
        plan: the stages.
        labels: for each class of the data which of the model's it is.
    """

    def __init__(self, plan: Plan, labels: Sequence[int]) -> None:
        self._plan, self._labels = plan, labels
        self._opened = ExitStack()
        self._rows: dict[Port | None, _Row] = {}
        self._is_warm = False

    def __enter__(self) -> "Evaluator":
        """Begin; stages are opened when the first recording that they fit comes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the stages."""
        self._opened.close()

    def results(self, numbered: Sequence[Numbered]) -> Iterator[Result]:
        """Yield a result for each item, in their order.

        Raises:
            ConfigError: an item cannot be played, or the stages do not fit it.
            RecordingError: a recording cannot be read.
            StageError: a stage failed.
        """
        items = [self._plan.played(item) for _, item in numbered]
        since = time.perf_counter()
        for (number, item), one in zip(numbered, recorded(items), strict=True):
            begun = time.perf_counter()
            row = self._row(one.item)
            since += time.perf_counter() - begun  # to open stages is no recording's work
            try:
                found = row.result(number, one, self._labels[item.label])
            except Exception as error:
                raise _failed(item.key, error) from error
            seconds, first = time.perf_counter() - since, not self._is_warm
            self._is_warm = True
            yield structs.replace(found, seconds=seconds, first=first)
            since = time.perf_counter()

    def _row(self, item: Item) -> "_Row":
        port = port_of(item)
        if port not in self._rows:
            self._rows[port] = self._opened.enter_context(_Row(self._plan.build(port)))
        return self._rows[port]


class _Row:
    """The open stages, and beside the decision one that is asked after each step."""

    def __init__(self, stages: Sequence[Transform[Any, Any]]) -> None:
        *front, decision = stages
        self._front, self._decision = Chain(front), Chain([decision])
        self._running = Chain([_after_each_step(decision)])
        self._opened = ExitStack()

    def __enter__(self) -> "_Row":
        for chain in (self._front, self._decision, self._running):
            self._opened.enter_context(chain)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def result(self, number: int, one: Recorded, label: int) -> Result:
        """Send one recording through."""
        arrived = list(self._front.send(one.messages))
        made = _predictions(self._decision.send(arrived))
        steps = _predictions(self._running.send(arrived))
        scores = [row for message in made for row in message.array]
        if not all(np.isfinite(row).all() for row in scores):
            raise StageError("class scores must be finite; check the weights")
        spans = [span for message in steps for span in _header(message).spans]
        starts = [message.header for message in arrived if isinstance(message.header, Outputs)]
        begin_us = starts[0].windows.span_us(0)[0] if starts else 0
        events = [message for message in one.messages if isinstance(message.header, Data)]
        headers = [message.header for message in events if isinstance(message.header, Data)]
        accounts = {**self._front.accounts(), **self._decision.accounts()}
        refused = Counter(one.refused)
        for account in accounts.values():
            for why, count in account.refused.items():
                refused[f"{account.unit_in} {why}"] += count
        return Result(
            item=number,
            key=one.item.key,
            label=label,
            scores=scores[-1].astype(float).tolist() if scores else None,
            predictions=len(scores),
            right=sum(int(row.argmax()) == label for row in scores),
            decisions=[int(row.argmax()) for message in steps for row in message.array],
            ends_us=[span.t_end_us - begin_us for span in spans],
            events=sum(len(m.array) for m in events if isinstance(m.header, Events)),
            span_us=headers[-1].t_last_us - headers[0].t_first_us if headers else 0,
            seconds=0.0,
            counts={name: account.counts for name, account in accounts.items() if account.counts},
            refused={why: count for why, count in refused.items() if count},
        )


class _Unexpected(StageError):
    """A bug, and where; ``details`` is the traceback."""

    details = ""


def _failed(key: str, error: Exception) -> Exception:
    """Return an error that names the recording."""
    if isinstance(error, PipelineError):
        return type(error)(f"{key}: {error}")
    found = _Unexpected(f"{key}: unexpected {type(error).__name__}: {error}")
    found.details = "".join(traceback.format_exception(error))
    return found


def port_of(item: Item) -> Port | None:
    """Return what the source of an item gives.

    Raises:
        ConfigError: it cannot be played.
    """
    try:
        return source_of(item).port()
    except PortError as error:
        raise ConfigError(f"--data: {item.key}: {error.key}: {error}") from None


class Evaluation(Work[Sequence[Numbered], Result]):
    """Recordings through the stages of a pipeline, as work of an engine.

    Args:
        plan: the stages.
        labels: for each class of the data which of the model's it is.
    """

    def __init__(self, plan: Plan, labels: Sequence[int]) -> None:
        self._plan, self._labels = plan, labels
        self._evaluator: Evaluator | None = None

    def open(self) -> None:
        """Begin; see `Evaluator`."""
        self._evaluator = Evaluator(self._plan, self._labels).__enter__()

    def close(self) -> None:
        """Close the stages."""
        if self._evaluator is not None:
            self._evaluator.__exit__()

    def do(self, task: Sequence[Numbered]) -> Iterator[Result]:
        """Evaluate some recordings."""
        assert self._evaluator is not None
        return self._evaluator.results(task)

    def called(self, task: Sequence[Numbered]) -> str:
        """Return the names of the recordings."""
        return ", ".join(item.key for _, item in task)

    def files(self) -> Iterator[str]:
        """Return what the stages read: weights, and whatever else their options name."""
        for stage in self._plan.stages:
            yield from paths_in(stage.options)

    def reads(self, task: Sequence[Numbered]) -> Iterator[str]:
        """Return the files of the recordings."""
        for _, item in task:
            yield from paths_in(self._plan.played(item).source)


def evaluated(
    plan: Plan, labels: Sequence[int], waiting: Sequence[Numbered], engine: Engine
) -> Iterator[Result]:
    """Yield a result for each item, in no order, from workers that work side by side.

    Raises:
        ConfigError: see `Evaluator.results`.
        RecordingError: a recording cannot be read.
        StageError: a stage failed, or workers are lost again and again.
    """
    yield from engine.map(Evaluation(plan, labels), _jobs(waiting))


def _jobs(waiting: Sequence[Numbered]) -> list[list[Numbered]]:
    """Deal out items.

    Those of a source with many recordings, as a file of texts, stay together: it is played once.
    Stretches of one recording do not: it is read again for each job, and less is lost by a kill.
    """
    jobs: list[list[Numbered]] = []
    for _, group in groupby(waiting, key=lambda one: one[1].source):
        sharing = list(group)
        most = len(sharing) if any(item.recording for _, item in sharing) else _ITEMS_A_JOB
        for begin in range(0, len(sharing), most):
            if not jobs or len(jobs[-1]) >= _ITEMS_A_JOB:
                jobs.append([])
            jobs[-1] += sharing[begin : begin + most]
    return jobs


def _after_each_step(decision: Transform[Any, Any]) -> Transform[Any, Any]:
    """Return a stage that decides as this one would, after each step, by all steps until then.

    Of another stage than `aggregate` nothing is known: it is asked when it decides itself.
    """
    if not isinstance(decision, Aggregate):
        return type(decision)(decision.name, decision.config, decision.inputs)
    changed = {"over": "running", "every": 1, "steps": None}
    config = decision.config.model_copy(update=changed)
    running = Aggregate(decision.name, config, decision.inputs)
    running.port()
    return running


def _predictions(messages: Iterable[Message]) -> list[Message]:
    return [message for message in messages if isinstance(message.header, Predictions)]


def _header(message: Message) -> Predictions:
    assert isinstance(message.header, Predictions)
    return message.header

"""Stages without queues: a source and what follows it, run in the caller's own process.

It drives the same stages with the same messages as the runner does, so its results are those of a
live run; training, evaluation and tests use it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Self

from pipeline.messages import EndStream, Message, control
from pipeline.stage import Account, Source, Transform

__all__ = ["Chain", "play", "run_chain"]


def play(source: Source[Any, Any]) -> Iterator[Message]:
    """Yield all messages of a source, the end of the stream included; it is not paced."""
    source.open()
    try:
        for played in source.play(source.initial_state()):
            yield from played.messages
    finally:
        source.close()
    yield control(EndStream(stream=source.name))


def run_chain(
    messages: Iterable[Message],
    stages: Sequence[Transform[Any, Any]],
    accounts: dict[str, Account] | None = None,
) -> Iterator[Message]:
    """Send messages through stages that stand in a row; yield what the last puts out.

    Args:
        messages: what the first takes.
        stages: in their order.
        accounts: when all is through, gets each stage's account of the last recording.
    """
    with Chain(stages) as chain:
        yield from chain.send(messages)
        if accounts is not None:
            accounts.update(chain.accounts())


class Chain:
    """Stages that stand in a row, opened once for as many recordings as one likes.

    A context manager: the stages are open within it.

    Args:
        stages: in their order.
    """

    def __init__(self, stages: Sequence[Transform[Any, Any]]) -> None:
        self._stages = stages
        self._states: list[Any] = [None] * len(stages)
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        """Open the stages."""
        with ExitStack() as opened:
            for stage in self._stages:
                stage.open()
                opened.callback(stage.close)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the stages, the last first."""
        self._opened.close()

    def send(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Send messages through, one by one as they are asked for; yield what the last puts out."""
        flow: Iterator[Message] = iter(messages)
        for number in range(len(self._stages)):
            flow = self._through(number, flow)
        return flow

    def accounts(self) -> dict[str, Account]:
        """Return each stage's account of the latest recording, by its name."""
        states = zip(self._stages, self._states, strict=True)
        return {stage.name: stage.account(state) for stage, state in states if state is not None}

    def _through(self, number: int, messages: Iterator[Message]) -> Iterator[Message]:
        for message in messages:
            stage, state = self._stages[number], self._states[number]
            self._states[number] = yield from stage.step(state, message)

"""Stages without queues: a source and what follows it, run in the caller's own process.

It drives the same stages with the same messages as the runner does, so its results are those of a
live run; training, evaluation and tests use it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from pipeline.messages import EndStream, Message, control
from pipeline.stage import Account, Source, Transform

__all__ = ["play", "run_chain"]


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
    with ExitStack() as opened:
        for stage in stages:
            stage.open()
            opened.callback(stage.close)
        flow: Iterator[Message] = iter(messages)
        for stage in stages:
            flow = _through(stage, flow, accounts)
        yield from flow


def _through(
    stage: Transform[Any, Any], messages: Iterator[Message], accounts: dict[str, Account] | None
) -> Iterator[Message]:
    state: Any = None
    for message in messages:
        state = yield from stage.step(state, message)
    if accounts is not None and state is not None:
        accounts[stage.name] = stage.account(state)

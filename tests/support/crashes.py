"""Sinks that die: a process is killed behind a checkpoint, another goes on from there."""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from pipeline.checkpoint.snapshot import classes_of, pack, unpack
from pipeline.messages import Message
from pipeline.stage import Sink

__all__ = ["Saved", "after_crash", "deliver", "dies", "undisturbed"]


class Saved(NamedTuple):
    """What a checkpoint keeps of a sink."""

    delivered: int
    """Messages before it."""
    state: bytes
    position: bytes


def deliver(stage: Sink[Any, Any], state: Any, messages: Sequence[Message]) -> Any:
    """Let a sink take messages; return its state."""
    for message in messages:
        turn = stage.step(state, message)
        try:
            while True:
                next(turn)
        except StopIteration as end:
            state = end.value
    return state


def undisturbed(make: Callable[[], Sink[Any, Any]], messages: Sequence[Message]) -> None:
    """Let a sink take all messages, as in a run that nothing happens to."""
    stage = make()
    stage.port()
    stage.open()
    deliver(stage, None, messages)
    stage.close()


def dies(
    make: Callable[[], Sink[Any, Any]],
    messages: Sequence[Message],
    checkpoints: Sequence[int],
    closes: bool = False,
    within_s: float = 0.0,
    saved: Saved | None = None,
) -> list[Saved]:
    """Let a sink take messages in a process that is killed at the end, or earlier; return its past.

    Args:
        make: makes the sink.
        messages: what it takes before it dies.
        checkpoints: before which messages to make one; there is always one at the start.
        closes: whether it closes before it dies, as where another stage is what crashes.
        within_s: when to kill it, wherever it is then; 0: at the end.
        saved: where to go on from.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            # Killed by the alarm as it would be by SIGKILL: nothing of ours runs any more.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, within_s)
            with os.fdopen(writing, "wb", buffering=0) as pipe:
                _live(make, messages, checkpoints, closes, saved, pipe.write)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    past: list[Saved] = []
    with os.fdopen(reading, "rb") as pipe:
        whole = pipe.read()
    os.waitpid(child, 0)
    while whole:
        size = int.from_bytes(whole[:4], "little")
        if len(whole) < 4 + size:
            break
        past.append(msgspec.msgpack.decode(whole[4 : 4 + size], type=Saved))
        whole = whole[4 + size :]
    return past


def after_crash(
    make: Callable[[], Sink[Any, Any]], saved: Saved, messages: Sequence[Message]
) -> None:
    """Let a new sink go on from a checkpoint to the end of the messages."""
    stage = make()
    try:
        deliver(stage, _reopen(stage, saved), messages[saved.delivered :])
    except BaseException:
        with suppress(Exception):
            stage.close()
        raise
    stage.close()


def _reopen(stage: Sink[Any, Any], saved: Saved) -> Any:
    stage.resumes = True
    stage.port()
    stage.open()
    classes = classes_of(type(stage))
    stage.rewind(unpack(saved.position, classes))
    state = unpack(saved.state, classes)
    return None if state is None else stage.restore(state)


def _live(
    make: Callable[[], Sink[Any, Any]],
    messages: Sequence[Message],
    checkpoints: Sequence[int],
    closes: bool,
    saved: Saved | None,
    tell: Callable[[bytes], Any],
) -> None:
    stage, state, begin = make(), None, 0
    if saved is None:
        stage.port()
        stage.open()
    else:
        state, begin = _reopen(stage, saved), saved.delivered
    for number in range(begin, len(messages) + 1):
        if number in checkpoints or (number == 0 and saved is None):
            snapshot = None if state is None else stage.snapshot(state)
            raw = msgspec.msgpack.encode(Saved(number, pack(snapshot), pack(stage.commit())))
            tell(len(raw).to_bytes(4, "little") + raw)
        state = deliver(stage, state, messages[number : number + 1])
    if closes:
        stage.close()

"""What works inside the double of a KA200: streams, the chip's computing, and when each did what.

A stream does what is queued in it, in order. It only hands steps to the chip, which computes beside
it: so a copy that is queued behind a step need not wait until that is computed.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["PATIENCE_S", "Log", "Model", "Moment", "Step", "Stream"]

PATIENCE_S = 20.0


class Moment(NamedTuple):
    """``copy in``, ``compute`` or ``copy back``, the how manieth, and whether it begins or ends."""

    what: str
    number: int
    ends: bool


class Log:
    """When what began and ended, in order; threads can wait for it."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self._changed = threading.Condition()

    def add(self, what: str, number: int, ends: bool) -> None:
        with self._changed:
            self.moments.append(Moment(what, number, ends))
            self._changed.notify_all()

    def has_ended(self, what: str, number: int, within_s: float) -> bool:
        """Wait until something has ended; tell whether it has."""
        wanted = Moment(what, number, True)
        with self._changed:
            return self._changed.wait_for(lambda: wanted in self.moments, within_s)

    def place(self, what: str, number: int, ends: bool) -> int:
        return self.moments.index(Moment(what, number, ends))


class Stream(threading.Thread):
    """Does what is put into it, in order.

    Args:
        broken: Where errors are written.
    """

    def __init__(self, broken: list[str]) -> None:
        super().__init__(daemon=True)
        self._todo = queue.SimpleQueue[tuple[Callable[[], object], Callable[[], object]] | None]()
        self._put = self._done = 0  # each is counted by one thread only
        self._broken = broken
        self.start()

    @property
    def waiting(self) -> int:
        return self._put - self._done

    def put(self, action: Callable[[], object], then: Callable[[], object] = bool) -> None:
        self._put += 1
        self._todo.put((action, then))

    def end(self) -> None:
        self._todo.put(None)

    def run(self) -> None:
        while (queued := self._todo.get()) is not None:
            action, then = queued
            try:
                action()
            except Exception as error:
                self._broken.append(f"in a stream: {error!r}")
            self._done += 1
            then()


class Step(NamedTuple):
    """What the chip is given to compute.

    Attributes:
        frame: The input, in the chip's memory.
        made: Where the output goes.
        compute: Input -> output.
    """

    frame: memoryview
    made: int
    compute: Callable[[bytes], bytes]


class Model:
    """A network on the chip: computes step after step, beside the streams.

    Attributes:
        network: What computes.
        made: Outputs that nobody received yet, each with the place for it.
        sent, received: Calls.
    """

    def __init__(self, network: Any, broken: list[str]) -> None:
        self.network = network
        self.made = queue.SimpleQueue[tuple[int, bytes]]()
        self.sent = self.received = 0
        self._steps: list[Step] = []
        self._computing = self._ended = False
        self._changed = threading.Condition()
        self._broken = broken
        self._thread = threading.Thread(target=self._compute, daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        with self._changed:
            return not self._steps and not self._computing

    def give(self, step: Step) -> None:
        """Hand over a step, to be computed behind the others."""
        with self._changed:
            self._steps.append(step)
            self._changed.notify_all()

    def reads(self, region: memoryview) -> bool:
        """Whether a step has yet to read something of a buffer."""
        with self._changed:
            return any(step.frame.obj is region.obj for step in self._steps)

    def all_read(self) -> bool:
        """Wait until the input of every step was read; tell whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._steps, PATIENCE_S)

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _compute(self) -> None:
        while (taken := self._next()) is not None:
            step, frame = taken
            try:
                self.made.put((step.made, step.compute(frame)))
            except Exception as error:
                self._broken.append(f"on the chip: {error!r}")
            with self._changed:
                self._computing = False

    def _next(self) -> tuple[Step, bytes] | None:
        """Wait for a step and read its input."""
        with self._changed:
            self._changed.wait_for(lambda: self._steps or self._ended)
            if not self._steps:
                return None
            self._computing = True
            step = self._steps.pop(0)
            self._changed.notify_all()
            return step, bytes(step.frame)

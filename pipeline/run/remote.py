"""Steering a run from Python: pause, single step, resume, stop."""

import queue

from pipeline.run.control import Pause, Resume, Step, Stop, ToWorker

__all__ = ["Remote"]


class Remote:
    """Steers a run from another thread: pause, single step, resume, stop.

    Hand it to `run_pipeline`. What is asked for before the run has started is done when it does,
    so that a run can start paused. A turn of a source is one batch of its events, or a millisecond
    of them where it is paced.
    """

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[ToWorker] = queue.SimpleQueue()

    def pause(self) -> None:
        """Let nothing more leave the sources; what is on its way is worked on."""
        self._orders.put(Pause())

    def step(self, turns: int = 1) -> None:
        """Pause, and let so many further turns leave each source."""
        if turns < 1:
            raise ValueError(f"turns must be >= 1, got {turns}")
        self._orders.put(Step(turns))

    def resume(self) -> None:
        """Let the sources play on; their clocks go on from where they were."""
        self._orders.put(Resume())

    def stop(self) -> None:
        """End the run as Ctrl-C does: sources stop, what is on its way is worked on."""
        self._orders.put(Stop())

    def next_order(self) -> ToWorker | None:
        """Return the oldest order that was not carried out, None if there is none."""
        try:
            return self._orders.get_nowait()
        except queue.Empty:
            return None

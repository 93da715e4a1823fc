"""What a stage shows of itself, asked for now and then in its own thread."""

import time
from collections.abc import Callable
from typing import Any

from pipeline.observe.tap import Tap
from pipeline.run.pulse import Pulse
from pipeline.stage import Source, Transform

__all__ = ["Gauges"]

_PERIOD_NS = 500_000_000


class Gauges:
    """Asks a stage for its gauges, twice a second at most, and only while somebody looks.

    Args:
        stage: what is asked; told whether it is watched.
        pulse: what is told.
        tap: knows who looks; without one nobody does.
    """

    def __init__(
        self, stage: Source[Any, Any] | Transform[Any, Any], pulse: Pulse, tap: Tap | None
    ) -> None:
        self._stage, self._pulse, self._tap = stage, pulse, tap
        self._next_ns = 0

    def ask(
        self, state: Any, refused: Callable[[], dict[str, int]], speed: float | None = None
    ) -> None:
        """Ask, if it is time to.

        Args:
            state: the stage's, after a message or turn.
            refused: tells what it will never use of all that it took in, by reason.
            speed: how fast a source plays now.
        """
        now_ns = time.monotonic_ns()
        if now_ns < self._next_ns or state is None:
            return
        self._next_ns = now_ns + _PERIOD_NS
        stage, pulse = self._stage, self._pulse
        pulse.refused = refused()
        stage.watched = self._tap is not None and self._tap.watched
        gauges = stage.gauges(state) if stage.watched else {}
        if speed is not None:
            gauges = {"speed": speed, **gauges}
        pulse.gauges = gauges

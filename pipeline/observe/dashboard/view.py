"""What is known of a run, gathered from what it tells and shows; nothing here reads a clock."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from pipeline.messages import Data, Predictions, Start
from pipeline.observe.attach import News, Shown
from pipeline.observe.dashboard.image import EventImage
from pipeline.observe.status import EdgeStatus, RunStatus, StageStatus
from pipeline.report import QueueCount
from pipeline.scores import share

__all__ = ["Decision", "Rates", "View"]

_RATE_S = 2.0
"""Rates are of so long."""
_SAMPLE_S = 0.5
_REMEMBERED = 2000


class Decision(NamedTuple):
    """A stretch of predictions of one class, in event time."""

    class_: int
    start_us: int
    end_us: int


class Rates(NamedTuple):
    """What a stage does in a second."""

    busy: float
    """Share of the time that it works."""
    taken: float
    made: float
    blocked: float
    """Share of the time that it stands before a full queue."""


class View:
    """A run as it was last heard of.

    Attributes:
        status: the last, None before the first.
        image: what the stage `pictured` put out.
        start: of the recording that is played, None until it is seen.
        classes: names of the classes.
        shares: how much of its bar each class fills, 0 to 1, as of the last prediction.
        scores: of each class.
        decisions: stretches of the same class, the last one still going on.
        line: the class of each prediction seen, oldest first.
        event_rates: `events_per_s` as it was, every half second.
        notice: what is told at the bottom.
    """

    def __init__(self) -> None:
        self.status: RunStatus | None = None
        self.image = EventImage()
        self.start: Start | None = None
        self.classes: tuple[str, ...] = ()
        self.shares: Sequence[float] = ()
        self.scores: Sequence[float] = ()
        self.decisions: deque[Decision] = deque(maxlen=_REMEMBERED)
        self.line: deque[int] = deque(maxlen=_REMEMBERED)
        self.event_rates: deque[float] = deque(maxlen=_REMEMBERED)
        self.notice = ""
        self._history: deque[RunStatus] = deque()
        self._picture = 0
        self._sampled_s = 0.0

    def take(self, news: News) -> None:
        """Take in what came."""
        if isinstance(news, RunStatus):
            self._take_status(news)
            return
        message = news.message
        if isinstance(message.header, Start):
            self._take_start(news, message.header)
        elif isinstance(message.header, Predictions) and news.stage == self.decided:
            self._take_predictions(message.header, message.array)
        elif isinstance(message.header, Data) and news.stage == self.pictured:
            self.image.take(message)

    def fade(self, now_s: float) -> None:
        """Let the picture fade up to a monotonic moment; where nothing is played, it stays."""
        playing = self.status is None or self.status.state not in ("paused", "over", "gone")
        over = bool(self.sources) and all(source.over for source in self.sources)
        self.image.fade(now_s, stays=over or not playing)

    def lose(self) -> None:
        """The run is there no more, and has not said how it ended: it was killed."""
        if self.status is not None:
            self.status = msgspec.structs.replace(self.status, state="gone")

    @property
    def over(self) -> bool:
        """Whether the run has ended, and said so."""
        return self.status is not None and self.status.state == "over"

    @property
    def pictures(self) -> list[str]:
        """The stages whose events, or frames where there are none, can be drawn."""
        return self._senders("events") or self._senders("frames")

    @property
    def pictured(self) -> str | None:
        """The stage whose events or frames are drawn."""
        choice = self.pictures
        return choice[self._picture % len(choice)] if choice else None

    def picture_next(self) -> None:
        """Draw what another stage puts out."""
        self._picture += 1
        self.image = EventImage()

    @property
    def decided(self) -> str | None:
        """The stage whose predictions are shown: that of a `dashboard`, or the first."""
        choice = [edge for edge in self._edges() if edge.kind == "predictions"]
        choice.sort(key=lambda edge: edge.use != "dashboard")
        return choice[0].sender if choice else None

    @property
    def gauged(self) -> set[str]:
        """The stages that may have gauges: all with a tap."""
        return set() if self.status is None else {edge.sender for edge in self.status.edges}

    @property
    def sources(self) -> list[StageStatus]:
        """The stages that nothing feeds."""
        if self.status is None:
            return []
        fed = {edge.receiver for edge in self.status.edges}
        return [stage for stage in self.status.stages if stage.name not in fed]

    @property
    def speed(self) -> float | None:
        """How fast the sources play, 0 as fast as possible; None if they do not say."""
        speeds = [s.gauges["speed"] for s in self.sources if "speed" in s.gauges]
        return min(speeds, default=None)

    @property
    def events_per_s(self) -> float | None:
        """Events that all sources send; None where they send no events."""
        kinds = {edge.sender for edge in self._edges() if edge.kind == "events"}
        sending = [stage for stage in self.sources if stage.name in kinds]
        return sum(self.rates(stage).made for stage in sending) if sending else None

    def rates(self, stage: StageStatus) -> Rates:
        """Return what a stage did lately, in a second."""
        if len(self._history) < 2:
            return Rates(0, 0, 0, 0)
        first, last = self._history[0], self._history[-1]
        seconds = max(last.at_s - first.at_s, 1e-3)
        before, after = (
            next((each for each in status.stages if each.name == stage.name), None)
            for status in (first, last)
        )
        if before is None or after is None:
            return Rates(0, 0, 0, 0)
        return Rates(
            busy=min(1.0, (after.worked_s - before.worked_s) / seconds),
            taken=(_taken(after) - _taken(before)) / seconds,
            made=(_made(after) - _made(before)) / seconds,
            blocked=min(1.0, (_blocked_s(after) - _blocked_s(before)) / seconds),
        )

    def totals(self, stage: StageStatus) -> tuple[int, int]:
        """Return the units that a stage took in and put out so far."""
        return _taken(stage), _made(stage)

    def edges_into(self, stage: str) -> list[EdgeStatus]:
        """Return the queues before a stage."""
        return [edge for edge in self._edges() if edge.receiver == stage]

    def gauges(self, which: str) -> dict[str, float]:
        """Return a gauge of each part that has one, such as ``firing`` of each layer."""
        stages = () if self.status is None else self.status.stages
        return {
            name.removeprefix(f"{which}: "): value
            for stage in stages
            for name, value in stage.gauges.items()
            if name.startswith(f"{which}: ")
        }

    def _edges(self) -> Sequence[EdgeStatus]:
        return () if self.status is None else self.status.edges

    def _senders(self, kind: str) -> list[str]:
        """Return who sends what, each once, the last in the graph first."""
        senders = dict.fromkeys(edge.sender for edge in self._edges() if edge.kind == kind)
        return list(senders)[::-1]

    def _take_status(self, status: RunStatus) -> None:
        if self.status is not None and status.at_s < self.status.at_s:
            return
        self.status = status
        if not status.stages:
            self._history.clear()
        # After a restart counts go on from less.
        if self._history and _work(status) < _work(self._history[-1]):
            self._history.clear()
        # What there was last is still told when it is over.
        if self.over or (status.stages and all(stage.over for stage in status.stages)):
            return
        self._history.append(status)
        while status.at_s - self._history[0].at_s > _RATE_S:
            self._history.popleft()
        rate = self.events_per_s
        if (
            rate is not None
            and len(self._history) > 1
            and status.at_s >= self._sampled_s + _SAMPLE_S
        ):
            self._sampled_s = status.at_s
            self.event_rates.append(rate)

    def _take_start(self, news: Shown, start: Start) -> None:
        if news.stage == self.pictured:
            self.image.resize(start.width, start.height)
        if self.start is None or start.epoch != self.start.epoch:
            self.start = start
            self.decisions.clear()

    def _take_predictions(self, header: Predictions, array: np.ndarray) -> None:
        self.classes = header.classes
        for span, scores in zip(header.spans, array, strict=True):
            best = int(np.argmax(scores))
            self.line.append(best)
            last = self.decisions[-1] if self.decisions else None
            if last is not None and last.class_ == best and last.end_us <= span.t_end_us:
                self.decisions[-1] = last._replace(end_us=span.t_end_us)
            else:
                self.decisions.append(Decision(best, span.t_start_us, span.t_end_us))
            self.scores = scores.tolist()
        kind = next((e.scores for e in self._edges() if e.sender == header.by), "")
        self.shares = [share(kind, self.scores, k) for k in range(len(self.scores))]


def _by_output(counts: Sequence[QueueCount]) -> Mapping[str, int]:
    """Return units by output; who sends to several sends each the same."""
    units: dict[str, int] = {}
    for count in counts:
        units[count.output] = max(units.get(count.output, 0), count.units)
    return units


def _taken(stage: StageStatus) -> int:
    return sum(count.units for count in stage.received)


def _made(stage: StageStatus) -> int:
    return _by_output(stage.sent).get("", 0)


def _blocked_s(stage: StageStatus) -> float:
    return max((count.blocked_s for count in stage.sent), default=0.0)


def _work(status: RunStatus) -> float:
    return sum(stage.worked_s for stage in status.stages)

"""A trace: when each stage worked and when it stood before a full queue, for Perfetto or Chrome.

Workers gather spans while they run, a few thousand between two beats at most, and send them along;
the supervisor keeps the last hundred thousand of each stage, and writes them when the run is over,
also when it fails. A run that is not traced does nothing for it.

The file is in the trace event format (JSON), which https://ui.perfetto.dev and chrome://tracing
open: a track a stage, a counter a queue, marks for checkpoints, restarts and states of the run.
"""

import json
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from pipeline.clock import now_ns, offset_ns
from pipeline.errors import PipelineError
from pipeline.observe.status import RunStatus
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender
from pipeline.run.control import Traced
from pipeline.run.pulse import Pulse

__all__ = ["MOST_SPANS", "Span", "Trace", "TracedPulse"]

MOST_SPANS = 100_000
"""That are kept of each stage, the last ones."""
_BETWEEN_BEATS = 4096
"""That a stage gathers until it is asked for them; what is more is counted, and told at the end."""
_STEP, _BLOCKED, _CHECKPOINT = "step", "blocked", "checkpoint"


Span: TypeAlias = tuple[str, int, int, int | None]
"""What a stage did, its begin and end in ns, the same for a mark, and the event time it had come to
in µs. A plain tuple: it is made for each step."""


class TracedPulse(Pulse):
    """A pulse that also gathers spans: the stage's thread adds them, another takes them."""

    def __init__(self) -> None:
        super().__init__()
        self._spans = deque[Span]()
        self._left_out = self._blocked_ns = self._step_ns = 0
        self._outputs: Sequence[Sender] = ()

    def watch(self, receivers: Sequence[Receiver], senders: Sequence[Sender]) -> None:
        """Tell of these queues from now on."""
        super().watch(receivers, senders)
        self._outputs = senders
        self._blocked_ns = sum(sender.blocked_ns for sender in senders)

    def begin(self, now_ns: int) -> None:
        """The stage is given something to do; what it sent before may have had to wait."""
        blocked_ns = 0
        for sender in self._outputs:
            blocked_ns += sender.blocked_ns
        if waited_ns := blocked_ns - self._blocked_ns:
            self._blocked_ns = blocked_ns
            # Viewers reckon in floats of µs: spans that touch would overlap.
            self._add((_BLOCKED, now_ns - waited_ns, now_ns - 1, self.event_us))
        self._step_ns = now_ns
        super().begin(now_ns)

    def end(self, now_ns: int) -> None:
        """It has done it."""
        super().end(now_ns)
        self._add((_STEP, self._step_ns, now_ns, self.event_us))

    def mark(self, number: int) -> None:
        """A checkpoint has passed."""
        now_ns = time.monotonic_ns()
        self._add((f"{_CHECKPOINT} {number}", now_ns, now_ns, self.event_us))

    def traced(self, stage: str) -> Traced:
        """Return what was gathered since this was asked last, by the run's clock."""
        ahead_ns = offset_ns()
        spans = [self._spans.popleft() for _ in range(len(self._spans))]
        left_out, self._left_out = self._left_out, 0
        moved = [(what, a + ahead_ns, b + ahead_ns, event_us) for what, a, b, event_us in spans]
        return Traced(stage, moved, left_out)

    def _add(self, span: Span) -> None:
        if len(self._spans) < _BETWEEN_BEATS:
            self._spans.append(span)
        else:
            self._left_out += 1


class Trace:
    """Gathers the spans of a run; writes the file when the ``with`` is left.

    Args:
        path: of the file.
        stages: the names of all, in order.

    Raises:
        PipelineError: the file cannot be written.
    """

    def __init__(self, path: Path, stages: Iterable[str]) -> None:
        self._path = path
        self._begun_ns = now_ns()
        self._spans = {stage: deque[Span](maxlen=MOST_SPANS) for stage in stages}
        self._left_out = dict.fromkeys(self._spans, 0)
        self._counts = deque[tuple[int, str, int]](maxlen=MOST_SPANS)
        self._marks: list[tuple[int, str]] = []
        self._fills: dict[str, int] = {}
        self._state, self._restarts = "", 0
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise PipelineError(
                f"{path}: the trace cannot be written: {error.strerror}; name another place by"
                " --trace"
            ) from None

    def __enter__(self) -> "Trace":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._write()
        except OSError as lost:
            why = f"{self._path}: the trace cannot be written: {lost.strerror}"
            print(f"warning: {why}", file=sys.stderr, flush=True)

    def _write(self) -> None:
        with self._file as file:
            file.write('{"displayTimeUnit":"ms","traceEvents":[\n')
            lines = (json.dumps(event, separators=(",", ":")) for event in self._events())
            for number, line in enumerate(lines):
                file.write(",\n" * bool(number) + line)
            left_out = json.dumps({"spans_left_out": self.left_out})
            file.write(f'\n],"otherData":{left_out}}}\n')

    @property
    def left_out(self) -> dict[str, int]:
        """Of each stage, how many spans the file does not hold, where there are any."""
        return {stage: count for stage, count in self._left_out.items() if count}

    def take(self, traced: Traced) -> None:
        """Take what a stage has gathered."""
        kept = self._spans[traced.stage]
        too_many = max(0, len(kept) + len(traced.spans) - MOST_SPANS)
        self._left_out[traced.stage] += traced.left_out + too_many
        kept.extend(traced.spans)

    def watch(self, status: RunStatus) -> None:
        """Take note of how full queues are, and of what became of the run."""
        at_ns = now_ns()
        for edge in status.edges:
            if self._fills.get(edge.name) != edge.fill:
                self._fills[edge.name] = edge.fill
                self._counts.append((at_ns, edge.name, edge.fill))
        if status.state != self._state:
            self._state = status.state
            self._marks.append((at_ns, status.state))
        if status.restarts != self._restarts:
            self._restarts = status.restarts
            self._marks.append((at_ns, f"restart: {status.last_cause}"))

    def _events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of the file: tracks first, then each track in the order of time."""
        base: dict[str, Any] = {"pid": 1, "tid": 0}
        yield {**base, "ph": "M", "name": "process_name", "args": {"name": "pipeline"}}
        for tid, name in enumerate(["run", *self._spans]):
            track = {"pid": 1, "tid": tid, "ph": "M"}
            yield {**track, "name": "thread_name", "args": {"name": name}}
            yield {**track, "name": "thread_sort_index", "args": {"sort_index": tid}}
        for at_ns, text in self._marks:
            yield {**base, "ph": "i", "s": "g", "name": text, "ts": self._us(at_ns)}
        for at_ns, queue, fill in self._counts:
            count = {"name": f"queue {queue}", "args": {"messages": fill}}
            yield {**base, "ph": "C", "ts": self._us(at_ns), **count}
        for tid, spans in enumerate(self._spans.values(), 1):
            for what, begin_ns, end_ns, event_us in spans:
                event = {"pid": 1, "tid": tid, "name": what, "ts": self._us(begin_ns)}
                if event_us is not None:
                    event["args"] = {"event_us": event_us}
                if begin_ns == end_ns:
                    yield {**event, "ph": "i", "s": "t"}
                else:
                    yield {**event, "ph": "X", "dur": (end_ns - begin_ns) / 1000}

    def _us(self, at_ns: int) -> float:
        return (at_ns - self._begun_ns) / 1000

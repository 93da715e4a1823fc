"""How a run stands, for Prometheus: counters and gauges served over HTTP on loopback.

The supervisor's process serves what it publishes anyway (`pipeline.observe.status`), so that a
scrape asks nothing of the stages. After a restart counters go on from what the checkpoint had,
which is less; ``rate()`` takes that as the reset that it is.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline.observe.attach import Attached, Shown
from pipeline.observe.dashboard.app import folder_of, give_way
from pipeline.observe.loopback import Loopback, Reply, Request
from pipeline.observe.status import RunStatus, StageStatus

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["Metrics", "exposition", "families"]

_STATES = ("starting", "running", "paused", "stopping", "restarting", "over")
_WAIT_S = 0.25
_SCRAPED_S = 120.0
"""Stages make their gauges while the last scrape is not longer ago."""
_END_S = 2.0


def families(status: RunStatus) -> "Iterator[Metric]":
    """Yield all metrics of a run; units are what a queue carries: events, windows, predictions."""
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, StateSetMetricFamily

    about = {"run": status.run_id, "name": status.name, "file": status.path}
    about["version"] = version("event-pipeline")
    yield InfoMetricFamily("pipeline_run", "The run that is served.", value=about)
    states = {state: state == status.state for state in _STATES}
    yield StateSetMetricFamily("pipeline_run_state", "How the run stands.", states)
    yield GaugeMetricFamily("pipeline_run_age_seconds", "Since it began.", status.at_s)
    yield _counter("pipeline_restarts", "Starts behind a crash.", [((), status.restarts)], ())
    step = "Step of the overload ladder, 0 for none."
    yield _gauge("pipeline_overload_step", step, [((), status.level)], ())
    if status.checkpoint is not None:
        number, help_ = status.checkpoint, "Number of the newest checkpoint."
        yield GaugeMetricFamily("pipeline_checkpoint_number", help_, number)
    if status.checkpoint_age_s is not None:
        name, help_ = "pipeline_checkpoint_age_seconds", "Since the newest checkpoint was written."
        yield GaugeMetricFamily(name, help_, status.checkpoint_age_s)
    yield from _of_stages(status)
    yield from _of_queues(status)


def exposition(status: RunStatus) -> bytes:
    """Return the metrics of a run in Prometheus's text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    class Collector:
        def collect(self) -> "Iterator[Metric]":
            return families(status)

    registry = CollectorRegistry()
    registry.register(Collector())
    return generate_latest(registry)


class Metrics:
    """Serves the metrics of the run that goes on in this process, while it is in a ``with``.

    Args:
        port: 0 for one that is free.

    Attributes:
        url: where they are served.

    Raises:
        PipelineError: the port cannot be listened at.
    """

    def __init__(self, port: int) -> None:
        self._status: RunStatus | None = None
        self._scraped_s = 0.0
        self._over = threading.Event()
        self._server = Loopback(port, self._answer, "metrics.port")
        self._thread = threading.Thread(target=self._follow, name="metrics", daemon=True)
        self.url = f"{self._server.url}metrics"

    def __enter__(self) -> "Metrics":
        self._server.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(_END_S)
        self._server.__exit__(kind, error, trace)

    def _follow(self) -> None:
        give_way()
        folder = folder_of(os.getpid(), self._over.is_set)
        if folder is None:
            return
        with Attached(folder) as attached:
            while not (self._over.is_set() or attached.over):
                for news in attached.news(_WAIT_S):
                    if not isinstance(news, Shown):
                        self._status = news
                status = self._status
                scraped = time.monotonic() < self._scraped_s + _SCRAPED_S
                senders = {edge.sender for edge in status.edges} if status and scraped else set()
                attached.watch(set(), senders)

    def _answer(self, request: Request) -> Reply:
        from prometheus_client import CONTENT_TYPE_LATEST

        if (request.method, request.path) != ("GET", "/metrics"):
            return Reply(404, body=b"metrics are at /metrics\n")
        self._scraped_s = time.monotonic()
        if self._status is None:
            return Reply(503, body=b"the run has not begun\n")
        return Reply(200, CONTENT_TYPE_LATEST, exposition(self._status))


_Rows: TypeAlias = Sequence[tuple[tuple[str, ...], float]]


def _counter(name: str, help_: str, rows: _Rows, labels: tuple[str, ...]) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, help_, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _gauge(name: str, help_: str, rows: _Rows, labels: tuple[str, ...]) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, help_, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _of_stages(status: RunStatus) -> "Iterator[Metric]":
    def each(value: Callable[[StageStatus], float | None]) -> _Rows:
        told = [((stage.name,), value(stage)) for stage in status.stages]
        return [(labels, known) for labels, known in told if known is not None]

    of = ("stage",)
    name = "pipeline_stage_busy_seconds"
    yield _counter(name, "Time in the stage's own steps.", each(lambda s: s.worked_s), of)
    name, help_ = (
        "pipeline_stage_lag_seconds",
        "How far behind it was, at worst, lately.",
    )
    yield _gauge(name, help_, each(lambda s: s.lag_s), of)
    name, help_ = "pipeline_stage_event_time_seconds", "Event time that the stage has come to."
    yield _gauge(name, help_, each(lambda s: None if s.event_us is None else s.event_us / 1e6), of)
    name, help_ = "pipeline_stage_over", "Whether the stage has seen the end of its stream."
    yield _gauge(name, help_, each(lambda s: float(s.over)), of)
    refused = [((s.name, why), float(n)) for s in status.stages for why, n in s.refused.items()]
    name, help_ = "pipeline_stage_refused_units", "What the stage did not use, by reason."
    yield _counter(name, help_, refused, ("stage", "reason"))
    shown = [((s.name, what), value) for s in status.stages for what, value in s.gauges.items()]
    name, help_ = "pipeline_stage_gauge", "What stages show of themselves, such as firing rates."
    yield _gauge(name, help_, shown, ("stage", "gauge"))
    yield from _of_latency(status)


def _of_latency(status: RunStatus) -> "Iterator[Metric]":
    from prometheus_client.core import Metric

    name, help_ = "pipeline_latency_seconds", "From a window's last event to its prediction."
    latency: Any = Metric(name, help_, "summary")
    longest: list[tuple[tuple[str, ...], float]] = []
    for stage in status.stages:
        if (told := stage.latency) is None:
            continue
        labels = {"stage": stage.name, "since": told.since}
        # There is no sum: a histogram with buckets one percent wide is kept, not the values.
        for quantile, value_ms in (("0.5", told.p50_ms), ("0.99", told.p99_ms)):
            latency.add_sample(name, {**labels, "quantile": quantile}, value_ms / 1000)
        latency.add_sample(f"{name}_count", labels, told.count)
        longest.append(((stage.name, told.since), told.max_ms / 1000))
    yield latency
    name, help_ = "pipeline_latency_max_seconds", "The longest of all so far."
    yield _gauge(name, help_, longest, ("stage", "since"))


def _of_queues(status: RunStatus) -> "Iterator[Metric]":
    of = ("queue", "sender", "receiver", "carries")
    labels = {
        edge.name: (edge.name, edge.sender, edge.receiver, edge.kind) for edge in status.edges
    }
    sent = [c for s in status.stages for c in s.sent if c.name in labels]
    received = [c for s in status.stages for c in s.received if c.name in labels]
    for end, counts in (("sent", sent), ("received", received)):
        for what in ("messages", "units"):
            help_ = f"What was {end}, what was given up included: {what}."
            rows: _Rows = [(labels[c.name], float(getattr(c, what))) for c in counts]
            yield _counter(f"pipeline_queue_{end}_{what}", help_, rows, of)
    rows = [(labels[c.name], c.blocked_s) for c in sent]
    name, help_ = "pipeline_queue_blocked_seconds", "How long its sender stood before it, full."
    yield _counter(name, help_, rows, of)
    rows = [((*labels[c.name], why), float(n)) for c in sent for why, n in c.lost.items()]
    name, help_ = "pipeline_queue_lost_units", "What was given up under overload, by how."
    yield _counter(name, help_, rows, (*of, "reason"))
    for what, help_ in (("fill", "Messages in it."), ("capacity", "Messages that it may hold.")):
        rows = [(labels[edge.name], float(getattr(edge, what))) for edge in status.edges]
        yield _gauge(f"pipeline_queue_{what}_messages", help_, rows, of)

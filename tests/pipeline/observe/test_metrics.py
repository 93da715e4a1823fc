"""Metrics: scraped over HTTP, and read by Prometheus's own parser."""

import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from subprocess import PIPE, Popen
from urllib.error import HTTPError

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from shown_run import ShownRun, status

from pipeline.observe.metrics import Metrics, exposition
from pipeline.observe.status import RunStatus

Values = dict[tuple[str, ...], float]


def values(text: str, name: str) -> Values:
    """The samples of a name by the values of their labels, in the order of the labels' names."""
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


@pytest.fixture
def scraped() -> Iterator[str]:
    with ShownRun(status, []), Metrics(0) as metrics:
        assert metrics.url.startswith("http://127.0.0.1:")
        text = ""
        for _ in range(500):
            try:
                with urllib.request.urlopen(metrics.url, timeout=10) as answer:
                    assert answer.headers["Content-Type"].startswith("text/plain; version=")
                    text = answer.read().decode()
                break
            except HTTPError as error:
                # Nothing is known before the run has spoken.
                if error.code != 503:
                    raise
                error.close()
                threading.Event().wait(0.01)
        yield text


def test_a_scrape_tells_how_the_run_stands(scraped: str) -> None:
    assert values(scraped, "pipeline_run_state")["running",] == 1
    assert values(scraped, "pipeline_run_state")["over",] == 0
    assert values(scraped, "pipeline_restarts_total") == {(): 1}
    assert values(scraped, "pipeline_checkpoint_age_seconds") == {(): 0.5}
    assert values(scraped, "pipeline_stage_refused_units_total") == {("late", "cam"): 7}
    assert values(scraped, "pipeline_stage_event_time_seconds") == {("cam",): 2.5}
    assert values(scraped, "pipeline_stage_gauge")["firing: fc", "cam"] == 0.125
    queue = ("events", "cam->out", "out", "cam")
    assert values(scraped, "pipeline_queue_sent_messages_total") == {queue: 10}
    assert values(scraped, "pipeline_queue_received_units_total") == {queue: 800}
    assert values(scraped, "pipeline_queue_blocked_seconds_total") == {queue: 0.25}
    assert values(scraped, "pipeline_queue_fill_messages") == {queue: 3}
    assert values(scraped, "pipeline_queue_capacity_messages") == {queue: 8}


def test_latency_is_told_in_seconds() -> None:
    text = exposition(status()).decode()
    assert values(text, "pipeline_latency_seconds") == {
        ("0.5", "event", "out"): 0.0015,
        ("0.99", "event", "out"): 0.004,
    }
    assert values(text, "pipeline_latency_seconds_count") == {("event", "out"): 3}
    assert values(text, "pipeline_latency_max_seconds") == {("event", "out"): 0.005}


def test_what_was_given_up_is_told_by_how() -> None:
    shown = status()
    camera = shown.stages[0]
    lossy = msgspec.structs.replace(camera.sent[0], lost={"thinned": 40, "dropped": 2})
    camera = msgspec.structs.replace(camera, sent=[lossy])
    shown = msgspec.structs.replace(shown, stages=[camera, *shown.stages[1:]])
    lost = values(exposition(shown).decode(), "pipeline_queue_lost_units_total")
    assert {labels[2]: value for labels, value in lost.items()} == {"thinned": 40, "dropped": 2}


def test_a_run_that_has_only_begun_has_no_stages_yet() -> None:
    begun = RunStatus(
        run_id="a-1", name='odd "name"\n\\', path="p.toml", at_s=0.0, state="starting"
    )
    text = exposition(begun).decode()
    assert values(text, "pipeline_run_state")["starting",] == 1
    assert values(text, "pipeline_checkpoint_number") == {}
    assert 'odd "name"\n\\' in next(iter(values(text, "pipeline_run_info")))


def test_names_have_units_and_all_are_explained() -> None:
    for family in text_string_to_metric_families(exposition(status()).decode()):
        assert family.name.startswith("pipeline_")
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_ms", "_us", "_s"))


def test_other_paths_tell_where_metrics_are() -> None:
    with Metrics(0) as metrics:
        port = int(metrics.url.rpartition(":")[2].partition("/")[0])
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (404, b"metrics are at /metrics\n")
        connection.close()


def test_the_run_of_this_process_is_served(scraped: str) -> None:
    assert next(iter(values(scraped, "pipeline_run_info")))[2] == "shown-1234"


GRAPH = """
[metrics]
port = 0
[[stage]]
name = "camera"
use = "worker_stages:Noise"
endless = true
[[stage]]
name = "tally"
use = "worker_stages:Tally"
path = "tally.txt"
"""


def test_a_real_run_is_scraped_until_it_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(GRAPH)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "support")}
    command = [sys.executable, "-m", "pipeline.cli", "run", "p.toml"]
    with Popen(command, stderr=PIPE, text=True, cwd=tmp_path, env=environment) as run:
        assert run.stderr is not None
        told = run.stderr.readline()
        assert told.startswith("metrics at http://127.0.0.1:"), told
        url, sent = told.split()[-1], 0.0
        for _ in range(1500):
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    text = answer.read().decode()
            except HTTPError as error:
                error.close()
                text = ""
            counts = values(text, "pipeline_queue_sent_units_total")
            sent = sum(counts.values())
            if sent and values(text, "pipeline_run_state")["running",]:
                break
            threading.Event().wait(0.02)
        assert sent > 0
        assert values(text, "pipeline_stage_busy_seconds_total").keys() == {("camera",), ("tally",)}
        run.send_signal(signal.SIGINT)
        run.stderr.read()
        assert run.wait(200) == 130

"""A run steered from another thread, in real processes."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import read_config
from pipeline.graph import build_graph
from pipeline.run.outcome import Outcome
from pipeline.run.remote import Remote
from pipeline.run.runner import run_pipeline

SUPPORT = Path(__file__).parents[2] / "support"
GRAPH = """
[[stage]]
name = "camera"
use = "worker_stages:Noise"
events = 400
batch = 100
{camera}
[[stage]]
name = "tally"
use = "worker_stages:Tally"
path = "tally.txt"
"""


def run(folder: Path, remote: Remote, camera: str = "") -> Outcome:
    """Run in this thread; signals are only routed where it is the main one."""
    path = folder / "p.toml"
    path.write_text(GRAPH.format(camera=camera))
    config = read_config(path)
    return run_pipeline(config, build_graph(config), remote=remote)


def when(path: Path, lines: int, act: Callable[[], None]) -> threading.Thread:
    """Do something once a file has so many lines; read again and again, bounded by the test."""

    def watch() -> None:
        over = threading.Event()
        for _ in range(3000):
            if path.exists() and path.read_text().count("\n") >= lines:
                break
            over.wait(0.01)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.fixture(autouse=True)
def own_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))


def test_a_run_can_start_paused_be_stepped_and_go_on(tmp_path: Path) -> None:
    remote, tally = Remote(), tmp_path / "tally.txt"
    # The first turn is the Start; two more bring 200 of the 400 events.
    remote.step(3)
    seen: list[int] = []

    def go_on() -> None:
        seen.append(tally.read_text().count("\n"))
        remote.resume()

    thread = when(tally, 2, go_on)
    outcome = run(tmp_path, remote)
    thread.join()
    assert seen == [2]
    assert [r.account.taken for r in outcome.reports if r.account is not None] == [400, 400]
    assert not outcome.interrupted


def test_a_paused_run_can_be_stopped_and_is_drained(tmp_path: Path) -> None:
    remote = Remote()
    remote.step(2)
    thread = when(tmp_path / "tally.txt", 1, remote.stop)
    outcome = run(tmp_path, remote, camera="endless = true")
    thread.join()
    assert outcome.interrupted
    assert outcome.drained
    assert [r.account.taken for r in outcome.reports if r.account is not None] == [100, 100]


def test_what_was_set_when_the_file_was_read_holds_in_the_run(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(GRAPH.format(camera=""))
    config = read_config(path, ["camera.events=250"])
    outcome = run_pipeline(config, build_graph(config))
    assert [r.account.taken for r in outcome.reports if r.account is not None] == [250, 250]


def test_a_step_of_no_turns_is_refused() -> None:
    with pytest.raises(ValueError, match="turns must be >= 1, got 0"):
        Remote().step(0)

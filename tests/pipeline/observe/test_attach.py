"""Attached to a run in real processes: seen, steered, and not disturbed."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import read_config
from pipeline.errors import PipelineError
from pipeline.graph import build_graph
from pipeline.messages import Events, Start
from pipeline.observe.attach import Attached, LiveRun, News, Shown, find_run, running
from pipeline.observe.status import RunStatus
from pipeline.run.control import Forget, Resume, Step, Stop
from pipeline.run.outcome import Outcome
from pipeline.run.remote import Remote
from pipeline.run.runner import run_pipeline

SUPPORT = Path(__file__).parents[2] / "support"
GRAPH = """
[run]
name = "watched"
[[stage]]
name = "camera"
use = "worker_stages:Noise"
{camera}
[[stage]]
name = "relay"
use = "worker_stages:Relay"
[[stage]]
name = "tally"
use = "worker_stages:Tally"
path = "tally.txt"
"""
PATIENCE = 200


class Going:
    """A run in a thread of this process; use it in a ``with``, which ends it."""

    def __init__(self, folder: Path, camera: str) -> None:
        path = folder / "p.toml"
        path.write_text(GRAPH.format(camera=camera))
        self._config, self.remote = read_config(path), Remote()
        self.outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.outcome = run_pipeline(self._config, build_graph(self._config), remote=self.remote)

    def __enter__(self) -> LiveRun:
        self._thread.start()
        over = threading.Event()
        for _ in range(PATIENCE * 10):
            if runs := running():
                return runs[0]
            over.wait(0.01)
        raise AssertionError("the run has not begun")

    def __exit__(self, *_: object) -> None:
        self.remote.stop()
        self._thread.join()

    def join(self) -> Outcome:
        self._thread.join()
        assert self.outcome is not None
        return self.outcome


@pytest.fixture(autouse=True)
def own_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def until(attached: Attached, reached: Callable[[News], bool]) -> News:
    """Return the first news of a kind."""
    for _ in range(PATIENCE):
        for news in attached.news(0.1):
            if reached(news):
                return news
    raise AssertionError("it did not come to that")


def statuses(attached: Attached, reached: Callable[[RunStatus], bool]) -> RunStatus:
    found = until(attached, lambda news: isinstance(news, RunStatus) and reached(news))
    assert isinstance(found, RunStatus)
    return found


def test_its_stages_queues_and_messages_are_seen(tmp_path: Path) -> None:
    with Going(tmp_path, "endless = true") as run, Attached(run.folder) as attached:
        assert run.run_id.startswith("watched-")
        assert run.path == str(tmp_path / "p.toml")
        status = statuses(attached, lambda status: status.state == "running")
        assert [edge.kind for edge in status.edges] == ["events", "events"]
        assert [edge.use for edge in status.edges] == [
            "worker_stages:Relay",
            "worker_stages:Tally",
        ]
        attached.watch({"relay"})
        seen = until(attached, lambda news: isinstance(news, Shown))
        assert isinstance(seen, Shown)
        assert isinstance(seen.message.header, Start)
        seen = until(attached, lambda news: isinstance(news, Shown))
        assert isinstance(seen, Shown)
        assert seen.stage == "relay"
        assert isinstance(seen.message.header, Events)
        assert 0 < len(seen.message.array) <= 100


def test_it_is_paused_stepped_and_stopped(tmp_path: Path) -> None:
    going = Going(tmp_path, "endless = true")
    with going as run, Attached(run.folder) as attached:
        statuses(attached, lambda status: status.state == "running")
        attached.order(Step(1))
        statuses(attached, lambda status: status.state == "paused")
        attached.order(Forget())
        attached.order(Resume())
        statuses(attached, lambda status: status.state == "running")
        attached.order(Stop())
        statuses(attached, lambda status: status.state == "over")
        outcome = going.join()
        assert outcome.interrupted
        assert outcome.drained


def test_the_last_status_has_all_that_was_done(tmp_path: Path) -> None:
    going = Going(tmp_path, "events = 40_000")
    with going as run, Attached(run.folder) as attached:
        last = statuses(attached, lambda status: status.state == "over")
        going.join()
        assert [stage.received[0].units for stage in last.stages[1:]] == [40_000, 40_000]
        assert all(stage.over for stage in last.stages)
        for _ in range(PATIENCE):
            list(attached.news(0.1))
            if attached.over:
                return
        raise AssertionError("it is not seen that the run is gone")


def _tallied(folder: Path) -> str:
    """Return a sum of what was written, without when."""
    lines = (folder / "tally.txt").read_text().splitlines()
    text = "\n".join(line.split(" ", 1)[1] for line in lines)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_who_comes_and_leaves_changes_nothing(tmp_path: Path) -> None:
    sums = []
    for times in (0, 30):
        going = Going(tmp_path, "events = 60_000")
        with going as run:
            for _ in range(times):
                with Attached(run.folder) as attached:
                    attached.watch({"camera"}, {"relay"})
                    list(attached.news(0.01))
            going.join()
        sums.append(_tallied(tmp_path))
    assert sums[0] == sums[1]


def test_a_run_is_found_by_the_beginning_of_its_name(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"no run is going on; start one with `pipeline run"):
        find_run(None)
    with Going(tmp_path, "endless = true") as run:
        assert find_run(None) == find_run("watched") == find_run(run.run_id) == run
        with pytest.raises(PipelineError, match=f"no run is called 'x'; going on are {run.run_id}"):
            find_run("x")


def test_several_runs_are_told_apart_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [LiveRun(Path(name), name, "p.toml", 1) for name in ("a-1", "a-12", "b-1")]
    monkeypatch.setattr("pipeline.observe.attach.running", lambda: runs)
    assert find_run("a-1") == runs[0]
    assert find_run("b") == runs[2]
    with pytest.raises(PipelineError, match="2 runs are going on; name one of a-1, a-12, b-1"):
        find_run("a")

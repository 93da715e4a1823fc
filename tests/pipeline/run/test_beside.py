"""Processes beside the workers: forked for sources that ask for one, again when they die."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from doubles import ListSource

from pipeline.graph import Node
from pipeline.run import beside
from pipeline.run.beside import Beside
from pipeline.stage import Source


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(beside.time, "monotonic", lambda: self.now_s)


class Spooled(ListSource):
    """A source that wants something to run."""

    def __init__(self, work: Callable[[threading.Event], None]) -> None:
        super().__init__([])
        self._work = work

    def beside(self) -> Callable[[threading.Event], None]:
        return self._work


class _Node:
    """What `Beside` sees of a node."""

    def __init__(self, name: str, stage: Source) -> None:
        self.name, self.stage = name, stage


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the processes that were forked, the parent being looked at."""
    pids: list[int] = []

    def fork() -> int:
        pids.append(1000 + len(pids))
        return pids[-1]

    monkeypatch.setattr(beside.os, "fork", fork)
    return pids


def of(*stages: Source) -> Beside:
    nodes: list[Node] = [_Node(f"camera{k}", each) for k, each in enumerate(stages)]  # type: ignore[misc]
    return Beside(nodes, "run")


def test_a_source_that_wants_nothing_has_none(forks: list[int]) -> None:
    processes = of(ListSource([]))
    assert processes.fork() is None
    assert (forks, processes.running, processes.wait_ms) == ([], False, None)


def test_each_is_forked_once_and_again_a_second_after_it_began(
    forks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    processes = of(Spooled(lambda over: None), ListSource([]), Spooled(lambda over: None))
    assert processes.fork() is None
    assert forks == [1000, 1001]
    assert processes.running
    assert processes.fork() is None
    clock.now_s += 0.25
    assert not processes.bury(4711)
    assert processes.bury(1000)
    assert 750 <= (processes.wait_ms or 0) <= 752
    assert processes.fork() is None
    assert len(forks) == 2
    clock.now_s += 0.8
    assert processes.fork() is None
    assert forks == [1000, 1001, 1002]
    assert processes.wait_ms is None


SCRIPT = """
import os, signal, sys
from test_beside import Spooled, of
def work(over):
    print("works", os.getpid(), flush=True)
    over.wait()
    print("ends", flush=True)
processes = of(Spooled(work))
task = processes.fork()
if task is None:
    pid, status = os.wait()
    assert processes.bury(pid)
    print("died of", os.WTERMSIG(status), flush=True)
    os._exit(0)
task()
"""


@contextmanager
def starter() -> Iterator["subprocess.Popen[str]"]:
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "support")]
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        text=True,
    ) as process:
        yield process


def test_it_works_until_the_runner_lets_go_of_its_standard_input() -> None:
    with starter() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith("works")
        process.stdin.close()
        assert process.stdout.read() == "ends\ndied of 0\n"


def test_it_dies_alone() -> None:
    with starter() as process:
        assert process.stdout is not None
        os.kill(int(process.stdout.readline().split()[1]), signal.SIGKILL)
        assert process.stdout.read() == f"died of {signal.SIGKILL:d}\n"

"""An engine does each task once, whatever becomes of its workers; here in processes."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from batch_work import Deadly, Failing, Slow, Squares

from pipeline.errors import ConfigError, RecordingError, StageError
from stages.batch import Engine, engine_of
from stages.batch.engine import Answer, Died, Worker
from stages.batch.local import LocalEngine

SQUARES = [(number, number * number) for number in range(8)]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_each_task_is_done_once(processes: int) -> None:
    assert sorted(LocalEngine(processes).map(Squares(), range(8))) == SQUARES
    assert not multiprocessing.active_children()


def test_what_a_killed_worker_was_at_is_done_again(tmp_path: Path) -> None:
    assert sorted(LocalEngine(2).map(Deadly(tmp_path, times=2), range(8))) == SQUARES
    assert len(list(tmp_path.iterdir())) == 2


def test_a_task_that_takes_every_worker_with_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"^number 3: 3 workers were lost over it.*SIGKILL"):
        list(LocalEngine(2).map(Deadly(tmp_path, times=9), range(8)))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_is_the_same_wherever_it_happens(processes: int) -> None:
    with pytest.raises(RecordingError, match=r"^3\.bin: is broken$"):
        list(LocalEngine(processes).map(Failing(is_bug=False), range(8)))
    with pytest.raises(KeyError, match="no such thing"):
        list(LocalEngine(processes).map(Failing(is_bug=True), range(8)))


def test_a_bug_keeps_where_it_was() -> None:
    with pytest.raises(KeyError) as caught:
        list(LocalEngine(2).map(Failing(is_bug=True), range(8)))
    assert "batch_work.py" in caught.value.__notes__[0]


def test_who_stops_listening_leaves_no_process() -> None:
    results = LocalEngine(2).map(Slow(), range(3))
    assert next(results)[0] == 0
    results.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_a_sigterm_is_as_a_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), LocalEngine(2):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


class NoWorkers(Engine):
    """Its workers never start, or die while they do."""

    patience_s = 0.0

    def __init__(self, answers: bool) -> None:
        self._answers = answers
        self.started: list[Nobody] = []

    @property
    def workers(self) -> int:
        return 2

    def _start(self, work: object) -> Worker:
        self.started.append(Nobody())
        return self.started[-1]

    def _hear(self, workers: object, timeout_s: float) -> list[tuple[Worker, Answer]]:
        return [(self.started[-1], Died("host a: no memory"))] if self._answers else []


class Nobody(Worker):
    """A worker that only notes whether it was stopped."""

    stopped = False

    def give(self, task: object) -> None:
        raise AssertionError

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (True, r"^6 workers were lost, one after another, and nothing was done \(host a: no mem"),
        (False, "^no worker started within 0 s"),
    ],
)
def test_where_no_worker_can_be_had(answers: bool, said: str) -> None:
    engine = NoWorkers(answers)
    with pytest.raises(StageError, match=said):
        list(engine.map(Squares(), range(8)))
    assert all(worker.stopped for worker in engine.started)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (("lokal", None), "--engine: must be local or ray, got 'lokal'"),
        (("local", "auto"), "--address: is of a cluster; give --engine ray with it"),
    ],
)
def test_mistakes(ask: tuple[str, str | None], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        engine_of(*ask, processes=None)

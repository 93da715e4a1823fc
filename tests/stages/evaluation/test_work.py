"""Recordings through the very stages of a run: the answers are training's, however it is done."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import torch
from evaluations import write_case

import models
from models.training.metrics import evaluate
from models.training.recipe import load_recipe
from pipeline.config import read_config
from pipeline.errors import RecordingError
from stages.batch.local import LocalEngine
from stages.datasets.training_set import prepare
from stages.evaluation.measures import measure
from stages.evaluation.plan import Plan, plan_of
from stages.evaluation.request import request_of
from stages.evaluation.results import Request, Result
from stages.evaluation.selection import Selection, select
from stages.evaluation.work import evaluated


class Case(NamedTuple):
    """What is evaluated, and where it lies."""

    folder: Path
    plan: Plan
    chosen: Selection
    request: Request
    labels: list[int]

    def results(self, processes: int = 1) -> list[Result]:
        """Evaluate all, without what differs from time to time."""
        found = evaluated(
            self.plan, self.labels, list(enumerate(self.chosen.items)), LocalEngine(processes)
        )
        timeless = (msgspec.structs.replace(one, seconds=0.0, first=False) for one in found)
        return sorted(timeless, key=lambda one: one.item)


def silent(what: str, done: int, of: int) -> None:
    pass


def case(folder: Path, part: str = "all", **options: Any) -> Case:
    config = read_config(write_case(folder, **options))
    plan = plan_of(config)
    data = str(folder / "data" / "nmnist")
    chosen = select(data, part, folder / "recipe.toml", [], "replay", LocalEngine(1), silent)
    return Case(folder, plan, chosen, *request_of(config, plan, chosen))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("part", "mode"), [("validation", "spike"), ("test", "analog")])
def test_it_counts_what_training_counts(tmp_path: Path, part: str, mode: str) -> None:
    one = case(tmp_path, part, mode=mode)
    found = measure(one.results(), one.request.classes, one.request.scores)
    parts = prepare(load_recipe(tmp_path / "recipe.toml"), tmp_path / "data", 1, silent)
    network = models.load(tmp_path / "weights.safetensors")
    confusion = evaluate(network, parts.test if part == "test" else parts.validation)
    assert found.confusion == confusion.tolist()
    assert found.top1 == np.trace(confusion) / confusion.sum()
    assert found.recordings == 10


def test_processes_change_nothing(tmp_path: Path) -> None:
    one = case(tmp_path, each=2)
    assert one.results(1) == one.results(2)


def test_the_first_recording_of_a_process_is_marked(tmp_path: Path) -> None:
    one = case(tmp_path, each=2)
    numbered = list(enumerate(one.chosen.items))
    for processes in (1, 2):
        found = list(evaluated(one.plan, one.labels, numbered, LocalEngine(processes)))
        assert 1 <= sum(result.first for result in found) <= processes
        assert all(result.first for result in found if result.item == 0)


def test_each_recording_has_an_answer_and_a_decision_after_each_step(tmp_path: Path) -> None:
    one = case(tmp_path, "validation")
    for found, item in zip(one.results(), one.chosen.items, strict=True):
        assert found.key == item.key
        assert found.label == int(item.key.split("/")[1])
        assert (found.predictions, len(found.decisions)) == (1, 4)
        assert found.ends_us == [50_000, 100_000, 150_000, 200_000]
        assert found.scores is not None
        assert found.decisions[-1] == int(np.argmax(found.scores))
        assert found.events == 200 + 20 * found.label
        assert found.counts["network"]["conv1: operations"] > 0
        assert found.refused == {"frames behind the last step": 2}  # of 300 ms


def test_a_recording_that_is_too_short_has_no_answer(tmp_path: Path) -> None:
    path = write_case(tmp_path, 1)
    begin, _, rest = path.read_text().partition('[[stage]]\nname = "steps"')
    path.write_text(begin + rest[rest.index("[[stage]]") :])
    config = read_config(path, ["decision.mismatch=allow", "decision.steps=7"])
    plan = plan_of(config)
    data = f"nmnist={tmp_path / 'data' / 'nmnist'}"
    items = select(data, None, None, [], "replay", LocalEngine(1), silent).items[:2]
    for one in evaluated(plan, list(range(10)), list(enumerate(items)), LocalEngine(1)):
        assert (one.scores, one.predictions, one.right) == (None, 0, 0)
        assert len(one.decisions) == 6
        assert one.refused == {"outputs in no prediction": 6}


def test_a_broken_recording_is_named(tmp_path: Path) -> None:
    one = case(tmp_path, each=2)
    path = Path(one.chosen.items[3].source["path"])
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(RecordingError, match=path.name):
        one.results()

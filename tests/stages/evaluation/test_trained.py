"""Recordings that were trained on are told of where that is known, and nowhere else."""

import json
from pathlib import Path

import pytest
from evaluations import write_case

from pipeline.config import read_config
from stages.batch.local import LocalEngine
from stages.evaluation.plan import Plan, plan_of
from stages.evaluation.selection import Selection, select
from stages.evaluation.trained import Trained, told_of, trained_on


def chosen(data: Path, part: str | None = None, recipe: Path | None = None) -> Selection:
    return select(
        f"nmnist={data}", part, recipe, [], "replay", LocalEngine(1), lambda what, done, of: None
    )


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(read_config(write_case(tmp_path, 4)))


def write_parts(weights: Path, folder: Path, keys: list[str]) -> None:
    """Write what training leaves beside the weights."""
    report = weights.with_suffix("") / "report"
    report.mkdir(parents=True)
    told = {"folder": str(folder), "parts": {"train": keys}}
    (report / "parts.json").write_text(json.dumps(told))


def test_training_has_left_what_it_learnt_from(plan: Plan, tmp_path: Path) -> None:
    data = tmp_path / "data" / "nmnist"
    assert [one.recordings for one in trained_on(plan, chosen(data))] == [None]
    keys = [item.key for item in chosen(data).items[:7]]
    write_parts(tmp_path / "weights.safetensors", data, keys)
    (found,) = trained_on(plan, chosen(data))
    assert found == Trained(
        str(tmp_path / "weights.safetensors"), "none: random weights", "none", 7, False
    )
    assert told_of(found, 40) == (
        "7 of these 40 recordings were trained on (weights.safetensors): how well it does on others"
        " is not measured by them"
    )
    # Others may be called the same.
    data.rename(tmp_path / "other")
    (other,) = trained_on(plan, chosen(tmp_path / "other"))
    assert (other.recordings, told_of(other, 40)) == (None, "")


def test_a_recipe_knows_its_parts(plan: Plan, tmp_path: Path) -> None:
    data, recipe = tmp_path / "data" / "nmnist", tmp_path / "recipe.toml"
    counts = {}
    for part in ("train", "validation", "test", "all"):
        (found,) = trained_on(plan, chosen(data, part, recipe))
        counts[part] = found.recordings
        assert ("of the part that the recipe trains on" in told_of(found, 40)) == bool(counts[part])
    assert counts == {"train": 20, "validation": 0, "test": 0, "all": 20}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"folder": 3, "parts": 1}'])
def test_a_list_that_cannot_be_read_says_nothing(text: str, plan: Plan, tmp_path: Path) -> None:
    data = tmp_path / "data" / "nmnist"
    write_parts(tmp_path / "weights.safetensors", data, [])
    (tmp_path / "weights" / "report" / "parts.json").write_text(text)
    assert [one.recordings for one in trained_on(plan, chosen(data))] == [None]

"""Which stages of a pipeline are evaluated."""

from pathlib import Path
from typing import Any

import pytest
from evaluations import PIPELINE

from pipeline.config import parse_config, read_config
from pipeline.errors import ConfigError
from stages.datasets.data_set import STEPS, Item
from stages.evaluation.plan import plan_of


def table(name: str, use: str, source: str, **options: Any) -> str:
    rows = "".join(f'{key} = "{value}"\n' for key, value in options.items())
    return f'[[stage]]\nname = "{name}"\nuse = "{use}"\nfrom = "{source}"\n{rows}'


def config(tmp_path: Path, more: str = "", *overrides: str) -> Any:
    path = tmp_path / "digits.toml"
    path.write_text(PIPELINE + more)
    return read_config(path, overrides)


def test_from_the_source_to_the_decision_without_sinks(tmp_path: Path) -> None:
    more = table("copy", "record", "camera", path="copy.aedat4")
    plan = plan_of(config(tmp_path, more, "bins.window_us=20_000"))
    assert [one.name for one in plan.stages] == ["bins", "steps", "network", "decision"]
    assert plan.decision == "decision"
    assert plan.stages[0].options["window_us"] == 20_000
    # Nothing depends any more on where it is read.
    assert plan.stages[2].options == {"weights": str(tmp_path / "weights.safetensors")}


def test_what_the_set_does_not_say_is_as_the_pipeline_has_it(tmp_path: Path) -> None:
    plan = plan_of(config(tmp_path, "", "camera.size=[34, 34]"))
    played = plan.played(Item("0", {"use": "replay", "path": "a.bin"}, 0, "0"))
    assert played.source == {
        "use": "replay",
        "path": "a.bin",
        "size": [34, 34],
        "speed": 0,
        "loop": 1,
    }
    table = {"use": "slices", "path": "a.npy", "steps": STEPS}
    assert plan.played(Item("0", table, 0, "0")).source == {"use": "slices", "path": "a.npy"}


def test_several_decisions_must_be_told_apart(tmp_path: Path) -> None:
    more = table("vote", "aggregate", "network", take="vote")
    both = config(tmp_path, more + table("log", "jsonl", "vote", path="out.jsonl"))
    with pytest.raises(ConfigError, match="decision and vote; name one with --decision"):
        plan_of(both)
    assert plan_of(both, "vote").stages[-1].name == "vote"


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ("decisoin", "--decision: no stage 'decisoin'; did you mean 'decision'?"),
        ("camera", "--decision: 'camera' is a source; name a stage that gives predictions"),
        ("screen", "--decision: 'screen' is a sink; name the stage that it takes from"),
    ],
)
def test_what_is_no_decision_is_refused(tmp_path: Path, decision: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(config(tmp_path), decision)
    assert str(caught.value) == said


def test_a_side_output_is_no_row(tmp_path: Path) -> None:
    tables = config(tmp_path).tables
    rows = [dict(row) for row in tables["stage"]]
    rows[2]["from"] = "bins.late"
    with pytest.raises(ConfigError, match=r"takes bins\.late; what is evaluated must be a row"):
        plan_of(parse_config({"stage": rows}, tmp_path / "digits.toml"))

"""The JSON schema of pipeline files refuses what `check` refuses, and takes what is shipped."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from reference_pages import SCHEMA, schema_text

from pipeline.config import StageTable, parse_config, validate
from pipeline.errors import ConfigError
from pipeline.registry import BUILT_IN, load_stage

jsonschema = pytest.importorskip("jsonschema")

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "reference" / SCHEMA
FILES = [
    REPOSITORY / "pipeline.toml",
    *sorted((REPOSITORY / "models" / "pipelines").glob("*.toml")),
    *sorted((REPOSITORY / "docs" / "examples").glob("*.toml")),
]


@pytest.fixture(scope="module")
def schema() -> Any:
    made = json.loads(PAGE.read_text())
    jsonschema.Draft7Validator.check_schema(made)
    return jsonschema.Draft7Validator(made)


def test_the_shipped_schema_is_what_the_code_makes() -> None:
    remedy = "out of date: run `python docs/reference_pages.py --write docs/reference`"
    assert PAGE.read_text() == schema_text(), f"{PAGE} is {remedy}"


def test_the_command_prints_it(command_line: CommandLine) -> None:
    code, out, err = command_line("schema")
    assert (code, err) == (0, "")
    stages = json.loads(out)["properties"]["stage"]["items"]["oneOf"]
    # Other packages may have added some.
    assert {*BUILT_IN, "module:Class"} <= {stage["title"] for stage in stages}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_that_are_shipped_fit(path: Path, schema: Any) -> None:
    schema.validate(tomllib.loads(path.read_text()))


@pytest.mark.parametrize("use", BUILT_IN)
def test_it_asks_of_a_stage_what_check_asks(use: str, schema: Any) -> None:
    """Unknown keys and those that are missing are refused by both, or by none."""
    config = load_stage(use).Config
    for options in ({}, {"no_such_key": 1}):
        try:
            validate(config, options, "stage", None)
            fits = True
        except ConfigError:
            fits = False
        assert schema.is_valid({"stage": [{"name": "one", "use": use, **options}]}) == fits


def build(tables: dict[str, Any]) -> None:
    """Build what a file says, as far as each stage by itself."""
    for stage in parse_config(tables, Path("pipeline.toml")).stages:
        validate(load_stage(stage.use).Config, stage.options, "stage", None)


@pytest.mark.parametrize(
    "tables",
    [
        {"stage": []},
        {"stage": [{"use": "console"}]},
        {"stage": [{"name": "a b", "use": "console"}]},
        {"stage": [{"name": "a", "use": "consol"}]},
        {"stage": [{"name": "a", "use": "console", "every": 0}]},
        {"stage": [{"name": "a", "use": "console", "every": "1"}]},
        {"stage": [{"name": "a", "use": "console", "queue": 0}]},
        {"stage": [{"name": "a", "use": "console", "from": 1}]},
        {"stage": [{"name": "a", "use": "udp", "size": [1, 2, 3]}]},
        {"stage": [{"name": "a", "use": "console"}], "runn": {}},
        {"stage": [{"name": "a", "use": "console"}], "run": {"transport": "udp"}},
        {"stage": [{"name": "a", "use": "console"}], "overload": {}},
    ],
    ids=str,
)
def test_both_refuse_mistakes(tables: dict[str, Any], schema: Any) -> None:
    assert not schema.is_valid(tables)
    with pytest.raises(ConfigError):
        build(tables)


def test_it_takes_what_each_form_allows(schema: Any) -> None:
    camera = {"name": "camera", "use": "udp", "size": [480, 640], "policy": "block"}
    mine = {"name": "mine", "use": "my_stages:Mine", "from": "camera", "anything": {"at": "all"}}
    both = {"name": "screen", "use": "console", "from": ["mine", "camera.late"]}
    schema.validate({"run": {"name": "one"}, "stage": [camera, mine, both]})


def test_it_explains_keys(schema: Any) -> None:
    stage = schema.schema["properties"]["stage"]["items"]
    assert "Unique in the file" in stage["properties"]["name"]["description"]
    replay = next(one for one in stage["oneOf"] if one["title"] == "replay")
    assert replay["description"].startswith("Play recordings")
    assert "real time" in replay["properties"]["speed"]["description"]


@pytest.mark.parametrize("use", BUILT_IN)
def test_no_stage_has_an_option_that_every_table_has(use: str) -> None:
    """It would never reach the stage."""
    common = {field.alias or name for name, field in StageTable.model_fields.items()}
    assert not common & {*load_stage(use).Config.model_fields}

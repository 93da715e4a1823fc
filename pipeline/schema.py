"""The JSON schema of a pipeline file, for editors: made of the classes that check the file.

It is draft 7, which the editors' TOML extensions understand. It knows what can be said of a key by
itself: names, types, limits, choices, texts. What needs another stage, or a file, only
`pipeline check` can tell.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from pipeline.config import RESERVED, StageTable
from pipeline.options import texts_of
from pipeline.registry import load_stage

__all__ = ["pipeline_schema"]

_CLASS_PATTERN = r"^[\w.]+:\w+$"


def pipeline_schema(stages: Iterable[str]) -> dict[str, Any]:
    """Return the schema of pipeline files, as JSON values.

    Args:
        stages: names of the stages that a file may use, see `pipeline.registry.stage_names`.

    Raises:
        ConfigError: a stage cannot be imported.
    """
    common = _table(StageTable)
    # A single name stands for a list of one, see `pipeline.config`.
    several = common["properties"]["from"]
    common["properties"]["from"] = {
        "anyOf": [{"type": "string"}, {key: several.pop(key) for key in ("type", "items")}],
        **several,
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Pipeline file",
        "description": "Stages that run together, and how. `pipeline check` checks all of it.",
        "type": "object",
        "properties": {
            **{name: _table(table) for name, table in RESERVED.items()},
            "stage": {
                "description": "A stage; without `from` it takes its input from the one above.",
                "type": "array",
                "minItems": 1,
                "items": {
                    **common,
                    "additionalProperties": True,  # each of the alternatives knows its own
                    "oneOf": [
                        *(_stage(name, common["properties"]) for name in stages),
                        _own_stage(),
                    ],
                },
            },
        },
        "required": ["stage"],
        "additionalProperties": False,
    }


def _stage(name: str, common: Iterable[str]) -> dict[str, Any]:
    """Return the schema of one kind of stage; the keys of all are described once for all."""
    stage = load_stage(name)
    table = _table(stage.Config)
    known: dict[str, Any] = {key: {} for key in common} | {"use": {"const": name}}
    return {
        **table,
        "title": name,
        "description": _summary(stage),
        "properties": {**known, **table["properties"]},
    }


def _own_stage() -> dict[str, Any]:
    """Return the schema of a stage that is named by its class, whose options nobody knows."""
    use = {"type": "string", "pattern": _CLASS_PATTERN}
    return {"title": "module:Class", "properties": {"use": use}}


def _table(model: type[BaseModel]) -> dict[str, Any]:
    made = model.model_json_schema(by_alias=True, ref_template="{model}")
    texts = texts_of(model)
    keys = made.setdefault("properties", {})
    for name, field in model.model_fields.items():
        if text := texts.get(name):
            keys[field.alias or name]["description"] = _text(text)
    made["description"] = _summary(model)
    tables = made.pop("$defs", {})
    table: dict[str, Any] = _plain(made, tables)
    return table


def _plain(value: Any, tables: dict[str, Any]) -> Any:
    """Say in the words of draft 7 what pydantic says in those of 2020-12."""
    if isinstance(value, list):
        return [_plain(each, tables) for each in value]
    if not isinstance(value, dict):
        return value
    if reference := value.get("$ref"):
        # A table within a table is written out where it stands.
        rest = {key: each for key, each in value.items() if key != "$ref"}
        return {**_plain(tables[reference], tables), **_plain(rest, tables)}
    # TOML has no null: an option is left out.
    kinds = [kind for kind in value.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        rest = {key: each for key, each in value.items() if key != "anyOf"}
        return _plain({**kinds[0], **rest}, tables)
    made = {}
    for key, each in value.items():
        # A key's own title says its name once more; an option may be called `title`, though.
        if (key == "title" and isinstance(each, str)) or (key == "default" and each is None):
            continue
        if key == "format":
            continue  # a path is a text
        if key == "properties":
            made[key] = {name: _plain(one, tables) for name, one in each.items()}
        elif key == "prefixItems":
            made["items"] = _plain(each, tables)
        elif key == "anyOf":
            made[key] = _plain(kinds, tables)
        else:
            made[key] = _plain(each, tables)
    return made


def _summary(owner: type) -> str:
    return _text((owner.__doc__ or "").strip().partition("\n")[0])


def _text(text: str) -> str:
    return " ".join(text.replace("``", "`").split())

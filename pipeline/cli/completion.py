"""What a shell completes beyond names of files and options: stages, and keys for ``--set``."""

from collections.abc import Iterator
from pathlib import Path

import typer

from pipeline.errors import PipelineError

__all__ = ["overrides", "stage_kinds"]


def stage_kinds(incomplete: str) -> list[str]:
    """Return the kinds of stages whose name begins so."""
    from pipeline.registry import stage_names

    return [name for name in stage_names() if name.startswith(incomplete)]


def overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return what ``--set`` may name in the file that is named before it, or in the usual one."""
    # A line that ends within an option is not taken apart: the file is among the loose words.
    named = [word for word in ctx.args if not word.startswith("-")]
    file = Path(named[0]) if named else ctx.params.get("file") or Path("pipeline.toml")
    try:
        return [place for place in _places(file) if place.startswith(incomplete)]
    except PipelineError:  # a shell has no use for errors while a line is being written
        return []


def _places(file: Path) -> Iterator[str]:
    from pipeline.config import RESERVED, read_config
    from pipeline.registry import load_stage

    for table, model in RESERVED.items():
        for key in model.model_fields:
            yield f"{table}.{key}="
    for stage in read_config(file).stages:
        for name, field in load_stage(stage.use).Config.model_fields.items():
            yield f"{stage.name}.{field.alias or name}="

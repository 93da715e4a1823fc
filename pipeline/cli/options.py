"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["File", "Json", "Set"]

File: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", help="The pipeline's TOML file.")]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="STAGE.KEY=VALUE",
        help="Override a value of the file; may be given several times.",
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

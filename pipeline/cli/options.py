"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["File", "Json", "Set", "Size"]

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
Size: TypeAlias = Annotated[
    tuple[int, int] | None,
    typer.Option(
        metavar="HEIGHT WIDTH",
        min=1,
        help="Size of the sensor in pixels, where the file does not say it.",
    ),
]

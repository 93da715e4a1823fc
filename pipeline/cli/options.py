"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["File", "Json", "Replace", "Set", "Size", "refuse_existing"]

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
Replace: TypeAlias = Annotated[bool, typer.Option("--replace", help="Write over an old OUT.")]
Size: TypeAlias = Annotated[
    tuple[int, int] | None,
    typer.Option(
        metavar="HEIGHT WIDTH",
        min=1,
        help="Size of the sensor in pixels, where the file does not say it.",
    ),
]


def refuse_existing(target: Path, replace: bool) -> None:
    """Leave a file alone that nobody said is to be written over.

    Raises:
        ConfigError: there is one.
    """
    from pipeline.errors import ConfigError

    if not replace and target.exists() and not target.is_dir():
        raise ConfigError(f"{target}: exists already; remove it or give --replace")

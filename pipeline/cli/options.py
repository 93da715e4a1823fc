"""Arguments that several commands share."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from pipeline.cli.completion import overrides

__all__ = [
    "Address",
    "Engine",
    "File",
    "Json",
    "Processes",
    "Replace",
    "Set",
    "Size",
    "Stream",
    "plain",
    "refuse_existing",
    "size_of",
]

Address: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="A cluster of Ray's that is running; auto: the one that this machine is in.",
    ),
]
Engine: TypeAlias = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Who works: processes of this machine, or Ray's on one machine or many."),
]
Processes: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, help="Side by side; as many as there are processors."),
]
File: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", help="The pipeline's TOML file.")]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="STAGE.KEY=VALUE",
        help="Override a value of the file; may be given several times.",
        autocompletion=overrides,
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Replace: TypeAlias = Annotated[bool, typer.Option("--replace", help="Write over an old OUT.")]
Size: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="WIDTHxHEIGHT",
        help="Size of the sensor in pixels, such as 640x480, where the file does not say it.",
    ),
]
Stream: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Which stream of events, where the file has several: name, camera or topic.",
    ),
]


def size_of(text: str | None) -> tuple[int, int] | None:
    """Return the (height, width) that ``--size`` says, None where it was not given.

    Raises:
        ConfigError: it is no size.
    """
    if text is None:
        return None
    from pipeline.errors import ConfigError
    from pipeline.events import LARGEST_SIDE_PX

    found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text, re.ASCII | re.IGNORECASE)
    width, height = (int(side) for side in found.groups()) if found else (0, 0)
    if not 0 < width <= LARGEST_SIDE_PX or not 0 < height <= LARGEST_SIDE_PX:
        raise ConfigError(
            f"--size: must be WIDTHxHEIGHT, 1 to {LARGEST_SIDE_PX} px each, such as 640x480, got"
            f" {text!r}"
        )
    return height, width


def plain(value: Any) -> Any:
    """Return a value of TOML as one of JSON, as a card or a cache can hold it."""
    return json.loads(json.dumps(value, default=str))


def refuse_existing(target: Path, replace: bool) -> None:
    """Leave a file alone that nobody said is to be written over.

    Raises:
        ConfigError: there is one.
    """
    from pipeline.errors import ConfigError

    if not replace and os.path.exists(target) and not os.path.isdir(target):
        raise ConfigError(f"{target}: exists already; remove it or give --replace")

"""``pipeline init``."""

import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.template import Network

__all__ = ["init"]


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make.")] = Path(
        "pipeline.toml"
    ),
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="A recording, folder or pattern; or dv_camera, neuromorphic_camera, dv_network or"
            " udp.",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|WEIGHTS",
            help="Shipped weights by name, or a weights file; none: events alone, to record.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="SINKS",
            help="Where results go, with commas between: screen, dashboard, jsonl, csv, hdf5,"
            " sqlite, record.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The pipeline's name.")] = None,
) -> None:
    """Make a pipeline file that works, of the answers to four questions.

    In a terminal it asks for what is not given. The file is checked before it is written; one that
    is there is never written over. Warnings, as of a recording that is too short for a prediction,
    are on standard error.
    """
    from pipeline.cli.safety import warnings
    from pipeline.config import parse_config
    from pipeline.errors import ConfigError
    from pipeline.graph import build_graph
    from pipeline.template import NO_NETWORK, Answers, file_text, sinks_of

    if file.exists():
        raise ConfigError(f"{file}: exists already; name another file")
    if not file.parent.is_dir():
        raise ConfigError(f"{file}: there is no folder {file.parent}; make it first")
    source = from_ or _ask("--from", "Where do events come from (a recording, or dv_camera, …)?")
    shipped = _shipped()
    choices = ", ".join([*shipped, "a weights file", NO_NETWORK])
    named = network or _ask("--network", f"Which network ({choices})?", next(iter(shipped), None))
    chosen = None if named == NO_NETWORK else _network(named, shipped)
    usual = "record" if chosen is None else "screen,jsonl"
    sinks = sinks_of(
        to or _ask("--to", "Where do results go (with commas between)?", usual), chosen is not None
    )
    usual = re.sub(r"[^A-Za-z0-9_-]", "_", file.stem)[:40] or "run"
    called = name or _ask("--name", "What is it called?", usual)
    text = file_text(Answers(called, source, chosen, sinks), file.parent)
    graph = build_graph(parse_config(tomllib.loads(text), file))
    try:
        with open(file, "x", encoding="utf-8") as made:
            made.write(text)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}; name another") from None
    for warning in warnings(graph):
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{file}: written; next: pipeline run {file}")


def _ask(flag: str, question: str, usual: str | None = None) -> str:
    """Return what the user answers.

    Raises:
        ConfigError: nobody is there to ask.
    """
    from pipeline.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError(f"{flag}: is required where there is no terminal to ask in; give it")
    answer: str = typer.prompt(question, default=usual)
    return answer.strip()


def _shipped() -> dict[str, Path]:
    """Return the weights that come with the package, by name."""
    folder = Path(str(import_module("models").__file__)).parent / "weights"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def _network(named: str, shipped: dict[str, Path]) -> "Network":
    """Return what a network takes.

    Raises:
        ConfigError: there is none, or its steps are no windows of events.
        ModelError: the file cannot be used.
    """
    from pipeline.errors import ConfigError
    from pipeline.registry import nearest
    from pipeline.template import Network

    path = shipped.get(named, Path(named))
    if named not in shipped and not path.exists():
        raise ConfigError(
            f"--network: there are no weights '{named}'{nearest(named, [*shipped, 'none'])}"
        )
    card = import_module("models").read_card(path)
    if card.frame != "counts" or card.window_us is None:
        raise ConfigError(
            f"--network: {path}: {card.network} takes {card.frame} without a length in time, not"
            " windows of events; start from one of models/pipelines instead"
        )
    return Network(path, card.window_us, card.input_size, card.steps)

"""``pipeline init``."""

import re
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from pipeline.graph import Graph
    from pipeline.template import Network

_T = TypeVar("_T")

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

    In a terminal it asks for what is not given, and again where an answer will not do. The file is
    checked before it is written; one that is there is never written over. Warnings, as of a
    recording that is too short for a prediction, are on standard error.
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

    def made_of(answers: Answers) -> "tuple[str, Graph]":
        text = file_text(answers, file.parent)
        return text, build_graph(parse_config(tomllib.loads(text), file))

    def fits_source(source: str) -> str:
        made_of(Answers("run", source, None, ("record",)))
        return source

    def fits_name(name: str) -> str:
        made_of(Answers(name, "udp", None, ("record",)))
        return name

    shipped = _shipped()
    source = _answer(
        from_, "--from", "Where do events come from (a recording, or dv_camera, …)?", fits_source
    )
    choices = ", ".join([*shipped, "a weights file", NO_NETWORK])
    chosen = _answer(
        network,
        "--network",
        f"Which network ({choices})?",
        lambda named: None if named == NO_NETWORK else _network(named, shipped),
        next(iter(shipped), None),
    )
    sinks = _answer(
        to,
        "--to",
        "Where do results go (with commas between)?",
        lambda named: sinks_of(named, chosen is not None),
        "record" if chosen is None else "screen,jsonl",
    )
    usual = re.sub(r"[^A-Za-z0-9_-]", "_", file.stem)[:40] or "run"
    called = _answer(name, "--name", "What is it called?", fits_name, usual)
    text, graph = made_of(Answers(called, source, chosen, sinks))
    try:
        with open(file, "x", encoding="utf-8") as made:
            made.write(text)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}; name another") from None
    for warning in warnings(graph):
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{file}: written; next: pipeline run {file}")


def _answer(
    given: str | None,
    flag: str,
    question: str,
    read: Callable[[str], _T],
    usual: str | None = None,
) -> _T:
    """Return what was given, or else what the user answers; who is asked may try again.

    Args:
        given: what the command line says.
        flag: what would have said it.
        question: for the user.
        read: makes something of the answer.
        usual: the answer of who only presses enter.

    Raises:
        ConfigError: nobody is there to ask.
        Exception: of ``read``, about what was given.
    """
    from pipeline.errors import ConfigError

    if given is not None:
        return read(given)
    if not sys.stdin.isatty():
        raise ConfigError(f"{flag}: is required where there is no terminal to ask in; give it")
    while True:
        try:
            return read(typer.prompt(question, default=usual).strip())
        except Exception as error:
            if not hasattr(error, "exit_code"):  # a bug, and no wrong answer
                raise
            print(error, file=sys.stderr)


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

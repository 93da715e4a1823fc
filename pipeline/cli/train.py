"""``pipeline train``."""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console
    from rich.table import Table

__all__ = ["train"]

_MOST_COLUMNS = 15
"""Classes whose confusion matrix fits a terminal of 80 columns, with their names."""
_MOST_ROWS = 50
"""Classes up to which each gets a line."""


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe's TOML file.")],
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A variant of the recipe, laid over it; may be repeated."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Weights file; out/NAME.safetensors. Beside it: out/NAME/.")
    ] = None,
    data: Annotated[Path, typer.Option(help="Where training data are kept.")] = Path("data"),
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="TABLE.KEY=VALUE",
            help="Override a value of the recipe; may be given several times.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Override training.seed: weights, order, augmentation.")
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--fresh",
            help="Go on with an unfinished run, or start over; by default go on if there is one.",
        ),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Cores to use.")] = os.cpu_count() or 1,
    devices: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Training processes on this host, each with a GPU of its own."
        ),
    ] = 1,
    nodes: Annotated[int, typer.Option(min=1, metavar="N", help="Hosts that train together.")] = 1,
    node_rank: Annotated[
        int, typer.Option(metavar="K", help="Which of them this is, from 0; 0 writes the weights.")
    ] = 0,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where the hosts meet: a free port of host 0."),
    ] = None,
) -> None:
    """Train a network from a recipe, and test it on people that it has never seen.

    A run that was stopped or killed goes on from its last save when it is started again in the same
    way, and ends with the same weights. Ctrl-C saves and stops. A finished run is left alone.

    With --devices, and --nodes on several hosts, each batch is dealt out to the processes: they
    learn what one would. What torchrun and srun tell the processes that they start is heeded.
    """
    training = import_module("models.training")
    changes = [_change(each) for each in set_ or []]
    if seed is not None:
        changes.append({"training": {"seed": seed}})
    asked = training.load_recipe(recipe, variant or [], changes)
    name = "_".join([recipe.stem, *(variant or [])])
    target = out or Path("out") / f"{name}.safetensors"
    teams = import_module("models.training.team")
    try:
        with teams.team(devices, nodes, node_rank, address, os.environ) as team:
            console = _console(not team.speaks)
            ended = _train(
                team,
                recipe,
                variant or [],
                asked,
                target,
                data,
                resume,
                processes,
                devices,
                console,
            )
    except import_module("models.errors").EchoError as error:
        sys.exit(error.exit_code)  # the first process tells it
    except import_module("models.training.fit").Interrupted as stopped:
        if team.speaks:
            print(f"{stopped}; the same command goes on", file=sys.stderr)
        sys.exit(130)
    if ended is not None:
        _show(*ended, target, console)


def _train(
    team: Any,
    recipe: Path,
    variants: Sequence[str],
    asked: Any,
    target: Path,
    folder: Path,
    resume: bool | None,
    processes: int,
    devices: int,
    console: "Console",
) -> tuple[Any, Any] | None:
    """Make the data and train; return how it went and the data, where there is something to show.

    Args:
        team: Who trains.
        recipe: The recipe's file.
        variants: What was laid over it.
        asked: What it says.
        target: The weights file.
        folder: Where training data are kept.
        resume: Whether to go on.
        processes: Cores to use.
        devices: Training processes that share them.
        console: Where to say it.
    """
    from pipeline import __version__
    from pipeline.errors import ConfigError

    if team.speaks:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"--out: the folder {target.parent} cannot be made: {error.strerror}; name another"
            ) from None
    _say_what(recipe, variants, asked, target, console)
    trainer = import_module("models.training.trainer")
    with _mistakes_in(recipe, type(asked).model_fields):
        check = import_module("models.training.request").check_request
        taken = team.first(lambda: check(asked, target, team.processes))
        parts = team.prepare(lambda: _prepare(asked, taken, folder, processes, console))
    job = import_module("models.training.launch").Job(
        asked,
        parts.train,
        parts.validation,
        parts.test,
        target,
        resume,
        max(1, processes // devices),
        partial(_console, not team.speaks),
        f"pipeline {__version__}",
    )

    def finished() -> str | None:
        if resume is not None:
            return None
        done = trainer.finished(asked, parts.train, parts.validation, target, test=parts.test)
        return None if done is None else str(done.accuracy)

    with _mistakes_in(recipe, type(asked).model_fields):
        done = team.agree(finished, job, lambda: None)
        if done is not None:
            said = f"finished already: {target} ({done}); --fresh trains again"
            console.print(said, highlight=False, markup=False, soft_wrap=True)
            return None
        with _stopping() as stop:
            result = team.train(job, stop.is_set)
    if result is None:
        console.print("trained; the weights are written on host 0", highlight=False)
        return None
    return result, parts


def _show(result: Any, parts: Any, target: Path, console: "Console") -> None:
    """Keep what belongs to the weights beside them, and say how it went."""
    report = target.with_suffix("") / "report"
    shutil.copyfile(parts.parts, report / "parts.json")
    written = [str(target), str(report)]
    for name, path in parts.learnt.items():
        kept = target.with_suffix(f".{name}{Path(path).suffix}")
        shutil.copyfile(path, kept)
        written.append(str(kept))
    confusion = result.confusion if result.test is None else result.test
    if len(result.card.classes) <= _MOST_ROWS:
        console.print(_table(confusion, result.card.classes))
    console.print(result.card.accuracy, highlight=False)
    console.print(f"written: {', '.join(written)}", highlight=False)


def _console(quiet: bool) -> "Console":
    from rich.console import Console

    return Console(stderr=True, width=None if sys.stderr.isatty() else 120, quiet=quiet)


def _say_what(
    recipe: Path, variants: Sequence[str], asked: Any, target: Path, console: "Console"
) -> None:
    """Say what will be done: loading torch and preparing the data take a while."""
    variant = f", variant {' and '.join(variants)}" if variants else ""
    console.print(
        f"{recipe}{variant}: trains {asked.network.name} on the set {asked.data.set}; weights go to"
        f" {target}, the run is kept in {target.with_suffix('')}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _change(override: str) -> dict[str, Any]:
    """Turn ``TABLE.KEY=VALUE`` into a table to lay over the recipe."""
    from pipeline.cli.options import plain
    from pipeline.config import value_of
    from pipeline.errors import ConfigError

    place, equals, text = override.partition("=")
    *tables, key = place.strip().split(".")
    if not equals or not tables or not all((*tables, key)):
        raise ConfigError(f"--set {override}: must be TABLE.KEY=VALUE, as training.epochs=20")
    value = plain(value_of(text.strip()))
    if place.strip() == "network.start_from":
        value = os.path.abspath(value)  # given here, it is relative to here
    change: dict[str, Any] = {key: value}
    for table in reversed(tables):
        change = {table: change}
    return change


@contextmanager
def _mistakes_in(recipe: Path, tables: Iterable[str]) -> Iterator[None]:
    """Name the recipe's file before what is said of one of its keys."""
    try:
        yield
    except Exception as error:
        of_a_key = str(error).partition(".")[0] in tables
        if of_a_key and getattr(error, "exit_code", None) == 2:
            error.args = (f"{recipe}: {error}",)
        raise


def _prepare(
    recipe: Any, taken: tuple[int, int, int], folder: Path, processes: int, console: "Console"
) -> Any:
    """Return the recipe's data, and say on the way what is being made.

    Args:
        recipe: As it was read.
        taken: What the network takes: channels, height and width of a frame.
        folder: Where training data are kept.
        processes: Cores to use.
        console: Where to say it.
    """
    from rich.progress import Progress

    def admit(port: Any) -> None:
        given = (port.channels, port.height, port.width)
        import_module("models.training.checks").check_frames(recipe.network.name, taken, given)

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = {"": progress.add_task("looking for the data", total=None)}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                progress.update(tasks[""], visible=False)
                tasks[what] = progress.add_task(what, total=of)
                if not console.is_terminal:
                    console.print(f"{what}: {of}", highlight=False, markup=False)
            progress.update(tasks[what], completed=done)

        parts = import_module("stages.datasets.training_set").prepare(
            recipe, folder, processes, show, admit
        )
    counts = {"train": parts.train, "validate": parts.validation, "test": parts.test}
    told = [f"{len(part)} to {verb}" for verb, part in counts.items() if part is not None]
    console.print(f"examples: {', '.join(told)}", highlight=False)
    for note in parts.notes:
        console.print(f"note: {note}", style="yellow", highlight=False)
    return parts


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Let Ctrl-C or SIGTERM ask for a stop, and a second Ctrl-C end the program at once."""
    asked = threading.Event()

    def ask(number: int, frame: object) -> None:
        if number == signal.SIGINT and asked.is_set():
            os._exit(130)  # Lightning would take KeyboardInterrupt for its own
        if not asked.is_set():
            print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr)
        asked.set()

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):  # not the main thread: signals stay where they are
            before[number] = signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _table(confusion: "NDArray[np.int64]", classes: Sequence[str]) -> "Table":
    """Return the confusion matrix with a row for each true class; of many, what was mistaken."""
    from rich import box
    from rich.table import Table

    if len(classes) > _MOST_COLUMNS:
        return _mistakes(confusion, classes)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="rows: shown, columns: predicted")
    table.add_column("class")
    for number in range(1, len(classes) + 1):
        table.add_column(str(number), justify="right")
    for number, (name, row) in enumerate(zip(classes, confusion.tolist(), strict=True), start=1):
        cells = [str(count) if count else "·" for count in row]
        cells[number - 1] = f"[bold]{cells[number - 1]}[/bold]"
        table.add_row(f"{number:2} {name}", *cells)
    return table


def _mistakes(confusion: "NDArray[np.int64]", classes: Sequence[str]) -> "Table":
    """Return, of each true class, how many were right, and what it was most often taken for."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="the whole matrix is in the report")
    for heading in ("shown", "right", "most often taken for"):
        table.add_column(heading, justify="right" if heading == "right" else "left")
    for number, (name, row) in enumerate(zip(classes, confusion.tolist(), strict=True)):
        wrong = [0 if k == number else count for k, count in enumerate(row)]
        worst = max(range(len(wrong)), key=wrong.__getitem__)
        taken = f"{classes[worst]} ({wrong[worst]})" if wrong[worst] else "·"
        table.add_row(name, f"{row[number]} of {sum(row)}", taken)
    return table

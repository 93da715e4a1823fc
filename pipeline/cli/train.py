"""``pipeline train``."""

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table

__all__ = ["train"]


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe's TOML file.")],
    out: Annotated[Path | None, typer.Option(help="Weights file; out/NAME.safetensors.")] = None,
    data: Annotated[Path, typer.Option(help="Where training data are kept.")] = Path("data"),
    processes: Annotated[int, typer.Option(min=1, help="Cores to use.")] = os.cpu_count() or 1,
) -> None:
    """Train a network from a recipe, and test it on people that it has never seen."""
    import msgspec
    from rich.console import Console
    from rich.progress import Progress

    from pipeline import __version__
    from pipeline.errors import ConfigError

    training = import_module("models.training")
    console = Console(stderr=True)
    asked = training.load_recipe(recipe)
    target = out or Path("out") / f"{recipe.stem}.safetensors"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out: the folder {target.parent} cannot be made: {error.strerror}; name another"
        ) from None
    with Progress(console=console, transient=True) as progress:
        tasks = {}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=of)
            progress.update(tasks[what], completed=done)

        prepare = import_module("stages.datasets.training_set").prepare
        parts = prepare(asked, data, processes, show)
    import_module("torch").set_num_threads(processes)
    result = training.train(
        asked,
        parts.train,
        parts.validation,
        target,
        progress=console,
        created_by=f"pipeline {__version__}",
    )
    network = import_module("models").load(target)
    confusion = training.evaluate(network, parts.test.frames, parts.test.labels)
    right, total = int(confusion.trace()), int(confusion.sum())
    people = len(set(parts.test.groups.tolist()))
    tested = f"{right} of {total} recordings right ({right / total:.1%}), of {people} unseen people"
    card = msgspec.structs.replace(result.card, accuracy=f"test: {tested}")
    import_module("models.weights").save(network, card, target)
    console.print(_table(confusion, parts.test.classes))
    console.print(f"test: {tested}; validation: {result.accuracy:.1%}", highlight=False)
    console.print(f"written: {target}", highlight=False)


def _table(confusion: "NDArray[np.int64]", classes: Sequence[str]) -> "Table":
    """Return the confusion matrix with a row for each true class."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="rows: shown, columns: predicted")
    table.add_column("class")
    for number in range(1, len(classes) + 1):
        table.add_column(str(number), justify="right")
    for number, (name, row) in enumerate(zip(classes, confusion.tolist(), strict=True), start=1):
        cells = [str(count) if count else "·" for count in row]
        cells[number - 1] = f"[bold]{cells[number - 1]}[/bold]"
        table.add_row(f"{number:2} {name}", *cells)
    return table

"""``pipeline simulate``."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Address, Engine, Processes

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["simulate"]

_PREFIX = "simulated_"


def simulate(
    folder: Annotated[Path, typer.Argument(help="Where to write; made if it does not exist.")],
    data_set: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="gestures, digits, mnist_dvs, cifar10_dvs, rgb_gesture, jester, reviews, nodules"
            " or es_imagenet.",
        ),
    ] = "gestures",
    people: Annotated[int, typer.Option(min=1, help="Gestures: how many people perform.")] = 1,
    first: Annotated[int, typer.Option(min=0, help="Gestures: number of the first person.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another performance.")] = 1,
    light: Annotated[
        str,
        typer.Option(
            help="Gestures: led, lab, fluorescent, natural, fluorescent_led, or each in turn."
        ),
    ] = "each",
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Gestures: length of a gesture in s.")
    ] = 2.0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the set, as in the table data of a recipe; may be repeated.",
        ),
    ] = None,
    processes: Processes = None,
    engine: Engine = "local",
    address: Address = None,
) -> None:
    """Make a simulated data set, in the files and folders of the real one that it stands in for.

    Gestures are AEDAT4 recordings with label files: a rendered person moves before a model of the
    DVS pixel. People differ, and the same number is always the same person. Nothing in any of the
    sets is real, but the handwriting of the digits. What is there already is kept.
    """
    from rich.console import Console

    values: dict[str, Any] = {"simulation_seed": seed}
    name = data_set.removeprefix(_PREFIX)
    if name == "gestures":
        values |= {"people": people, "first": first, "light": light}
        values["seconds_per_gesture"] = seconds
    values |= dict(_value(each) for each in set_ or [])
    console = Console(stderr=True)
    with import_module("stages.batch").engine_of(engine, address, processes) as workers:
        if name == "gestures":
            _gestures(folder, values, workers, console)
        else:
            _tree(name, folder, values, workers, console)


def _value(override: str) -> tuple[str, Any]:
    from pipeline.config import value_of
    from pipeline.errors import ConfigError

    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: must be KEY=VALUE, as people=20")
    return key.strip(), value_of(text.strip())


def _gestures(folder: Path, values: dict[str, Any], workers: Any, console: "Console") -> None:
    """Make recordings of gestures, and say of each how many events it has."""
    from rich.progress import Progress

    from pipeline.config import validate

    gestures = import_module("stages.datasets.simulated.gestures")
    requests = gestures.requests_for(validate(gestures.GestureOptions, values, "gestures", None))
    with Progress(console=console) as progress:
        task = progress.add_task("simulating", total=len(requests))
        made = gestures.simulate_folder(requests, folder, workers)
        for path, events in made:
            what = f"{events:,} events" if events else "was there already"
            progress.console.print(f"{path}: {what}", highlight=False)
            progress.advance(task)


def _tree(
    name: str, folder: Path, values: dict[str, Any], workers: Any, console: "Console"
) -> None:
    """Make another set, and say how many examples it has."""
    from rich.progress import Progress

    from pipeline.config import validate
    from pipeline.errors import ConfigError
    from pipeline.registry import nearest

    data_sets = import_module("stages.datasets")
    known = [one.removeprefix(_PREFIX) for one in data_sets.DATA_SETS if one.startswith(_PREFIX)]
    if name not in known:
        raise ConfigError(f"--data-set: no set is called '{name}'{nearest(name, known)}")
    kind = data_sets.load_data_set(_PREFIX + name)
    made = kind(folder, validate(kind.Options, values, name, None))
    with Progress(console=console) as progress:
        task = progress.add_task("simulating", total=None)
        made.make(
            workers,
            lambda what, done, total: progress.update(
                task, description=what, completed=done, total=total
            ),
        )
    examples = f"{len(made.items()):,} examples of {len(made.classes)} classes"
    console.print(f"{folder}: {examples}, all simulated", highlight=False)

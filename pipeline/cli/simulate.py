"""``pipeline simulate``."""

import os
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["simulate"]


def simulate(
    folder: Annotated[Path, typer.Argument(help="Where to write; made if it does not exist.")],
    people: Annotated[int, typer.Option(min=1, help="How many people perform.")] = 1,
    first: Annotated[int, typer.Option(min=0, help="Number of the first person.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another performance.")] = 1,
    light: Annotated[
        str, typer.Option(help="led, lab, fluorescent, natural, fluorescent_led, or each in turn.")
    ] = "each",
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of a gesture in s.")] = 2.0,
    processes: Annotated[int, typer.Option(min=1, help="Side by side.")] = os.cpu_count() or 1,
) -> None:
    """Make simulated recordings of the eleven gestures, as AEDAT4 with label files.

    Nothing in them is real: a rendered person moves before a model of the DVS pixel. People
    differ, and the same number is always the same person.
    """
    from rich.console import Console
    from rich.progress import Progress

    from pipeline.errors import ConfigError
    from pipeline.registry import nearest

    simulated = import_module("stages.datasets.simulated")
    lights = simulated.LIGHTS
    if light != "each" and light not in lights:
        raise ConfigError(f"--light: there is no light '{light}'{nearest(light, lights)}")
    requests = [
        simulated.SessionRequest(
            person, seed, lights[person % len(lights)] if light == "each" else light, seconds
        )
        for person in range(first, first + people)
    ]
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        task = progress.add_task("simulating", total=len(requests))
        for path, events in simulated.simulate_folder(requests, folder, min(processes, people)):
            what = f"{events:,} events" if events else "was there already"
            progress.console.print(f"{path}: {what}", highlight=False)
            progress.advance(task)

"""``pipeline evaluate``."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Address, Engine, File, Json, Processes, Set

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["evaluate"]

_BELOW = Path("out") / "evaluation"
_TOLD_EVERY_S = 10.0
"""Where there is no terminal a line tells so often how far it is, if anything is done by then."""


def evaluate(
    file: File,
    data: Annotated[
        str,
        typer.Option(
            metavar="SET=FOLDER|FOLDER",
            help="A data set and where it lies, such as nmnist=data/NMNIST; or a folder that has a"
            " folder for each class, with its recordings.",
        ),
    ],
    part: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="train, validation, test or all; by default all, or with --recipe the part that"
            " chose nothing.",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="RECIPE", help="The recipe of the training: options of the set, and its split."
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A variant of the recipe, laid over it; may be repeated."
        ),
    ] = None,
    decision: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="Whose predictions count, where several make some."),
    ] = None,
    set_: Set = None,
    load: Annotated[
        str | None,
        typer.Option(
            metavar="SPEEDS",
            help="Run it live besides, so many times faster than recorded: 1,8,64. At 1 it takes as"
            " long as the recordings.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Put it beside an earlier evaluation: its folder."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to write; out/evaluation/NAME-TIME."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over instead of going on where it was stopped.")
    ] = False,
    processes: Processes = None,
    engine: Engine = "local",
    address: Address = None,
    json: Json = False,
) -> None:
    """Measure how well a pipeline does on labelled recordings, with the stages of a live run.

    The source plays one recording after another, sinks are left out. Of each recording the last
    prediction is the answer. One that was stopped or killed goes on when it is started again in the
    same way. Ctrl-C stops.
    """
    from rich.console import Console

    from pipeline import __version__
    from pipeline.config import read_config

    console = Console(stderr=True, width=None if sys.stderr.isatty() else 120)
    _say(console, f"{file}: evaluated on {data}")
    speeds = _speeds(load)
    workers = import_module("stages.batch").engine_of(engine, address, processes)
    plans = import_module("stages.evaluation.plan")
    folders = import_module("stages.evaluation.results")
    config = read_config(file, set_ or [])
    plan = plans.plan_of(config, decision)
    other = None if compare is None else folders.read_results(compare)
    select = import_module("stages.evaluation.selection").select
    with workers, _bar(console, "looking for the data") as show:
        chosen = select(data, part, recipe, variant or [], plan.source.use, workers, show)
    request, labels = import_module("stages.evaluation.request").request_of(config, plan, chosen)
    training = import_module("stages.evaluation.trained")
    trained = training.trained_on(plan, chosen)
    for one in trained:
        if said := training.told_of(one, request.recordings):
            _say(console, f"note: {said}")
    with workers, folders.Results.open(out, _BELOW, request, fresh) as results:
        try:
            _work(plan, labels, chosen, results, workers, console)
            under_load = None
            if speeds:
                measure = import_module("stages.evaluation.load").measure_load
                with _bar(console, "runs under load") as show:
                    truth = [labels[item.label] for item in chosen.items]
                    under_load = measure(config, plan, chosen.items, truth, speeds, show)
        except KeyboardInterrupt:
            said = f"stopped; {len(results.done)} of {len(chosen.items)} recordings are done"
            print(f"{said}, the same command goes on", file=sys.stderr)
            sys.exit(130)
        done = sorted(results.done, key=lambda result: result.item)
        comparison = None
        if other is not None:
            comparing = import_module("stages.evaluation.compare").compare
            comparison = comparing(done, request.classes, other[1], other[0], str(compare))
        measures = import_module("stages.evaluation.measures")
        reports = import_module("stages.evaluation.report")
        report = reports.Report(
            request,
            measures.measure(done, request.classes, request.scores),
            trained,
            under_load,
            comparison,
            __version__,
        )
        reports.write_report(results.folder, report, done)
    if json:
        import msgspec

        print(msgspec.json.encode(reports.told(report)).decode())
    else:
        shown = Console(width=None if sys.stdout.isatty() else 120)
        shown.print(import_module("stages.evaluation.summary").summary(report))
    _say(console, f"written: {results.folder}, look at {results.folder / reports.PAGE}")


def _work(
    plan: Any,
    labels: Sequence[int],
    chosen: Any,
    results: Any,
    workers: Any,
    console: "Console",
) -> None:
    """Evaluate what is not done yet, and show how far it is."""
    finished = {result.item for result in results.done}
    count = len(chosen.items)
    waiting = [one for one in enumerate(chosen.items) if one[0] not in finished]
    what = f"{count} recordings of {len(chosen.classes)} classes ({chosen.part})"
    begun = f", {len(finished)} were done before" if finished else ""
    _say(console, f"{what}{begun}; results go to {results.folder}")
    work = import_module("stages.evaluation.work")
    right = import_module("stages.evaluation.measures").is_right
    hits = sum(map(right, results.done))
    with _bar(console, "opening the stages") as show:
        for result in work.evaluated(plan, labels, waiting, workers):
            results.add(result)
            hits += right(result)
            done = len(results.done)
            show(f"{hits} of {done} right ({hits / done:.1%})", done, count)


def _speeds(text: str | None) -> list[float]:
    """Return what ``--load`` asks for."""
    import math

    from pipeline.errors import ConfigError

    if text is None:
        return []
    try:
        speeds = [float(each) for each in text.split(",")]
    except ValueError:
        speeds = []
    if not speeds or not all(speed > 0 and math.isfinite(speed) for speed in speeds):
        raise ConfigError(f"--load: must be numbers above 0, such as 1,8,64, got {text!r}")
    return sorted(set(speeds))


@contextmanager
def _bar(console: "Console", what: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar with the time left on a terminal, and a line now and then elsewhere."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn())
    terminal = console.is_terminal
    lines = _printing(console)
    with Progress(*columns, *times, console=console, transient=True, disable=not terminal) as bar:
        task = bar.add_task(what, total=None)

        def show(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)
            if not terminal:
                lines(what, done, of)

        yield show


def _printing(
    console: "Console", clock: Callable[[], float] = time.monotonic
) -> Callable[[str, int, int], None]:
    """Return what tells progress in lines: at each tenth, and whenever the last is long ago."""
    told, told_s = -1, 0.0
    first, first_s = 0, 0.0

    def show(what: str, done: int, of: int) -> None:
        nonlocal told, told_s, first, first_s
        now_s = clock()
        if told < 0:
            # How long the first took, and those of an earlier run, says nothing of the others.
            first, first_s = done, now_s
        if 10 * done // max(of, 1) == told and now_s - told_s < _TOLD_EVERY_S:
            return
        told, told_s = 10 * done // max(of, 1), now_s
        left = ""
        if first < done < of:
            left = f", about {(now_s - first_s) / (done - first) * (of - done):.0f} s left"
        _say(console, f"{what}: {done} of {of}{left}")

    return show


def _say(console: "Console", line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)

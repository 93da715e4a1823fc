"""``pipeline check --capacity``."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

from typer import Option

if TYPE_CHECKING:
    from pipeline.capacity.costs import Costs
    from pipeline.capacity.forecast import Forecast, Load
    from pipeline.capacity.scene import Scene
    from pipeline.config import PipelineConfig
    from pipeline.graph import Graph

__all__ = [
    "FALLS_BEHIND",
    "Asked",
    "Calibrate",
    "Cameras",
    "Capacity",
    "Cores",
    "CostsFile",
    "Rate",
    "Recording",
    "tell_capacity",
]

FALLS_BEHIND = 3
"""Exit code where the pipeline cannot keep up."""

Capacity: TypeAlias = Annotated[
    bool,
    Option(
        "--capacity",
        help="Forecast whether it keeps up with its cameras: it is run for some seconds at several"
        f" rates, and what it takes is told of each process. Exit code {FALLS_BEHIND} if not.",
    ),
]
Rate: TypeAlias = Annotated[
    float | None,
    Option(
        metavar="EVENTS_PER_S",
        help="With --capacity: what each camera gives; else what the recording has on average.",
    ),
]
Cameras: TypeAlias = Annotated[
    int | None,
    Option(
        min=1, help="With --capacity: how many cameras, and so how many hosts; else the file's."
    ),
]
Cores: TypeAlias = Annotated[
    int | None, Option(min=1, help="With --capacity: of each host; else as many as this one has.")
]
CostsFile: TypeAlias = Annotated[
    Path | None,
    Option(
        "--costs",
        metavar="FILE",
        help="With --capacity: take the costs from there; where it does not exist, keep them there"
        " once they are measured.",
    ),
]
Calibrate: TypeAlias = Annotated[
    bool, Option("--calibrate", help="Measure the costs anew, also where --costs has some.")
]
Recording: TypeAlias = Annotated[
    Path | None,
    Option(metavar="FILE", help="With --capacity: what is played in the cameras' place."),
]


class Asked(NamedTuple):
    """What is asked of a forecast; None where it is left open."""

    rate_hz: float | None
    cameras: int | None
    cores: int | None
    costs: Path | None
    calibrates: bool
    recording: Path | None

    def refuse(self) -> None:
        """Refuse what has no meaning without a forecast.

        Raises:
            ConfigError: something was asked.
        """
        from pipeline.errors import ConfigError

        names = ("--rate", "--cameras", "--cores", "--costs", "--calibrate", "--recording")
        for name, value in zip(names, self, strict=True):
            if value not in (None, False):
                raise ConfigError(f"{name}: is for a forecast; give --capacity too")


def tell_capacity(config: "PipelineConfig", graph: "Graph", asked: Asked, json: bool) -> int:
    """Print what is to be expected of a pipeline; return the exit code.

    Args:
        config: the file.
        graph: what was built from it.
        asked: what is to be told.
        json: whether to print JSON.

    Raises:
        PipelineError: the request is wrong, or a trial failed.
    """
    from pipeline.capacity.costs import read_costs
    from pipeline.capacity.forecast import forecast
    from pipeline.checkpoint.fingerprint import fingerprint
    from pipeline.errors import ConfigError

    rate_hz = asked.rate_hz
    if rate_hz is not None and not 0 < rate_hz < 1e12:
        raise ConfigError(f"--rate: must be > 0 events a second, got {rate_hz:g}")
    if asked.costs is not None and asked.costs.exists() and not asked.calibrates:
        costs = read_costs(asked.costs, fingerprint(graph))
    else:
        costs = _measure(config, graph, rate_hz, asked.recording)
        if asked.costs is not None:
            costs.write(asked.costs)
    in_file = sum(1 for node in graph.nodes if not node.inputs)
    shared = _shared(graph)
    asked_hz = _known(costs.mean_hz) if rate_hz is None else rate_hz
    found = forecast(costs, asked_hz, asked.cameras, asked.cores, in_file, shared)
    peak = None
    if rate_hz is None and costs.peak_hz is not None:
        peak = forecast(costs, costs.peak_hz, asked.cameras, asked.cores, in_file).keeps_up
    if json:
        import msgspec

        told = {"forecast": found, "keeps_up_at_peak": peak, "costs": costs}
        print(msgspec.json.encode(told).decode())
    else:
        _print(graph, costs, found, peak, asked.cores)
    return 0 if found.keeps_up else FALLS_BEHIND


def _measure(
    config: "PipelineConfig", graph: "Graph", rate_hz: float | None, recording: Path | None
) -> "Costs":
    from pipeline.capacity.calibration import calibrate
    from pipeline.cli.progress import progress_bar

    scenes = _scenes(graph, recording)
    if rate_hz is None:
        known = (scene.rate_hz for scene in scenes.values() if not scene.is_random)
        rate_hz = _known(max(known, default=None))
    print(f"{graph.path}: trying it for some seconds at several rates", file=sys.stderr, flush=True)
    with progress_bar("trials") as told:
        return calibrate(config, graph, scenes, rate_hz, told)


def _known(mean_hz: float | None) -> float:
    """Return the rate of what was recorded; refuse to make one up."""
    from pipeline.errors import ConfigError

    if mean_hz is None:
        raise ConfigError(
            "--rate: is required where a source is live, for what it gives is not known; or give"
            " --recording FILE of such a camera"
        )
    return mean_hz


def _scenes(graph: "Graph", recording: Path | None) -> "dict[str, Scene]":
    from pipeline.capacity.scene import recorded, scene_of
    from pipeline.stage import Source

    sources = {n.name: n.stage for n in graph.nodes if isinstance(n.stage, Source)}
    if recording is not None:
        return dict.fromkeys(sources, recorded(recording))
    return {name: scene_of(one, f"{graph.path}: stage.{name}") for name, one in sources.items()}


def _shared(graph: "Graph") -> dict[str, bool]:
    """Return of each process whether it may work for several cameras at once."""
    joins = set[str]()
    for node in graph.nodes:
        fed = {one.partition(".")[0] for one in node.inputs}
        if node.stage.many_inputs or fed & joins:
            joins.add(node.name)
    return {
        group: all(node.name in joins for node in nodes) for group, nodes in graph.groups.items()
    }


def _print(
    graph: "Graph", costs: "Costs", found: "Forecast", peak: bool | None, cores: int | None
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from pipeline.capacity.forecast import MACHINE

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("process", overflow="fold")
    for column in ("load", "of", "idle", "a message", "an event", "keeps up to", "copies"):
        table.add_column(column, justify="right", no_wrap=True)
    several = found.cameras > 1
    for name, load in found.processes.items():
        cost = costs.processes[name]
        stages = ", ".join(node.name for node in graph.groups.get(name, ()) if node.name != name)
        table.add_row(
            f"{name}: {stages}" if stages else name,
            *_load(load),
            f"{cost.idle:.1%}",
            f"{cost.message_s * 1e6:,.1f} µs",
            f"{cost.event_s * 1e9:,.1f} ns",
            _rate(load.most_hz),
            str(found.copies[name]) if several else "",
        )
    table.add_row(MACHINE, *_load(found.machine), "", "", "", _rate(found.machine.most_hz), "")
    console = Console(highlight=False)
    console.print(table)
    say = partial(console.print, markup=False, soft_wrap=True)
    verdict = "keeps up" if found.keeps_up else "does not keep up"
    of = f"{found.cameras} cameras of " if several else ""
    say(f"{graph.path}: {verdict} with {of}{_rate(found.rate_hz)}")
    if found.most_hz is None:
        say("nothing binds: no process was seen to need more where there is more to do")
    else:
        say(f"the most is {_rate(found.most_hz)}; what binds is {found.binds}")
    if peak is not None:
        more = "is kept up with too" if peak else "is more than that: events wait meanwhile"
        say(f"the busiest tenth of a second, {_rate(costs.peak_hz)}, {more}")
    if several:
        say(_hosts(found))
    for line in _doubts(costs, cores):
        say(line, style="dim")


def _hosts(found: "Forecast") -> str:
    if found.hosts is None:
        return "more hosts do not help: one process is too slow for one camera"
    if not found.cameras_a_host:
        return f"hosts: {found.hosts}, the stages of each camera on several"
    return f"hosts: {found.hosts}, with up to {found.cameras_a_host} cameras on each"


def _doubts(costs: "Costs", cores: int | None) -> list[str]:
    lines = [
        f"costs fit what was measured at {len(costs.trials)} rates within {costs.worst_fit:.0%}"
    ]
    if costs.others > 0.1 * costs.cores:
        lines.append(
            f"other programs took {costs.others:.1f} of {costs.cores} cores meanwhile; measure"
            " again when the machine is at rest"
        )
    highest_hz = max(trial.rate_hz for trial in costs.trials)
    if not any(trial.is_behind for trial in costs.trials):
        lines.append(f"beyond {_rate(highest_hz)} nothing was tried")
    if cores not in (None, costs.cores):
        lines.append(f"measured with {costs.cores} cores; others are taken to be as good")
    lines.append(
        "not in it: the driver of a camera, the links between hosts, how long events wait in bursts"
    )
    return lines


def _load(load: "Load") -> tuple[str, str]:
    return f"{load.share:.1%}", f"{load.limit:.0%}"


def _rate(rate_hz: float | None) -> str:
    if rate_hz is None:
        return "any rate"
    for unit, size in (("Mev/s", 1e6), ("kev/s", 1e3)):
        if rate_hz >= size:
            return f"{rate_hz / size:,.3g} {unit}"
    return f"{rate_hz:,.3g} ev/s"

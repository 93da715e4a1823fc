"""``pipeline check``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from pipeline.cli.capacity import (
    Asked,
    Calibrate,
    Cameras,
    Capacity,
    Cores,
    CostsFile,
    Rate,
    Recording,
    tell_capacity,
)
from pipeline.cli.options import File, Json, Set

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.graph import Edge, Graph, Node

__all__ = ["check"]


def check(
    file: File = Path("pipeline.toml"),
    set_: Set = None,
    json: Json = False,
    verbose: Annotated[
        bool, Option("--verbose", "-v", help="Show the value of every option too.")
    ] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Show only what is wrong.")] = False,
    capacity: Capacity = False,
    rate: Rate = None,
    cameras: Cameras = None,
    cores: Cores = None,
    costs: CostsFile = None,
    calibrate: Calibrate = False,
    recording: Recording = None,
) -> None:
    """Check a pipeline file and show its graph, shapes, queues and placement; nothing is run.

    Shows too what a run would do about crashes and overload: whether there is a checkpoint to go on
    from, what comes twice behind a crash, what is given up. Warnings are on standard error.

    With --capacity it is run, on events in the cameras' place, and its results are thrown away.
    """
    from pipeline.cli.safety import warnings
    from pipeline.config import read_config
    from pipeline.graph import build_graph

    asked = Asked(rate, cameras, cores, costs, calibrate, recording)
    if not capacity:
        asked.refuse()
    config = read_config(file, set_ or [])
    graph = build_graph(config)
    for warning in warnings(graph):
        print(f"warning: {warning}", file=sys.stderr)
    if capacity:
        sys.exit(tell_capacity(config, graph, asked, json))
    if json:
        import msgspec

        print(msgspec.json.encode(_as_data(config, graph)).decode())
        return
    if not quiet:
        _print(config, graph, verbose)


def _as_data(config: "PipelineConfig", graph: "Graph") -> dict[str, Any]:
    from pipeline.cli.safety import safety_data, warnings
    from pipeline.stage import delivery_of

    edges = [
        {
            "from": edge.source,
            "to": edge.receiver,
            "capacity": edge.capacity,
            "transport": graph.edge_scheme(edge),
            "policy": edge.policy,
        }
        for edge in graph.edges
    ]
    nodes = [
        {
            "name": node.name,
            "use": node.use,
            "from": node.inputs,
            "gives": None if node.port is None else str(node.port),
            "process": node.group,
            "host": node.host,
            "delivers": delivery_of(type(node.stage)),
        }
        for node in graph.nodes
    ]
    safety = safety_data(config, graph)
    return {"name": graph.name, "stages": nodes, "queues": edges, **safety} | {
        "warnings": list(warnings(graph))
    }


def _print(config: "PipelineConfig", graph: "Graph", verbose: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from pipeline.cli.safety import safety_lines
    from pipeline.options import toml_text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("stage", "use", "takes from", "gives", "process"):
        table.add_column(column, overflow="fold")
    for node in graph.nodes:
        table.add_row(
            node.name,
            node.use,
            "\n".join(_queue(graph, edge) for edge in graph.edges if edge.receiver == node.name),
            "" if node.port is None else str(node.port),
            _process(graph, node),
        )
    console = Console(highlight=False)
    console.print(table)
    if verbose:
        for node in graph.nodes:
            console.print(node.name, style="bold")
            for key, value in dict(node.stage.config).items():
                console.print(f"    {key} = {toml_text(value)}", markup=False, soft_wrap=True)
    for line in safety_lines(config, graph):
        console.print(line, markup=False, soft_wrap=True)
    places = f"{len(graph.groups)} processes"
    if graph.hosts:
        places += f" on this host and {', '.join(graph.hosts)}"
    console.print(f"{graph.path}: ok, {len(graph.nodes)} stages in {places}")


def _queue(graph: "Graph", edge: "Edge") -> str:
    full = "" if edge.policy == "block" else f", {edge.policy} when full"
    return f"{edge.source} ({graph.edge_scheme(edge)}, {edge.capacity} messages{full})"


def _process(graph: "Graph", node: "Node") -> str:
    mates = [mate.name for mate in graph.groups[node.group] if mate.name != node.name]
    text = f"{node.group}, with {', '.join(mates)}" if mates else node.group
    return f"{text}, on {node.host}" if node.host else text

"""``pipeline check``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from pipeline.cli.options import File, Json, Set

if TYPE_CHECKING:
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
) -> None:
    """Check a pipeline file and show its graph, shapes, queues and placement; nothing is run."""
    from pipeline.config import read_config
    from pipeline.graph import build_graph

    graph = build_graph(read_config(file, set_ or []))
    if json:
        import msgspec

        print(msgspec.json.encode(_as_data(graph)).decode())
        return
    if not quiet:
        _print(graph, verbose)


def _as_data(graph: "Graph") -> dict[str, Any]:
    edges = [
        {
            "from": edge.source,
            "to": edge.receiver,
            "capacity": edge.capacity,
            "transport": graph.edge_scheme(edge),
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
        }
        for node in graph.nodes
    ]
    return {"name": graph.name, "stages": nodes, "queues": edges}


def _print(graph: "Graph", verbose: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

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

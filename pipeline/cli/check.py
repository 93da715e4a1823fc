"""``pipeline check``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.options import File, Json, Set

if TYPE_CHECKING:
    from pipeline.graph import Edge, Graph, Node

__all__ = ["check"]


def check(file: File = Path("pipeline.toml"), set_: Set = None, json: Json = False) -> None:
    """Check a pipeline file and show its graph, shapes, queues and placement; nothing is run."""
    from pipeline.config import read_config
    from pipeline.graph import build_graph

    graph = build_graph(read_config(file, set_ or []))
    if json:
        import msgspec

        print(msgspec.json.encode(_as_data(graph)).decode())
        return
    _print(graph)


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


def _print(graph: "Graph") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

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

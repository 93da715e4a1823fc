"""The edges of a graph: which nodes it has, where its loops are cut, in what order they run."""

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any, TypeAlias

from models.errors import ModelError

__all__ = ["Edge", "Nodes", "end", "loops", "nodes_and_edges", "ordered"]

Edge: TypeAlias = tuple[str, str]
Nodes: TypeAlias = dict[str, dict[str, Any]]

_NEURONS = frozenset({"I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Delay"})


def nodes_and_edges(graph: Mapping[str, Any]) -> tuple[Nodes, list[Edge]]:
    """Return the nodes of a graph by name, and its edges, each once.

    Raises:
        ModelError: It is no graph, or an edge leads to a node that it has not.
    """
    try:
        nodes = {str(name): {**node} for name, node in graph["nodes"].items()}
        edges = [*dict.fromkeys((str(a), str(b)) for a, b in graph["edges"])]
        kinds = {name: node["type"] for name, node in nodes.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"graph must have nodes, by name and each with its type, and edges, pairs of names;"
            f" {type(error).__name__}: {error}"
        ) from None
    for edge in edges:
        for name in edge:
            if name not in kinds:
                raise ModelError(f"edge {edge[0]!r} -> {edge[1]!r}: the graph has no node {name!r}")
    return nodes, edges


def end(kinds: Mapping[str, str], kind: str) -> str:
    """Return the one Input or Output of a graph.

    Raises:
        ModelError: It has none, or several.
    """
    names = [name for name, of in kinds.items() if of == kind]
    if len(names) != 1:
        raise ModelError(f"a graph must have one {kind} to be run here, it has {len(names)}")
    return names[0]


def loops(edges: Sequence[Edge], kinds: Mapping[str, str], start: str) -> frozenset[Edge]:
    """Return the edges that take their values from the step before: one in each loop.

    A loop is cut behind its last neuron, as seen from the input: what it put out goes on in the
    next step, which is what snnTorch's recurrent neurons do.

    Raises:
        ModelError: A loop has no neuron: it would have no value.
    """
    cut: list[Edge] = []
    while loop := _loop([edge for edge in edges if edge not in cut], start):
        neurons = [k for k, name in enumerate(loop) if kinds[name] in _NEURONS]
        if not neurons:
            raise ModelError(f"the loop {' -> '.join([*loop, loop[0]])} must have a neuron in it")
        last = neurons[-1]
        cut.append((loop[last], loop[(last + 1) % len(loop)]))
    return frozenset(cut)


def ordered(edges: Sequence[Edge], kinds: Mapping[str, str]) -> list[str]:
    """Return the nodes between input and output, each behind those that it takes values from.

    Args:
        edges: Without those that take them from the step before.
        kinds: Name of a node -> its type.
    """
    before: dict[str, list[str]] = {name: [] for name in kinds}
    for a, b in edges:
        before[b].append(a)
    order = TopologicalSorter(before).static_order()
    return [name for name in order if kinds[name] not in ("Input", "Output")]


def _loop(edges: Sequence[Edge], start: str) -> list[str]:
    """Return the names around the first loop that can be reached, in order; none: no name."""
    after: dict[str, list[str]] = {}
    for a, b in edges:
        after.setdefault(a, []).append(b)
    done: set[str] = set()
    path, todo = [start], [iter(after.get(start, ()))]
    while path:
        name = next(todo[-1], None)
        if name is None:
            done.add(path.pop())
            todo.pop()
        elif name in path:
            return path[path.index(name) :]
        elif name not in done:
            path.append(name)
            todo.append(iter(after.get(name, ())))
    return []

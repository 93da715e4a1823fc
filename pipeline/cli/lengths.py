"""Recordings that are too short for a prediction, for ``pipeline check`` and ``pipeline init``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.ports import PredictionsPort

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.graph import Graph, Node

__all__ = ["too_short"]

_LOOKED_AT = 32
"""Recordings of a source whose length is asked for; a set may have thousands."""


def too_short(graph: "Graph") -> Iterator[str]:
    """Yield of which recordings there will be no prediction, where their length can be known."""
    from pipeline.stage import Source

    for node in graph.nodes:
        if not isinstance(node.port, PredictionsPort) or node.port.needs_us is None:
            continue
        row = list(_above(graph, node))
        if any(getattr(one.stage.config, "origin_us", None) is not None for one in row):
            continue  # windows may begin before the first event, then there are more of them
        for one in row:
            if isinstance(one.stage, Source):
                known = {
                    path: length_us
                    for path in one.stage.recordings()[:_LOOKED_AT]
                    if (length_us := one.stage.length_us(path)) is not None
                }
                if said := _said(node, known, node.port.needs_us):
                    yield f"{graph.path}: stage.{node.name}: {said}"


def _said(node: "Node", known_us: "dict[Path, int]", needs_us: int) -> str:
    short = [path for path, length_us in known_us.items() if length_us < needs_us]
    if not short:
        return ""
    example = f"{short[0]} is {known_us[short[0]] / 1e6:g} s long"
    others = f", as are {len(short) - 1} of {len(known_us) - 1} others" if len(short) > 1 else ""
    over = ""
    if "over" in type(node.stage.config).model_fields:
        over = ', or set over = "recording" to have one of what there is'
    return (
        f"{example}, too short for a prediction, which needs {needs_us / 1e6:g} s{others}; play"
        f" longer recordings{over}"
    )


def _above(graph: "Graph", node: "Node") -> "Iterator[Node]":
    """Yield a stage and all that lead to it; one that several ways lead from once for each."""
    yield node
    named = {one.name: one for one in graph.nodes}
    for source in node.inputs:
        yield from _above(graph, named[source.partition(".")[0]])

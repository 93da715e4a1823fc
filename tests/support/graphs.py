"""Small graphs of NIR, as files and as networks."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np

from models.interchange.nir_in import Imported, read

__all__ = ["FRAME", "chain", "imported", "written"]

FRAME = {"input_channels": 2, "size": [3, 4], "dt_s": 1.0}
"""Options for graphs that begin with frames (2, 3, 4); a step is one unit of time."""


def chain(*nodes: Any, shape: tuple[int, ...] = (2, 3, 4), output: int = 1) -> Any:
    """Return the graph of nodes in a row, called 0, 1, ..."""
    names = ["input", *map(str, range(len(nodes))), "output"]
    ends = [nir.Input(np.array(shape)), nir.Output(np.array([output]))]
    return nir.NIRGraph(
        nodes=dict(zip(names, [ends[0], *nodes, ends[1]], strict=True)),
        edges=[*pairwise(names)],
        type_check=False,
    )


def written(graph: Any, folder: Path) -> Path:
    """Write a graph to a file."""
    path = folder / "graph.nir"
    nir.write(path, graph)
    return path


def imported(graph: Any, folder: Path, **options: Any) -> Imported:
    """Write a graph, and read it back as a network."""
    return read(written(graph, folder), {**FRAME, **options})

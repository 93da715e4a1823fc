"""The files that a finished run has left: put down with its last checkpoint, and looked at later.

They are told from others as the files that a run reads are (`pipeline.checkpoint.fingerprint`): by
their size and the hash of their content, of long ones of their first and last megabyte.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.checkpoint.fingerprint import content_of
from pipeline.errors import CheckpointError
from pipeline.graph import Graph
from pipeline.stage import Sink

__all__ = ["check_results", "results_of"]


def results_of(graph: Graph) -> dict[str, str]:
    """Return what is in the files that sinks of this host have left, by their paths.

    Paths are as seen from the pipeline's file. What is no file, such as a device, is left out.
    """
    found = {}
    for node in graph.nodes:
        if isinstance(node.stage, Sink) and not node.host:
            for path in node.stage.results():
                if path.is_file():
                    found[os.path.relpath(path, graph.path.parent)] = content_of(path)
    return found


def check_results(results: Mapping[str, str], graph: Graph) -> None:
    """Look whether all files are as a finished run has left them.

    Args:
        results: what `results_of` returned when it had finished.
        graph: the run.

    Raises:
        CheckpointError: some are not; which, what they were and what they are.
    """
    wrong = []
    for name, was in results.items():
        path = Path(os.path.normpath(graph.path.parent / name))
        is_now = content_of(path) if path.is_file() else ""
        if not is_now:
            wrong.append(f"{path}: was removed since the run had come to its end")
        elif is_now != was:
            sizes = f"it was {was}, and is {is_now}"
            wrong.append(f"{path}: was changed since the run had come to its end ({sizes})")
    if wrong:
        remedy = "put it back as it was" if len(wrong) == 1 else "put them back as they were"
        raise CheckpointError(f"{'; '.join(wrong)}; {remedy}, or start over with --fresh")

"""The process from which a run's workers are forked: what they all need is loaded once.

Started by the runner as ``python -m pipeline.starter RUN_FOLDER REPORTS``. It builds the graph and
imports what the stages name (`Stage.imports`); then each group is a fork of it, which costs
milliseconds where a process of its own would load numpy, Numba and the stages again. Forking the
user's own process would be faster still, but that may have threads, which a fork must not have.

From then on it only waits for the workers, and tells the runner over the pipe ``REPORTS`` of each
that it started, and of each that has ended.
"""

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import setproctitle

from pipeline.config import parse_config
from pipeline.control import Plan
from pipeline.graph import Graph, build_graph
from pipeline.processes import born, dead
from pipeline.worker import die_with_supervisor, tell_failure, work

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Fork the workers of a run and wait until they have ended."""
    folder, reports = Path(arguments[0]), int(arguments[1])
    plan = msgspec.msgpack.decode((folder / "plan").read_bytes(), type=Plan)
    setproctitle.setproctitle(f"pipeline: {plan.run_id} starter")
    try:
        graph = build_graph(parse_config(plan.tables, Path(plan.path), plan.overrides))
    except Exception as error:
        tell_failure(folder, plan.run_id, error)
        return
    _load(graph)
    groups: dict[int, str] = {}
    for group in graph.groups:
        pid = os.fork()
        if not pid:
            os.close(reports)
            work(graph, group, folder, plan.run_id)
            return
        groups[pid] = group
        os.write(reports, born(group, pid))
    die_with_supervisor(folder)
    while groups:
        pid, status = os.wait()
        os.write(reports, dead(groups.pop(pid), os.waitstatus_to_exitcode(status)))


def _load(graph: Graph) -> None:
    """Import what the stages will."""
    for name in {name for node in graph.nodes for name in node.stage.imports()}:
        # Should it fail, it will again where the stage opens, and be told there.
        with suppress(Exception):
            importlib.import_module(name)
    if "numba" in sys.modules:
        # Numba registers what it knows when the first kernel is called: half of its start.
        with suppress(ImportError, AttributeError):
            from numba.core.registry import cpu_target

            cpu_target.typing_context.refresh()
            cpu_target.target_context.refresh()
    # The collector of a fork would write to all that is loaded, and so copy it.
    gc.freeze()


if __name__ == "__main__":
    main(sys.argv[1:])

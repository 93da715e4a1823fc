"""The process from which a run's workers are forked: what they all need is loaded once.

Started by the runner as ``python -m pipeline.run.starter RUN_FOLDER REPORTS ORDERS``. It builds the
graph and imports what the stages name (`Stage.imports`); then each group is a fork of it, which
costs milliseconds where a process of its own would load numpy, Numba and the stages again. Forking
the user's own process would be faster still, but that may have threads, which a fork must not have.

Then it waits: for the workers, and tells the runner over the pipe ``REPORTS`` of each that it
started, and of each that has ended; and for lines on the pipe ``ORDERS``, at each of which all
groups are forked, the first time and again after a crash. A line has the number of this generation
of workers and the checkpoint to go on from, if there is one. What runs beside the workers
(`pipeline.run.beside`) is forked before all of them. It has no thread of its own.
"""

import gc
import importlib
import os
import select
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import setproctitle

from pipeline.clock import set_offset_ns
from pipeline.config import parse_config
from pipeline.graph import Graph, Node, build_graph
from pipeline.run.beside import Beside
from pipeline.run.control import Plan
from pipeline.run.processes import born, dead
from pipeline.run.stage_thread import Assignment, control_endpoint
from pipeline.run.worker import tell_failure, work

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Fork the workers of a run, as often as is asked for, until the runner is gone."""
    folder, reports, orders = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    plan = msgspec.msgpack.decode((folder / "plan").read_bytes(), type=Plan)
    setproctitle.setproctitle(f"pipeline: {plan.run_id} starter")
    set_offset_ns(plan.offset_ns)
    try:
        tables, path = plan.tables, Path(plan.path)
        config = parse_config(tables, path, plan.overrides)
        graph = build_graph(config, plan.resumes, plan.host)
        here = [node for node in graph.nodes if node.host == plan.host]
        beside = Beside(here, plan.run_id)
    except Exception as error:
        line = os.read(orders, 4096).split()
        if line:
            tell_failure(control_endpoint(folder, int(line[0])), plan.run_id, error)
        return
    _load(here)
    _Starter(graph, plan, folder, reports, orders, beside).serve()


class _Starter:
    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        folder: Path,
        reports: int,
        orders: int,
        beside: Beside,
    ) -> None:
        self._graph, self._plan, self._folder = graph, plan, folder
        self._reports, self._orders, self._beside = reports, orders, beside
        self._workers: dict[int, tuple[int, str]] = {}
        self._line = b""

    def serve(self) -> None:
        """Wait for orders, for the end of workers, and for the end of the runner."""
        told, tell = os.pipe()
        for end in (told, tell):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(tell)
        poller = select.poll()
        for end in (0, told, self._orders):
            poller.register(end, select.POLLIN)
        while True:
            # These keep the pipe of reports open: the runner sees by that when they have ended.
            if (task := self._beside.fork()) is not None:
                _leave_the_starter(self._orders)
                return task()
            heard = {end for end, _ in poller.poll(self._beside.wait_ms)}
            if 0 in heard:
                shutil.rmtree(self._folder, ignore_errors=True)
                return
            if told in heard:
                with suppress(BlockingIOError):
                    os.read(told, 4096)
                self._bury()
            if self._orders in heard:
                *lines, self._line = (self._line + os.read(self._orders, 65_536)).split(b"\n")
                for line in lines:
                    number, _, checkpoint = line.decode().partition(" ")
                    if self._fork(int(number), Path(checkpoint) if checkpoint else None):
                        return

    def _fork(self, generation: int, checkpoint: Path | None) -> bool:
        """Fork all groups; return whether this is one of the forks, which has done its work."""
        here = [g for g, nodes in self._graph.groups.items() if nodes[0].host == self._plan.host]
        starter = os.getpid()
        for group in here:
            pid = os.fork()
            if not pid:
                _leave_the_starter(self._orders, self._reports)
                task = (self._graph, group, self._folder, generation, self._plan, checkpoint)
                work(Assignment(*task, starter))
                return True
            self._workers[pid] = generation, group
            os.write(self._reports, born(generation, group, pid))
        return False

    def _bury(self) -> None:
        """Tell of the workers that have ended."""
        while self._workers or self._beside.running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            if self._beside.bury(pid):
                continue
            code = os.waitstatus_to_exitcode(status)
            with suppress(BrokenPipeError):  # the runner is gone too
                os.write(self._reports, dead(*self._workers.pop(pid), code))


def _leave_the_starter(*pipes: int) -> None:
    """Be a process of its own, with none of the starter's handlers and pipes."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for pipe in pipes:
        os.close(pipe)


def _load(nodes: Sequence[Node]) -> None:
    """Import what these stages will."""
    for name in {name for node in nodes for name in node.stage.imports()}:
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

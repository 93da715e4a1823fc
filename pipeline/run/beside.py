"""What runs beside a run's workers: processes that outlive them, as the one that fills a spool.

They are forks of the starter too (`pipeline.run.starter`), made once, before the first workers. One
that dies is started again; all end when the run does.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

import setproctitle

from pipeline.graph import Node
from pipeline.stage import Source

__all__ = ["Beside"]

_AGAIN_S = 1.0
"""A process is not started more often than that."""
_END_S = 1.5
"""How long they have to end when the run is over."""


class Beside:
    """Starts them, and again where one dies.

    Args:
        nodes: of the run; the sources among them say what is to run.
        run_id: for the names of the processes.

    Raises:
        PipelineError: a source cannot make what it needs.
    """

    def __init__(self, nodes: Sequence[Node], run_id: str) -> None:
        self._run_id = run_id
        self._work: dict[str, Callable[[threading.Event], None]] = {}
        for node in nodes:
            work = node.stage.beside() if isinstance(node.stage, Source) else None
            if work is not None:
                self._work[node.name] = work
        self._due_s = dict.fromkeys(self._work, 0.0)
        self._processes: dict[int, tuple[str, float]] = {}

    def fork(self) -> Callable[[], None] | None:
        """Start what is due; in a process that was started return what it is to do."""
        now_s = time.monotonic()
        for name, due_s in list(self._due_s.items()):
            if due_s <= now_s:
                pid = os.fork()
                if not pid:
                    return lambda: self._run(name)
                del self._due_s[name]
                self._processes[pid] = (name, now_s)
        return None

    def bury(self, pid: int) -> bool:
        """Return whether a process that has ended was one of them; it will be due again."""
        if pid not in self._processes:
            return False
        name, begun_s = self._processes.pop(pid)
        self._due_s[name] = begun_s + _AGAIN_S
        return True

    @property
    def running(self) -> bool:
        """Whether one of them runs."""
        return bool(self._processes)

    @property
    def wait_ms(self) -> int | None:
        """How long until one is due, None if none is."""
        if not self._due_s:
            return None
        return max(0, 1 + int(1000 * (min(self._due_s.values()) - time.monotonic())))

    def _run(self, name: str) -> None:
        """Do the work of one source until standard input ends, as the supervisor's pipe does."""
        setproctitle.setproctitle(f"pipeline: {self._run_id}/{name} beside")
        over = threading.Event()

        def wait() -> None:
            while os.read(0, 1):
                pass
            over.set()
            time.sleep(_END_S)
            os.kill(os.getpid(), signal.SIGKILL)

        threading.Thread(target=wait, daemon=True).start()
        self._work[name](over)

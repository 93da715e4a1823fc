"""Memory: its peak in a process of its own, and what the processes of a run hold."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

__all__ = ["in_own_process", "memory_of"]


def in_own_process(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Return what ``work`` returns, and the peak memory of the process in MB that it ran in.

    The process is new: nothing that was loaded or allocated here counts.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sending, work, arguments))
    process.start()
    sending.close()
    try:
        result, peak_mb = receiving.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{work.__name__} died with exit code {process.exitcode}") from None
    process.join()
    if isinstance(result, Exception):
        raise result
    return result, peak_mb


def memory_of(pid: int) -> dict[str, float]:
    """Return what a process and all that it has started hold, in MB; shared pages count in parts.

    Each is called by what stands behind the last ``/`` of its title, and those of one name are
    summed: workers have the names of their stages.
    """
    held: dict[str, float] = {}
    waiting = [pid]
    while waiting:
        process = Path("/proc") / str(waiting.pop())
        try:
            lines = (process / "smaps_rollup").read_text().splitlines()
            title = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            children = (process / "task" / process.name / "children").read_text().split()
        except OSError:
            continue  # it has ended meanwhile
        waiting += map(int, children)
        total_kb = next((int(each.split()[1]) for each in lines if each.startswith("Pss:")), 0)
        name = title.rpartition("/")[2]
        held[name] = held.get(name, 0.0) + total_kb / 1024
    return held


def _run(sending: "Connection[Any, Any]", work: Callable[..., Any], arguments: Any) -> None:
    try:
        result = work(*arguments)
    except Exception as error:
        result = error
    sending.send((result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))

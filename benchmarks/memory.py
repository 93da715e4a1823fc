"""Peak memory of work done in a process of its own."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["in_own_process"]


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


def _run(sending: "Connection[Any, Any]", work: Callable[..., Any], arguments: Any) -> None:
    try:
        result = work(*arguments)
    except Exception as error:
        result = error
    sending.send((result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))

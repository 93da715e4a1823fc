"""What it costs a run to be watched: by one who stays, and by many who come and leave.

Usage: python -m benchmarks.watching [--quick] [--json FILE]

The gestures that lie beside the project are played again and again, as fast as can be, through the
chain of `pipeline.toml` into a file of JSON lines. Runs that nobody watches and runs that are
watched take turns: by `pipeline top` in a terminal of 80×24, from its first moment to its end; by a
hundred of them, one after the other; and by a hundred that attach and detach within one process, so
that the start of a hundred Pythons is left out. All must write the same bytes.

As fast as can be, a run and those who watch it share the machine's cores, so what a hundred starts
of Python take is missing elsewhere. The same is measured at ten times real time, as of a camera:
there is time left, and what counts is whether events are worked on as they come, and how soon.
"""

import os
import pty
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.embedded import DELAY, PROCESSORS, run_embedded
from benchmarks.measure import Options, Rows, command, compare, in_turns
from pipeline.observe.attach import Attached, running

__all__ = ["rows"]

_TIMES = 100
_LOOPS = 50
_RUNS = 3
_SPEED = 10.0
_PICTURE = b"\x1b[?2026h"
"""With what the dashboard begins a picture."""
_PATIENCE_S = 20.0

_Watch = Callable[[Path, threading.Event], None]


def watched(
    name: str, folder: Path, loops: int, watch: _Watch | None, sums: set[str], speed: float = 0.0
) -> dict[str, float]:
    """Run the chain while a thread watches it; see `run_embedded`."""
    over = threading.Event()
    thread = threading.Thread(target=_when_it_runs, args=(watch, over))
    thread.start()
    try:
        return run_embedded(name, folder, loops, sums, speed=speed)
    finally:
        over.set()
        thread.join()


def stays(folder: Path, over: threading.Event) -> None:
    """Watch by `pipeline top` to the end."""
    _top(over, leave=False)


def come_and_leave(times: int, folder: Path, over: threading.Event) -> None:
    """Watch by one `pipeline top` after the other."""
    for _ in range(times):
        if not over.is_set():
            _top(over, leave=True)


def attach_and_detach(times: int, folder: Path, over: threading.Event) -> None:
    """Attach, see every stage, and detach again."""
    for _ in range(times):
        with Attached(folder) as attached:
            seen = False
            while not (seen or over.is_set()):
                for news in attached.news(0.1):
                    edges = getattr(news, "edges", None)
                    seen = seen or edges is None
                    if edges is not None:
                        attached.watch({edge.sender for edge in edges})


def _when_it_runs(watch: _Watch | None, over: threading.Event) -> None:
    while watch is not None and not over.is_set():
        for run in running():
            if run.process == os.getpid():
                watch(run.folder, over)
                return
        time.sleep(0.05)


def _top(over: threading.Event, leave: bool) -> None:
    """Be the terminal of a `pipeline top`; leave it once it has drawn two pictures."""
    pid, terminal = pty.fork()
    if not pid:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        os.execv(sys.executable, [sys.executable, "-P", "-m", "pipeline.cli", "top"])
    pictures, told, until_s = 0, False, time.monotonic() + _PATIENCE_S
    while leave is False or time.monotonic() < until_s:
        try:
            pictures += os.read(terminal, 65536).count(_PICTURE)
        except OSError:
            break
        if leave and pictures >= 2 and not told:
            told = True
            os.write(terminal, b"q")
    os.close(terminal)
    os.waitpid(pid, 0)


def rows(options: Options) -> Rows:
    """Yield the speed of runs that are watched, beside that of runs that are not."""
    times, loops = (2, 2) if options.quick else (_TIMES, _LOOPS)
    sums: set[str] = set()
    watchers: dict[str, _Watch | None] = {
        "nobody watches": None,
        "one `pipeline top` from beginning to end": stays,
        f"{times} attached and detached": partial(attach_and_detach, times),
        f"{times} times `pipeline top`": partial(come_and_leave, times),
    }
    for group, speed, played in (("watch", 0.0, loops), ("watch, paced", _SPEED, 1 + loops // 7)):
        with tempfile.TemporaryDirectory() as folder:
            found = in_turns(
                {
                    name: partial(watched, name, Path(folder), played, watch, sums, speed)
                    for name, watch in watchers.items()
                },
                min(_RUNS, options.runs),
            )
        sums.clear()
        kinds = [("Mev/s", ""), ("ms", f"{PROCESSORS}, ")]
        for unit, what in [*kinds, ("ms", f"{DELAY}, ")] if speed else kinds:
            chosen = {f"{what}{name}": found[f"{what}{name}"] for name in watchers}
            yield from compare(group, unit, chosen, next(iter(chosen)))


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])

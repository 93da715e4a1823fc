"""What it costs a run to be traced, to serve metrics, and to be shown in a browser.

Usage: python -m benchmarks.observing [--quick] [--json FILE]

The chain of `pipeline.toml` plays the gestures that lie beside the project again and again, as fast
as can be, into a file of JSON lines. Runs of which nobody wants anything take turns with those that
are traced, whose metrics are scraped four times a second, and whose page asks as often as a browser
does. All must write the same bytes.
"""

import os
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from urllib.error import URLError

from benchmarks.embedded import PROCESSORS, run_embedded
from benchmarks.measure import Options, Rows, command, compare, in_turns
from pipeline.observe.attach import running
from pipeline.observe.metrics import Metrics
from pipeline.observe.trace import Trace
from pipeline.observe.web.viewer import WebView

__all__ = ["rows"]

_LOOPS = 10
_RUNS = 5
_SCRAPE_S = 0.25
_PICTURE_S = 0.08
_STAGES = ("camera", "bins", "network", "decision", "screen", "file")

_Observe = Callable[[Path], "Iterator[Trace | None]"]


def observed(
    name: str, folder: Path, loops: int, observe: _Observe | None, sums: set[str]
) -> dict[str, float]:
    """Run the chain while it is observed; see `run_embedded`."""
    observing = nullcontext() if observe is None else contextmanager(observe)(folder)
    with observing as trace:
        return run_embedded(name, folder, loops, sums, trace)


def traced(folder: Path) -> Iterator[Trace | None]:
    """Trace the run."""
    with Trace(folder / "trace.json", _STAGES) as trace:
        yield trace


def scraped(folder: Path) -> Iterator[None]:
    """Scrape the run's metrics."""
    over = threading.Event()
    with Metrics(0) as metrics:
        thread = threading.Thread(target=_ask, args=([metrics.url], _SCRAPE_S, over))
        thread.start()
        yield
        over.set()
        thread.join()


def viewed(folder: Path) -> Iterator[None]:
    """Ask for what the page asks for."""
    over = threading.Event()
    thread = threading.Thread(target=_view, args=(over,))
    thread.start()
    yield
    over.set()
    thread.join()


def _view(over: threading.Event) -> None:
    while not (found := [run for run in running() if run.process == os.getpid()]):
        if over.wait(0.05):
            return
    view = WebView(found[0].folder)
    urls = [f"{view.url}picture", f"{view.url}status", f"{view.url}picture"]
    asking = threading.Thread(target=_ask, args=(urls, _PICTURE_S, over))
    asking.start()
    view.serve(over.is_set)
    over.set()
    asking.join()


def _ask(urls: list[str], period_s: float, over: threading.Event) -> None:
    number = 0
    while not over.wait(period_s):
        number += 1
        with suppress(URLError, OSError), urllib.request.urlopen(urls[number % len(urls)]) as page:
            page.read()


def rows(options: Options) -> Rows:
    """Yield the speed of runs that are observed, beside that of one that is not."""
    loops = 2 if options.quick else _LOOPS
    sums: set[str] = set()
    observers: dict[str, _Observe | None] = {
        "not observed": None,
        "traced": traced,
        "metrics scraped 4 times a second": scraped,
        "shown in a browser": viewed,
    }
    with tempfile.TemporaryDirectory() as folder:
        found = in_turns(
            {
                name: partial(observed, name, Path(folder), loops, observe, sums)
                for name, observe in observers.items()
            },
            min(_RUNS, options.runs),
        )
    for unit, what in (("Mev/s", ""), ("ms", f"{PROCESSORS}, ")):
        chosen = {f"{what}{name}": found[f"{what}{name}"] for name in observers}
        yield from compare("observe", unit, chosen, next(iter(chosen)))


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])

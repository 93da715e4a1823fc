"""``pipeline bench``."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["bench"]


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUP",
            help="machine, read, filter, bin, transport, step, onnx, path, latency, overload,"
            " startup, checkpoint, memory, growth, cost, watch or observe; may be repeated.",
        ),
    ] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PYTHON",
            help="A Python interpreter that has peers installed; may be given several times.",
        ),
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(help="Events to read and to bin; random ones without it.")
    ] = None,
    use: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK=WEIGHTS=RECORDING",
            help="Step a network with these weights and events; may be given several times.",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Little work: whether it works, not how fast it is.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all figures there.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write performance.md and plots there.")
    ] = None,
) -> None:
    """Measure speed and memory, as ratios in one run, beside peers that are installed.

    Each group is printed when it is over. A figure is the median of several runs with its spread;
    all groups take about half an hour, best on a machine that has nothing else to do.
    """
    suite = import_module("benchmarks.suite")
    options = import_module("benchmarks.measure").Options(
        tuple(peers or ()), quick, recording, tuple(use or ())
    )
    results = suite.bench(only or [], options, json)
    if write is not None:
        import_module("benchmarks.page").write([results], write)

"""All benchmarks one after another: what `pipeline bench` runs."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.measure import Options, Results, Rows, collect
from pipeline.errors import ConfigError
from pipeline.registry import nearest

__all__ = ["GROUPS", "bench"]

GROUPS = {
    "machine": "benchmarks.limits",
    "read": "benchmarks.reading",
    "filter": "benchmarks.filters",
    "bin": "benchmarks.binning",
    "transport": "benchmarks.transport",
    "step": "benchmarks.stepping",
    "onnx": "benchmarks.onnx_step",
    "path": "benchmarks.path",
    "latency": "benchmarks.latency",
    "overload": "benchmarks.overload",
    "startup": "benchmarks.startup",
    "checkpoint": "benchmarks.checkpointing",
    "memory": "benchmarks.endurance",
    "growth": "benchmarks.growth",
    "cost": "benchmarks.cost",
    "watch": "benchmarks.watching",
    "observe": "benchmarks.observing",
}
"""What can be measured -> the module that does."""


def bench(only: Sequence[str], options: Options, json_file: Path | None) -> Results:
    """Run groups, all without ``only``; print a table of each, and write JSON where asked for.

    Raises:
        ConfigError: A group, a file or a peer's interpreter that is not there.
    """
    for name in only:
        if name not in GROUPS:
            raise ConfigError(f"--only: nothing is called '{name}'{nearest(name, list(GROUPS))}")
    for python in options.peers:
        if not Path(python).is_file():
            raise ConfigError(f"--peers {python}: no such file; give a Python interpreter")
    if options.recording is not None and not options.recording.is_file():
        raise ConfigError(f"--recording {options.recording}: no such file")
    for use in options.use:
        if use.count("=") != 2:
            raise ConfigError(f"--use {use}: must be NETWORK=WEIGHTS=RECORDING")
    return collect((_benchmark(GROUPS[name]) for name in only or GROUPS), options, json_file)


def _benchmark(module: str) -> Callable[[Options], Rows]:
    found: Callable[[Options], Rows] = import_module(module).rows
    return found

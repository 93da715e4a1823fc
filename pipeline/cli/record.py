"""``pipeline record``."""

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Json, Replace, Set, refuse_existing

if TYPE_CHECKING:
    from pipeline.run.remote import Remote

__all__ = ["record"]

_PLACE = Path("record")
"""Where errors say a table is; relative paths in it start from the working directory."""

_SHORTEST_S = 0.001


def record(
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="What to write; its ending names the format.")
    ],
    from_: Annotated[
        str, typer.Option("--from", metavar="STAGE", help="The source to record.")
    ] = "dv_camera",
    set_: Set = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="How long to record, by the clock on the wall, from when the source starts; else"
            " until it ends or Ctrl-C.",
        ),
    ] = None,
    compression: Annotated[
        str | None, typer.Option(help="As the format has it, such as zstd for AEDAT4.")
    ] = None,
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Record a camera, or any other source, until it ends, --seconds are over or Ctrl-C.

    Options of the source are given with --set source.KEY=VALUE, those of the `record` stage with
    --set record.KEY=VALUE. A source that starts anew gets a further file, NAME-001 and so on.
    """
    from pipeline.cli.advice import advice_in
    from pipeline.cli.run import conclude
    from pipeline.config import parse_config
    from pipeline.errors import ConfigError
    from pipeline.graph import build_graph
    from pipeline.registry import load_stage
    from pipeline.run.runner import run_pipeline
    from pipeline.stage import Source

    if seconds is not None and not seconds >= _SHORTEST_S:
        raise ConfigError(f"--seconds: must be >= {_SHORTEST_S:g}, got {seconds:g}")
    if seconds == math.inf:
        seconds = None
    if not issubclass(load_stage(from_), Source):
        raise ConfigError(f"--from: '{from_}' is no source; `pipeline stages` lists those that are")
    overrides = set_ or []
    if not any(override.startswith("record.if_exists=") for override in overrides):
        refuse_existing(target, replace)
    with advice_in(_flag):
        config = parse_config(_tables(target, from_, compression, replace), _PLACE, overrides)
        graph = build_graph(config)
        over = "" if seconds is None else f", after {seconds:g} s"
        print(f"recording to {target}: ends with its source{over} or with Ctrl-C", file=sys.stderr)
        prints_to = sys.stderr if json else None
        outcome = run_pipeline(config, graph, prints_to, _remote(seconds))
        conclude(outcome, json, stopping_is_done=True)


def _flag(key: str, values: list[str]) -> str:
    if key == "if_exists":
        return "--replace"
    return f"--set source.{key}={' or '.join(values)}"


def _tables(target: Path, use: str, compression: str | None, replace: bool) -> dict[str, Any]:
    source = {"name": "source", "use": use}
    sink = {
        "name": "record",
        "use": "record",
        "path": str(target),
        "if_exists": "replace" if replace else "refuse",
    }
    if compression is not None:
        sink["compression"] = compression
    return {"run": {"name": "record"}, "stage": [source, sink]}


def _remote(seconds: float | None) -> "Remote":
    """Return what stops a run so many seconds after its sources were let go."""
    from pipeline.run.control import Stop, ToWorker
    from pipeline.run.remote import Remote

    class Timer(Remote):
        _until_s: float | None = None

        def next_order(self) -> ToWorker | None:
            """Return `Stop` once the time is over; it is asked for as soon as the run starts."""
            now_s = time.monotonic()
            if self._until_s is None:
                self._until_s = now_s + (math.inf if seconds is None else seconds)
            if now_s < self._until_s:
                return super().next_order()
            self._until_s = math.inf
            return Stop()

    return Timer()

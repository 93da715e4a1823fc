"""``pipeline run``."""

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from pipeline.cli.observed import Log, Observed, observed, speak
from pipeline.cli.options import File, Json, Set

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.graph import Graph
    from pipeline.observe.log import JsonLog
    from pipeline.run.outcome import Outcome

__all__ = ["conclude", "run"]


def run(
    file: File = Path("pipeline.toml"),
    set_: Set = None,
    json: Json = False,
    resume: Annotated[
        bool,
        Option(
            "--resume",
            help="Go on with a run cut short, from its last checkpoint; without one, start.",
        ),
    ] = False,
    dashboard: Annotated[
        bool, Option("--dashboard", help="Show the run in the terminal; see `pipeline top`.")
    ] = False,
    only: Annotated[
        str | None,
        Option(
            metavar="HOST",
            help="Run the stages of this host alone, for one run that is started on another; its"
            " stages may be named instead, with commas between.",
        ),
    ] = None,
    fresh: Annotated[
        bool, Option("--fresh", help="Start over, where a run cut short has left checkpoints.")
    ] = False,
    metrics: Annotated[
        int | None,
        Option(
            metavar="PORT",
            help="Serve metrics for Prometheus there, on this machine alone; 0: any that is free.",
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        Option(metavar="FILE", help="Write what each stage did when, for Perfetto or Chrome."),
    ] = None,
    manifest: Annotated[
        Path | None,
        Option(
            metavar="FILE", help="Where its manifest goes; else where `pipeline runs` finds it."
        ),
    ] = None,
    quiet: Annotated[
        bool, Option("--quiet", "-q", help="Say nothing of a run that goes well: no ledger.")
    ] = False,
    log: Annotated[
        Log, Option(help="How it speaks on standard error: for a person, or as lines of JSON.")
    ] = "human",
) -> None:
    """Run a pipeline file to the end of its sources; Ctrl-C drains and stops it.

    With a table of checkpoints in the file the run goes on by itself when a stage fails, dies or
    hangs; and --resume goes on with one that was ended, if there is one. Its output is then what it
    would have been.

    With --dashboard, or a `dashboard` stage in the file, the terminal shows the run meanwhile; what
    it prints comes at the end.

    Predictions go where the file's sinks send them, the ledger of the run to standard error (with
    --json to standard output). Exit codes: 0 done, 1 failed, 2 wrong request, 130 stopped.
    """
    from pipeline.config import read_config
    from pipeline.errors import ConfigError
    from pipeline.graph import build_graph
    from pipeline.run.unfinished import can_go_on, refuse_unfinished

    speaks = speak(log)
    if resume and fresh:
        raise ConfigError("--resume and --fresh exclude each other; leave one of them out")
    if only is not None:
        said = {
            "--resume": resume,
            "--fresh": fresh,
            "--dashboard": dashboard,
            "--metrics": metrics is not None,
            "--trace": trace is not None,
            "--manifest": manifest is not None,
            "--quiet": quiet,
        }
        if idle := [option for option, given in said.items() if given]:
            raise ConfigError(
                f"{', '.join(idle)}: not with --only; give it to the run that is started on the"
                " other host"
            )
        from pipeline.cli.agent import serve

        serve(file, set_ or [], only, json, forever=False)
        return
    overrides = [*(set_ or []), *([] if metrics is None else [f"metrics.port={metrics}"])]
    config = read_config(file, overrides)
    if not (resume or fresh):
        # Before a sink speaks of a file that is there: the run that wrote it may go on.
        refuse_unfinished(config)
    goes_on = resume and can_go_on(config)
    graph = build_graph(config, resumes=goes_on)
    with observed(config, graph, speaks, manifest, trace, goes_on) as observers:
        _run(config, graph, json, resume, fresh, dashboard, quiet, observers)


def _run(
    config: "PipelineConfig",
    graph: "Graph",
    json: bool,
    resume: bool,
    fresh: bool,
    dashboard: bool,
    quiet: bool,
    observers: Observed,
) -> None:
    from pipeline.run.runner import run_pipeline

    shown = dashboard or any(node.use == "dashboard" for node in graph.nodes)

    def starting() -> None:
        if observers.metrics_at:
            print(f"metrics at {observers.metrics_at}", file=sys.stderr, flush=True)
        names = ", ".join(node.name for node in graph.nodes)
        if not (quiet or shown):  # a dashboard tells it by itself
            print(f"{graph.name}: starting {names}", file=sys.stderr, flush=True)

    # With --json, standard output is for the program that reads it: sinks print to the other one.
    prints_to = sys.stderr if json else None
    with _shown(shown):
        outcome = run_pipeline(
            config,
            graph,
            prints_to,
            resume=resume,
            fresh=fresh,
            watch=observers.watch,
            trace=observers.trace,
            starting=starting,
        )
    observers.record.outcome = outcome
    if outcome.finished_before:
        print(f"{graph.name}: {_finished(outcome.results)}", file=sys.stderr)
    resumable = config.checkpoint is not None
    conclude(outcome, json, resumable=resumable, quiet=quiet, log=observers.log)


def _finished(results: int) -> str:
    """Say what became of a run that had come to its end before."""
    files = {0: "", 1: "; its file is as it left it"}
    left = files.get(results, f"; its {results} files are as it left them")
    return f"had come to its end before{left}; to run it again, start over with --fresh"


def _shown(wanted: bool) -> AbstractContextManager[None]:
    """Return what shows the run that goes on within it, if that is wanted."""
    if not wanted:
        return nullcontext()
    from pipeline.observe.dashboard.beside import dashboard

    return dashboard()


def conclude(
    outcome: "Outcome",
    json: bool,
    stopping_is_done: bool = False,
    resumable: bool = False,
    quiet: bool = False,
    log: "JsonLog | None" = None,
) -> None:
    """Show the ledger of a run, and end the program as the run ended.

    Args:
        outcome: what became of the run.
        json: whether to print it as JSON.
        stopping_is_done: whether Ctrl-C is the proper end of what was run.
        resumable: whether it has left checkpoints, where it was stopped.
        quiet: whether a ledger that balances is left out.
        log: takes the ledger as JSON too, instead of its tables.

    Raises:
        StageFailure: a source failed.
        LedgerError: not everything is accounted for.
    """
    from pipeline.observe.ledger import check_ledger
    from pipeline.run.generation import StageFailure

    if log is not None and not quiet:
        log.say("ledger", {"outcome": outcome})
    if json or not (quiet or log is not None):
        _show(outcome, json)
    for report in outcome.reports:
        if report.failure is not None:
            raise StageFailure(report.name, report.failure)
    if outcome.drained and outcome.reports:
        check_ledger(outcome.reports)
    if outcome.interrupted and not (stopping_is_done and outcome.started and outcome.drained):
        if not outcome.started:
            print("stopped before it had started", file=sys.stderr)
        elif not outcome.drained:
            print("stopped before everything sent was worked on", file=sys.stderr)
        else:
            print("stopped; everything sent until then was worked on", file=sys.stderr)
        if resumable and outcome.started:
            print("go on from the last checkpoint with --resume", file=sys.stderr)
        sys.exit(130)


def _show(outcome: "Outcome", json: bool) -> None:
    if json:
        import msgspec

        print(msgspec.json.encode(outcome).decode())
        return
    from rich.console import Console

    from pipeline.observe.ledger import (
        clock_lines,
        ledger_table,
        overload_line,
        queue_table,
        remark_lines,
        silence_lines,
        timing_lines,
    )

    failed = any(report.failure is not None for report in outcome.reports)
    played = any(report.account is not None and report.account.taken for report in outcome.reports)
    if not outcome.reports or (failed and not played):
        return
    # Where no terminal sets a width, a log file keeps its rows whole.
    screen = sys.stderr.isatty()
    console = Console(stderr=True, width=None if screen else 120)
    table = ledger_table(outcome.reports, console.width if screen else None)
    if not outcome.drained:
        table.title = "ledger of what was done until the end was cut off; it need not balance"
    say = partial(console.print, highlight=False, markup=False, soft_wrap=not screen)
    console.print(table)
    queues = queue_table(outcome.reports)
    if queues is not None:
        console.print(queues)
    for restart in outcome.restarts:
        say(
            f"put back to checkpoint {restart.checkpoint} after {restart.at_s:.1f} s, down for"
            f" {restart.down_s:.2f} s: {restart.cause}"
        )
    reports = outcome.reports
    shed = "" if outcome.overload is None else overload_line(outcome.overload)
    lines = silence_lines(reports) + timing_lines(reports) + clock_lines(outcome.hosts)
    lines += remark_lines(reports)
    for line in [*([shed] if shed else []), *lines]:
        say(line)

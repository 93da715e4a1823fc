"""``pipeline fault``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import File, Json, Set

if TYPE_CHECKING:
    from pipeline.faults import Fault, FaultTrials, Trial

__all__ = ["fault"]


def fault(
    file: File = Path("pipeline.toml"),
    set_: Set = None,
    kill: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE", help="Kill the process of this stage; all: of each stage in turn."
        ),
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE", help="Stop the process of this stage, so that it hangs; all: of each."
        ),
    ] = None,
    runner: Annotated[
        bool, typer.Option("--runner", help="Kill the run itself, and go on with run --resume.")
    ] = False,
    times: Annotated[
        int, typer.Option(min=1, help="Moments at which each fault is tried, spread over the run.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Chooses the moments.")] = 0,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="A new folder for what undisturbed and failed runs wrote."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Try a pipeline out: harm its processes, and compare what it writes to the byte.

    It is run twice undisturbed, then once for each fault and moment, each time with the files that
    its stages write, and its checkpoints, in a folder of their own. What the file leaves open is
    set so that short runs can be tried: a checkpoint every 0.1 s, and 1 s of silence for a hang.
    Without --kill, --stop or --runner each stage is killed. Exit codes: 0 every output is that of
    an undisturbed run, 1 one is not, 2 wrong request.
    """
    import shutil
    import signal
    import tempfile

    from pipeline.errors import ConfigError
    from pipeline.faults import FaultTrials

    if keep is not None and keep.exists():
        raise ConfigError(f"--keep: {keep}: exists already; name a new folder")
    folder = Path(tempfile.mkdtemp(prefix="pipeline-fault-")) if keep is None else keep.absolute()
    passed = False
    # Ended in whatever way, it leaves no run behind.
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        trials = FaultTrials(file, set_ or [], folder)
        faults = _faults(trials, kill or [], stop or [], runner)
        print(f"{file}: {times} moments each: {_names(faults)}", file=sys.stderr, flush=True)
        trials.run_undisturbed()
        rows = _try_all(trials, faults, times, seed)
        passed = all(not trial.problem for _, row in rows for trial in row)
        _show(rows, json)
    finally:
        signal.signal(signal.SIGTERM, before)
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if not passed:
        sys.exit(1)


def _faults(trials: "FaultTrials", kill: list[str], stop: list[str], runner: bool) -> "list[Fault]":
    """Return what is to be tried.

    Raises:
        ConfigError: a stage is named that there is not.
    """
    from pipeline.errors import ConfigError
    from pipeline.faults import RUNNER, Fault
    from pipeline.registry import nearest

    if not (kill or stop or runner):
        kill = ["all"]
    faults: list[Fault] = []
    for how, names in (("kill", kill), ("stop", stop)):
        for name in names:
            if name != "all" and name not in trials.group_of:
                raise ConfigError(
                    f"--{how} {name}: no stage '{name}'{nearest(name, trials.group_of)}"
                )
            groups = trials.groups if name == "all" else [trials.group_of[name]]
            faults += [Fault(group, how) for group in groups if Fault(group, how) not in faults]
    return [*faults, Fault(RUNNER, "kill")] if runner else faults


def _try_all(
    trials: "FaultTrials", faults: "list[Fault]", times: int, seed: int
) -> "list[tuple[Fault, list[Trial]]]":
    from pipeline.cli.progress import progress_bar
    from pipeline.faults import moments

    rows = []
    with progress_bar("faults") as show:
        for number, fault in enumerate(faults):
            row = []
            for moment in moments(fault, times, seed):
                show((number + moment) / len(faults))
                row.append(trials.try_out(fault, moment))
                if row[-1].problem:
                    who = f"{fault.how} {fault.group} at {moment:.1%}"
                    print(f"{who}: {row[-1].problem}", file=sys.stderr, flush=True)
            rows.append((fault, row))
    return rows


def _names(faults: "list[Fault]") -> str:
    return ", ".join(f"{fault.how} {fault.group}" for fault in faults)


def _show(rows: "list[tuple[Fault, list[Trial]]]", json: bool) -> None:
    if json:
        import msgspec

        tables = [{**_summary(fault, row), "trials": row} for fault, row in rows]
        print(msgspec.json.encode(tables).decode())
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("process", "fault", "runs", "struck", "identical", "restarts", "p50", "max"):
        table.add_column(column, justify="left" if column in ("process", "fault") else "right")
    for fault, row in rows:
        told = _summary(fault, row)
        for key in ("recovery_p50_s", "recovery_max_s"):
            told[key] = "-" if told[key] is None else f"{told[key]:.2f} s"
        table.add_row(*(str(value) for value in told.values()))
    console = Console(highlight=False)
    console.print(table)
    console.print("p50 and max: from the fault until the sources were let go again")


def _summary(fault: "Fault", row: "list[Trial]") -> dict[str, Any]:
    from statistics import median

    recoveries = [trial.recovery_s for trial in row if trial.recovery_s is not None]
    return {
        "process": fault.group,
        "fault": fault.how,
        "runs": len(row),
        "struck": sum(trial.struck for trial in row),
        "identical": sum(not trial.problem for trial in row),
        "restarts": sum(trial.restarts for trial in row),
        "recovery_p50_s": round(median(recoveries), 3) if recoveries else None,
        "recovery_max_s": round(max(recoveries), 3) if recoveries else None,
    }

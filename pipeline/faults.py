"""Faults from outside: a pipeline is run, its processes are killed or stopped, its output compared.

Every run is a ``pipeline run`` of its own, with the files that stages write redirected to a folder
of its own. The first two are left alone: they say what the output is, and whether it is the same
each time. In each further one, one process is harmed at one moment. The moments of a row of trials
lie spread over the whole run, each drawn by a seed within its own part of it. A trial is passed
when the run ends well and all its files are those of the undisturbed run, byte for byte.
"""

import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

import msgspec

from pipeline.config import PipelineConfig, read_config
from pipeline.errors import ConfigError, StageError
from pipeline.graph import build_graph
from pipeline.registry import load_stage

__all__ = ["RUNNER", "Fault", "FaultTrials", "Trial", "moments"]

RUNNER = "(runner)"
"""Stands for the process of the command itself; no stage can be called so."""

_INTERVAL_S = 0.1
_SILENT_S = 1.0
_LOOK_S = 0.002
_MOST_S = 60.0
"""A run that takes so much longer than ten times what it should has failed."""
_MOST_TRIES, _EARLIER = 5, 0.9
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Fault(NamedTuple):
    """What is harmed, and how."""

    group: str
    """A group of stages, or `RUNNER`."""
    how: str
    """``kill`` or ``stop``."""


class Trial(msgspec.Struct, frozen=True):
    """One run that was harmed, and what became of it."""

    moment: float
    """When, as a share of the undisturbed run."""
    struck: bool
    """It was harmed in time: the run had to be put back."""
    restarts: int
    recovery_s: float | None
    """From the fault until the sources were let go again."""
    problem: str
    """Why it is not passed; empty where it is."""


class FaultTrials:
    """Runs of one pipeline file, undisturbed and harmed.

    Args:
        file: the pipeline's TOML file.
        overrides: as given with ``--set``.
        folder: where outputs go, and what failed runs said; those of passed trials are removed.

    Raises:
        ConfigError: the file cannot be run, or no stage writes a file.
    """

    def __init__(self, file: Path, overrides: Sequence[str], folder: Path) -> None:
        """Check the file; run nothing."""
        self._file, self._folder = file, folder
        config = read_config(file, overrides)
        self._overrides = [*overrides, *_defaults(config)]
        self._written = list(_written(config))
        if not self._written:
            raise ConfigError(
                f"{file}: no stage writes a file, so that nothing can be compared; add a sink such"
                " as jsonl"
            )
        graph = build_graph(read_config(file, self._all_overrides(folder / "check")))
        self.groups = list(graph.groups)
        self._stages = {
            name: "+".join(node.name for node in nodes) for name, nodes in graph.groups.items()
        }
        self.group_of = {node.name: node.group for node in graph.nodes}
        self._play_s: dict[str, float] = {}
        self._whole_s = 0.0
        self._runs = 0

    def run_undisturbed(self) -> None:
        """Run it twice; what comes out is what every trial must come to.

        Raises:
            StageError: a run fails, or the two differ.
        """
        for name in ("undisturbed", "again"):
            with _Run(self._file, self._all_overrides(self._folder / name)) as run:
                outcome = run.end(None)
            if run.problem:
                raise StageError(f"{self._file}: fails undisturbed: {run.problem}")
            self._measure(outcome)
            self._whole_s = run.took_s
        differing = self._differing("again")
        if differing:
            raise StageError(
                f"{self._file}: two undisturbed runs differ in {differing}; only a pipeline whose"
                " output is the same each time can be tried"
            )

    def try_out(self, fault: Fault, moment: float) -> Trial:
        """Run it, harm it at a share of its time, and look what came out.

        A run may be faster than the undisturbed one was. Where the moment comes too late it is
        measured anew, and another is tried, a little earlier.
        """
        trial = self._try_once(fault, moment)
        for _ in range(_MOST_TRIES - 1):
            if trial.struck or trial.problem:
                break
            moment *= _EARLIER
            trial = self._try_once(fault, moment)
        return trial

    def _try_once(self, fault: Fault, moment: float) -> Trial:
        self._runs += 1
        name = f"trial-{self._runs:04d}"
        overrides = self._all_overrides(self._folder / name)
        recovery_s: float | None = None
        with ExitStack() as runs:
            run = runs.enter_context(_Run(self._file, overrides))
            at_s = self._wait(run, moment * self._play_s[fault.group], self._folder / name)
            struck = False
            if fault.group != RUNNER:
                run.strike(self._stages[fault.group], _SIGNALS[fault.how])
            elif struck := run.strike_runner():
                run = runs.enter_context(_Run(self._file, overrides, resume=True))
            outcome = run.end(10 * self._whole_s + _MOST_S)
            struck = struck and not outcome.get("finished_before")
            restarts: list[dict[str, Any]] = outcome.get("restarts", [])
            if outcome and not restarts and not struck:
                self._measure(outcome)
            if restarts:
                recovery_s = run.begun_s + restarts[0]["at_s"] + restarts[0]["down_s"] - at_s
            elif struck and outcome.get("ready_s"):
                recovery_s = run.begun_s + outcome["ready_s"] - at_s
            problem = run.problem
            if not problem and (differing := self._differing(name)):
                problem = f"{name}: {differing} differs from that of the undisturbed run"
            if problem:
                run.keep_words(self._folder / name / "stderr.txt")
            else:
                shutil.rmtree(self._folder / name)
        count = len(restarts) + struck
        return Trial(moment, count > 0, count, recovery_s, problem)

    def _measure(self, outcome: dict[str, Any]) -> None:
        """Take from a run that was not disturbed how long each process plays."""
        took_s = {self.group_of[each["name"]]: each["wall_s"] for each in outcome["reports"]}
        self._play_s = {RUNNER: max(took_s.values()), **took_s}

    def _wait(self, run: "_Run", play_s: float, folder: Path) -> float:
        """Wait until a run has played for so long, and return when that was."""
        checkpoints = folder / "checkpoints"
        while run.goes_on and not any(checkpoints.glob("checkpoint-*[0-9]")):
            time.sleep(_LOOK_S)
        until_s = _now_s() + play_s
        while run.goes_on and _now_s() < until_s:
            time.sleep(max(0.0, min(_LOOK_S, until_s - _now_s())))
        return _now_s()

    def _all_overrides(self, folder: Path) -> list[str]:
        """Return what is to be set for a run whose files go to a folder."""
        files = {
            f"{stage}.{key}": folder / stage / Path(path).name for stage, key, path in self._written
        }
        files["checkpoint.directory"] = folder / "checkpoints"
        return [*self._overrides, *(f"{key}={json.dumps(str(p))}" for key, p in files.items())]

    def _differing(self, name: str) -> str:
        """Return the first file that is not what it is in the undisturbed run, "" if none is."""
        expected = self._folder / "undisturbed"
        for path in sorted(_outputs(expected) | _outputs(self._folder / name)):
            mine, other = expected / path, self._folder / name / path
            if not (mine.exists() and other.exists() and filecmp.cmp(mine, other, shallow=False)):
                return str(path)
        return ""


def moments(fault: Fault, times: int, seed: int) -> list[float]:
    """Return when to harm a run: shares of it, one drawn from each of ``times`` equal parts."""
    rng = random.Random(f"{seed} {fault.how} {fault.group}")
    return [(number + rng.random()) / times for number in range(times)]


class _Run:
    """A ``pipeline run`` in a process of its own.

    Attributes:
        begun_s: when it began to start its stages.
        took_s: how long it took, once it has ended.
        problem: why it did not end well, once it has ended.
    """

    def __init__(self, file: Path, overrides: Sequence[str], resume: bool = False) -> None:
        sets = [word for override in overrides for word in ("--set", override)]
        more = ["--resume"] if resume else []
        command = [sys.executable, "-P", "-m", "pipeline.cli", "run", str(file), "--json"]
        self._command = [*command, *more, *sets]
        self.begun_s = self.took_s = 0.0
        self.problem = ""

    def __enter__(self) -> "_Run":
        self._started_s = _now_s()
        with ExitStack() as opened:
            # Files, and no pipes: those must be read all the time, or the run would wait.
            self._out, self._err = (opened.enter_context(TemporaryFile()) for _ in range(2))
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=self._out,
                stderr=self._err,
                start_new_session=True,
            )
            opened.callback(self._process.wait)
            opened.callback(self._process.kill)  # its stages end with it
            self._opened = opened.pop_all()
        starter = None
        while self.goes_on and starter is None:
            starter = next(iter(_children(self._process.pid)), None)
            time.sleep(10 * _LOOK_S)
        if starter is not None:
            self.begun_s = starter.begun_s
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def goes_on(self) -> bool:
        return self._process.poll() is None

    def strike(self, stages: str, number: signal.Signals) -> None:
        """Send a signal to the process of some stages, if it is there."""
        for starter in _children(self._process.pid):
            for worker in _children(starter.pid):
                if worker.title.endswith(f"/{stages}"):
                    with suppress(ProcessLookupError):
                        os.kill(worker.pid, number)

    def strike_runner(self) -> bool:
        """Kill the process of the command itself; return whether it was there."""
        self._process.kill()
        return self._process.wait() == -signal.SIGKILL

    def end(self, limit_s: float | None) -> dict[str, Any]:
        """Wait for its end, and return what it printed; nothing where it did not end well."""
        try:
            code = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.problem = f"did not end within {limit_s:.0f} s"
            return {}
        self.took_s = _now_s() - self._started_s
        if code:
            lines = _content(self._err).strip().splitlines() or ["it said nothing"]
            said = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])
            self.problem = f"exit code {code}: {said.removeprefix('error: ')}"
            return {}
        outcome: dict[str, Any] = json.loads(_content(self._out))
        return outcome

    def keep_words(self, path: Path) -> None:
        """Write what it said to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_content(self._err), encoding="utf-8")


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


class _Process(NamedTuple):
    pid: int
    begun_s: float
    title: str


def _children(parent: int) -> Iterator[_Process]:
    """Yield the processes that a process has started and that are there still."""
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):
            # The name, in brackets, may hold anything; what is behind it is numbers.
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[1]) == parent and fields[0] != "Z":
                title = (entry / "cmdline").read_text(errors="replace").rstrip("\0 ")
                yield _Process(int(entry.name), int(fields[19]) * tick_s, title)


def _now_s() -> float:
    """Return the time since the machine was started, as processes are dated by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _defaults(config: PipelineConfig) -> Iterator[str]:
    """Set what a file leaves open so that short runs can be tried too."""
    if config.checkpoint is None:
        yield f"checkpoint.interval_s={_INTERVAL_S}"
    if "silent_s" not in config.supervision.model_fields_set:
        yield f"supervision.silent_s={_SILENT_S}"


def _written(config: PipelineConfig) -> Iterator[tuple[str, str, str]]:
    """Yield stage, option and file of what is written."""
    for table in config.stages:
        for key in load_stage(table.use).writes:
            if table.options.get(key):
                yield table.name, key, str(table.options[key])


def _outputs(folder: Path) -> set[Path]:
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != "checkpoints"
    }

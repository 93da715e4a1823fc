"""The manifest of a run: what ran, on what, with what, and what came of it, as one JSON file.

It is written when the run begins and again when it ends, so that one that was killed has left one
too, which says ``running``. Where no place is named it goes to the user's own folder for such
things, ``$XDG_STATE_HOME/event-pipeline/runs`` (``~/.local/state`` where that is not set), and
nothing appears beside the user's files; the newest 200 are kept there.
"""

import os
import platform
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import DEVNULL, PIPE, SubprocessError, run
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.checkpoint.fingerprint import fingerprint
from pipeline.errors import PipelineError
from pipeline.observe.dashboard.app import give_way
from pipeline.observe.status import RunStatus

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.graph import Graph
    from pipeline.run.outcome import Outcome

__all__ = ["FORMAT", "Recorder", "runs_folder"]

FORMAT = "event-pipeline run/1"
_KEPT = 200
_PACKAGES = (
    "event-pipeline",
    "dv-processing",
    "h5py",
    "msgspec",
    "numba",
    "numpy",
    "pyzmq",
    "safetensors",
    "tonic",
    "torch",
)
_GIT_S = 2.0
_LOOK_S = 2.0
"""How long the end of a run waits for the hashes of its files."""


def runs_folder() -> Path:
    """Return where manifests go for which no place was named.

    Raises:
        PipelineError: the user has no folder of their own.
    """
    try:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:
        raise PipelineError("you have no home folder; set XDG_STATE_HOME to a folder") from None
    return Path(state) / "event-pipeline" / "runs"


class Recorder:
    """Writes the manifest of the run within the ``with``.

    Args:
        config: the file.
        graph: that is run.
        path: where to; None for the user's own folder, where a mishap does not matter.
        resumes: whether the run goes on from a checkpoint.

    Attributes:
        outcome: set it when there is one.
        path: where the manifest is written; None for nowhere.

    Raises:
        PipelineError: the path that was named cannot be written.
    """

    def __init__(
        self, config: "PipelineConfig", graph: "Graph", path: Path | None, resumes: bool = False
    ) -> None:
        self.outcome: Outcome | None = None
        self._status: RunStatus | None = None
        self._began, self._began_s = datetime.now(UTC), time.monotonic()
        self._named = path is not None
        self.path = path or _own_path(graph.name, self._began)
        self._told: dict[str, Any] = {
            "format": FORMAT,
            "run": None,
            "name": graph.name,
            "state": "running",
            "began": self._began.isoformat(timespec="seconds"),
            "resumes": resumes,
            "command": sys.argv,
            "folder": os.getcwd(),
            "file": str(config.path),
            "tables": config.tables,
            "overrides": list(config.overrides),
            "machine": _machine(),
        }
        # The files that are read may be many and long; the run does not wait for their hashes.
        self._look = threading.Thread(target=self._look_around, args=(graph,), daemon=True)

    def watch(self, status: RunStatus) -> None:
        """Take note of how the run stands."""
        if self._status is None:
            self._told["run"] = status.run_id
            with suppress(PipelineError):  # no reason to end a run
                self._write()
        self._status = status

    def __enter__(self) -> "Recorder":
        self._write()
        self._look.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        code = _exit_code(error)
        self._look.join(_LOOK_S)
        self._told |= {
            "state": {0: "done", 130: "stopped"}.get(code, "failed"),
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._began_s, 3),
            "exit_code": code,
            "error": "" if error is None or isinstance(error, SystemExit) else str(error),
            "outcome": self.outcome,
            "last_status": self._status,
        }
        try:
            self._write()
        except PipelineError as lost:
            print(f"warning: {lost}", file=sys.stderr)

    def _look_around(self, graph: "Graph") -> None:
        give_way()
        self._told["versions"] = _versions()
        self._told["git"] = _commit(graph.path.parent)
        self._told["options"] = fingerprint(graph, whole=True)

    def _write(self) -> None:
        if self.path is None:
            return
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            text = msgspec.json.encode(dict(self._told), enc_hook=str)
            part.write_bytes(msgspec.json.format(text, indent=2) + b"\n")
            part.replace(self.path)
        except OSError as error:
            if self._named:
                raise PipelineError(
                    f"{self.path}: the manifest cannot be written: {error.strerror}; name another"
                    " place by --manifest"
                ) from None


def _own_path(name: str, at: datetime) -> Path | None:
    """Return where a manifest goes that was given no place, and make room for it."""
    try:
        folder = runs_folder()
    except PipelineError:
        return None
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in sorted(folder.glob("*.json"))[: -_KEPT + 1]:
            old.unlink()
    return folder / f"{at:%Y%m%d-%H%M%S}-{name}-{os.getpid()}.json"


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return int(getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1))


def _versions() -> Mapping[str, str]:
    known = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            known[package] = version(package)
    return known


def _machine() -> Mapping[str, Any]:
    told: dict[str, Any] = {"name": platform.node(), "system": platform.platform()}
    told["cores"] = len(os.sched_getaffinity(0))
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [each.partition(":")[2].strip() for each in lines if each.startswith("model name")]
        told["processor"] = models[0] if models else platform.machine()
    with suppress(OSError, ValueError):
        told["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return told


def _commit(folder: Path) -> Mapping[str, Any] | None:
    """Return which commit a folder is at, None where it is in no repository."""

    def ask(*question: str) -> str:
        command = ["git", "-C", str(folder), *question]
        done = run(command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, timeout=_GIT_S, check=True)
        return done.stdout.decode(errors="replace").strip()

    try:
        commit = ask("rev-parse", "HEAD")
        changed = bool(ask("status", "--porcelain", "--untracked-files=no"))
    except (OSError, SubprocessError):
        return None
    return {"commit": commit, "changed": changed}

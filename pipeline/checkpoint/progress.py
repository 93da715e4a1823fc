"""The checkpoints of a run as they come about: begun, gathered from all stages, written.

One is gathered at a time. It is whole when every stage has sent its part; a stage whose stream was
over sends one part that belongs to all that follow. When every stream is over the last is written,
which says that the run is finished.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.checkpoint.folder import Checkpoint, CheckpointFolder, StageSnapshot
from pipeline.errors import CheckpointError
from pipeline.run.control import Kept

__all__ = ["Progress"]

_LATE_S = 30.0
_LATE_INTERVALS = 5


class Progress:
    """Gathers and writes the checkpoints of one run.

    Args:
        folder: where they go.
        stages: the names of all, in the order of the graph.
        sources: those that inject barriers.
        interval_s: from the beginning of one to that of the next.
        tables: what the run is known by; see `pipeline.checkpoint.fingerprint`.
        results: tells what the run has left, once all stages are closed.

    Attributes:
        path: the newest that is whole, None before the first.
        number: its number, -1 before the first.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        stages: Sequence[str],
        sources: Sequence[str],
        interval_s: float,
        tables: Mapping[str, Any],
        results: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._results = results
        self._folder, self._stages, self._sources = folder, stages, sources
        self._interval_s, self._tables = interval_s, dict(tables)
        self.path: Path | None = None
        self.number = -1
        self._next = 0
        self._begun_s = 0.0
        self._gathering: int | None = 0
        self._parts: dict[str, StageSnapshot] = {}
        self._over: dict[str, StageSnapshot] = {}
        self._told = ""
        self._late = -1
        self._written_s: float | None = None

    @property
    def age_s(self) -> float | None:
        """How long ago the newest was written, None if this run has written none."""
        return None if self._written_s is None else round(time.monotonic() - self._written_s, 3)

    @property
    def oldest(self) -> int:
        """Number of the oldest that is kept."""
        return self._folder.oldest()

    def go_on(self, path: Path | None, number: int) -> None:
        """Begin anew behind a checkpoint, all workers being new; None is the beginning of all."""
        self.path, self.number = path, number
        self._next = max(self._next, number + 1)
        self._parts, self._over = {}, {}
        self._gathering = 0 if path is None else None
        self._begun_s = time.monotonic()

    def look_again(self) -> None:
        """Take the newest that is whole for the newest; what is wrong with newer ones is told.

        Raises:
            CheckpointError: none is whole.
        """
        found = self._folder.newest()
        if found is None:
            raise CheckpointError(
                f"{self._folder.path}: its checkpoints were removed while the run went on;"
                " start over with --fresh"
            )
        self.path, checkpoint, refused = found
        self.number = checkpoint.number
        for error in refused:
            print(error, file=sys.stderr, flush=True)

    def due(self) -> int | None:
        """Return the checkpoint that is to begin now, None if none is."""
        now = time.monotonic()
        self._look_at_the_late(now)
        playing = any(source not in self._over for source in self._sources)
        if self._gathering is not None or now < self._begun_s + self._interval_s or not playing:
            return None
        self._gathering, self._begun_s, self._parts = self._next, now, {}
        return self._gathering

    def _look_at_the_late(self, now_s: float) -> None:
        """Say which stages a checkpoint waits for, if it has for long; once for each."""
        waited_s = now_s - self._begun_s
        if self._gathering is None or waited_s < max(_LATE_S, _LATE_INTERVALS * self._interval_s):
            return
        if self._late != self._gathering:
            self._late = self._gathering
            waiting = [s for s in self._stages if s not in self._parts and s not in self._over]
            print(
                f"checkpoint {self._gathering} has not come together for {waited_s:.0f} s:"
                f" {', '.join(waiting)} did not get to it yet",
                file=sys.stderr,
                flush=True,
            )

    def keep(self, kept: Kept) -> None:
        """Take the part of a stage; write the checkpoint when it was the last."""
        if kept.number is None:
            self._over[kept.snapshot.stage] = kept.snapshot
        elif kept.number == self._gathering:
            self._parts[kept.snapshot.stage] = kept.snapshot
        finished = len(self._over) == len(self._stages)
        if finished:
            failed = any(each.report and each.report.failure for each in self._over.values())
            if not failed:
                self._write(self._next, self._over, finished=True)
        elif self._gathering is not None:
            # What passed the barrier goes before what ended behind it, which is a later point.
            parts = self._over | self._parts
            if len(parts) == len(self._stages):
                self._write(self._gathering, parts)
                self._gathering = None

    def _write(
        self, number: int, parts: Mapping[str, StageSnapshot], finished: bool = False
    ) -> None:
        """Write a checkpoint; one that cannot be leaves the one before it in force."""
        self._next = number + 1
        checkpoint = Checkpoint(
            number=number,
            made_at_s=time.time(),
            version=version("event-pipeline"),
            tables=self._tables,
            stages=[parts[stage] for stage in self._stages],
            finished=finished,
            results=self._results() if finished else {},
        )
        try:
            # Those of the run before are of use until this one stands.
            self.path = self._folder.write(checkpoint, alone=self.path is None)
        except CheckpointError as error:
            if self.path is None:
                raise
            again = "going on without it, and trying again"
            if finished:
                again = "the run is complete all the same; --resume would do its last part again"
            self._tell(f"{error}; {again}")
            return
        self.number, self._written_s = number, time.monotonic()
        if self._told:
            self._tell(f"{self.path}: written, checkpoints are made again")
            self._told = ""

    def _tell(self, line: str) -> None:
        """Say what is wrong with checkpoints, once for each."""
        if line.partition(": ")[2] != self._told:
            self._told = line.partition(": ")[2]
            print(line, file=sys.stderr, flush=True)

"""Recordings of one's own: a table that says which file is of which class.

Tab-separated, the first line names the columns: ``file`` and ``label``, and if wanted ``group``
(whose recording it is), ``part`` (train, validation, test), ``start_us`` and ``end_us``. Other
columns are for people.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import PositiveInt

from pipeline.errors import ConfigError
from pipeline.stage import StageConfig
from stages.datasets.data_set import DataSet, Item, Origin
from stages.datasets.labels import Entry, LabelError, read_table
from stages.datasets.split import PARTS
from stages.formats import open_recording

__all__ = ["RecordingOptions", "Recordings"]


class RecordingOptions(StageConfig):
    """Which table, and how its files are played."""

    table: str = "labels.tsv"
    """The table, in the set's folder; files are named relative to it."""
    source: dict[str, Any] = {"use": "replay"}  # noqa: RUF012, pydantic copies it
    """The table of the source stage that plays a file, without ``path``."""
    stretch_us: PositiveInt | None = None
    """Cut each recording into items of this length, in µs, from its first event on; what is left
    over at its end is left out, unless it is all there is. Left out: a recording is one item."""
    stretch_events: PositiveInt | None = None
    """Cut by number of events instead, so that quiet times do not make items that hold little.
    Events of the same time stay together: an item may have a few more or less."""


class Recordings(DataSet):
    """Recordings listed in a table. Each is a group, unless the table says otherwise."""

    name = "recordings"
    Options: ClassVar[type[StageConfig]] = RecordingOptions
    origin: ClassVar[Origin] = Origin(
        title="recordings",
        publisher="your own camera, or whoever made them",
        licence="yours",
        layout="a table labels.tsv with the columns file and label",
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, by name."""
        return tuple(sorted({row.label for row in self._rows()}))

    def items(self) -> list[Item]:
        """List the recordings, or their stretches."""
        labels = {name: label for label, name in enumerate(self.classes)}
        return [
            Item(
                key=f"{row.file}#{number}" if times != (None, None) else row.file,
                source=dict(self.options.source) | {"path": str(self.folder / row.file)},
                label=labels[row.label],
                group=row.columns.get("group") or row.file,
                part=row.columns.get("part") or None,
                start_us=times[0],
                end_us=times[1],
            )
            for row in self._rows()
            for number, times in enumerate(self._stretches(row))
        ]

    def _rows(self) -> Iterator[Entry]:
        path = self.folder / self.options.table
        if not path.is_file():
            raise self.missing(path)
        try:
            for row in read_table(path):
                part = row.columns.get("part")
                if not (self.folder / row.file).exists():
                    raise LabelError(f"{path}: line {row.line}: no {row.file} is there")
                if part and part not in PARTS:
                    raise LabelError(
                        f"{path}: line {row.line}: part must be {', '.join(PARTS)} or empty, got"
                        f" {part!r}"
                    )
                yield row
        except LabelError as error:
            raise ConfigError(f"data.table: {error}") from None

    def _stretches(self, row: Entry) -> Iterator[tuple[int | None, int | None]]:
        """Yield start and end of each item of a row."""
        begin, end = row.start_us, row.end_us
        path, options = self.folder / row.file, self.options
        if options.stretch_events is not None:
            if options.stretch_us is not None:
                raise ConfigError("data.stretch_us: leave it out where stretch_events is given")
            yield from pairwise(_counted_edges(path, begin, end, options.stretch_events))
        elif options.stretch_us is not None:
            yield from pairwise(_timed_edges(path, begin, end, options.stretch_us))
        else:
            yield begin, end


def _timed_edges(path: Path, begin: int | None, end: int | None, length_us: int) -> list[int]:
    """Return where each stretch of a recording begins, and where the last one ends."""
    first_us, last_us = _span(path)
    first_us = first_us if begin is None else begin
    behind_us = last_us + 1 if end is None else end
    count = max(1, (behind_us - first_us) // length_us)
    return [first_us + number * length_us for number in range(count + 1)]


def _counted_edges(path: Path, begin: int | None, end: int | None, length: int) -> list[int]:
    """Return the same of stretches of so many events; equal times give one edge."""
    edges: list[int] = []
    seen = last_us = 0
    with open_recording(path) as reader:
        for events, _ in reader.packets():
            times = events["t"]  # they never go back
            first = 0 if begin is None else np.searchsorted(times, begin)
            behind = len(times) if end is None else np.searchsorted(times, end)
            times = times[first:behind]
            edges += times[-seen % length :: length].tolist()
            seen += len(times)
            last_us = int(times[-1]) if len(times) else last_us
    if not seen:
        raise ConfigError(f"data.stretch_events: {path} holds no event to cut at")
    edges.append(last_us + 1)
    return sorted(set(edges[: max(1, seen // length) + 1]))


def _span(path: Path) -> tuple[int, int]:
    """Return the times of a recording's first and last event."""
    with open_recording(path) as reader:
        times = [
            (int(events["t"].min()), int(events["t"].max()))
            for events, _ in reader.packets()
            if len(events)
        ]
    if not times:
        raise ConfigError(f"data.stretch_us: {path} holds no event to cut at")
    return min(first for first, _ in times), max(last for _, last in times)

"""Recordings of one's own: a table that says which file is of which class.

Tab-separated, the first line names the columns: ``file`` and ``label``, and if wanted ``group``
(whose recording it is), ``part`` (train, validation, test), ``start_us`` and ``end_us``. Other
columns are for people.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import PositiveInt

from pipeline.errors import ConfigError
from pipeline.stage import StageConfig
from stages.datasets.data_set import DataSet, Item, Origin
from stages.datasets.split import PARTS
from stages.formats import open_recording
from stages.sources.text_file import read_rows

__all__ = ["RecordingOptions", "Recordings"]

_TIMES = ("start_us", "end_us")


class RecordingOptions(StageConfig):
    """Which table, and how its files are played."""

    table: str = "labels.tsv"
    """The table, in the set's folder; files are named relative to it."""
    source: dict[str, Any] = {"use": "replay"}  # noqa: RUF012, pydantic copies it
    """The table of the source stage that plays a file, without ``path``."""
    stretch_us: PositiveInt | None = None
    """Cut each recording into items of this length, in µs, from its first event on; what is left
    over at its end is left out, unless it is all there is. Left out: a recording is one item."""


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
        return tuple(sorted({row["label"] for row in self._rows()}))

    def items(self) -> list[Item]:
        """List the recordings, or their stretches."""
        labels = {name: label for label, name in enumerate(self.classes)}
        return [
            Item(
                key=f"{row['file']}#{number}" if times != (None, None) else row["file"],
                source=dict(self.options.source) | {"path": str(self.folder / row["file"])},
                label=labels[row["label"]],
                group=row.get("group") or row["file"],
                part=row.get("part") or None,
                start_us=times[0],
                end_us=times[1],
            )
            for row in self._rows()
            for number, times in enumerate(self._stretches(row))
        ]

    def _rows(self) -> Iterator[dict[str, str]]:
        path = self.folder / self.options.table
        if not path.is_file():
            raise self.missing(path)
        rows = read_rows(path, "tsv")
        header = next(rows, [])
        if not {"file", "label"} <= set(header):
            raise ConfigError(
                f"data.table: {path}: its first line must name file and label, separated by tabs,"
                f" it is {' '.join(header)[:60]!r}"
            )
        for number, values in enumerate(rows, start=2):
            row = dict(zip(header, values, strict=False))
            if len(values) < len(header) or not row["label"]:
                raise ConfigError(f"data.table: {path}: row {number} lacks a column")
            if not (self.folder / row["file"]).exists():
                raise ConfigError(f"data.table: {path}: row {number}: no {row['file']} is there")
            if row.get("part") and row["part"] not in PARTS:
                raise ConfigError(
                    f"data.table: {path}: row {number}: part must be {', '.join(PARTS)} or empty,"
                    f" got {row['part']!r}"
                )
            for name in _TIMES:
                if row.get(name) and not row[name].lstrip("-").isdecimal():
                    raise ConfigError(
                        f"data.table: {path}: row {number}: {name} must be a whole number of µs,"
                        f" got {row[name]!r}"
                    )
            yield row

    def _stretches(self, row: dict[str, str]) -> Iterator[tuple[int | None, int | None]]:
        """Yield start and end of each item of a row."""
        begin, end = (int(row[name]) if row.get(name) else None for name in _TIMES)
        length_us = self.options.stretch_us
        if length_us is None:
            yield begin, end
            return
        first_us, last_us = _span(self.folder / row["file"])
        first_us = first_us if begin is None else begin
        behind_us = last_us + 1 if end is None else end
        count = max(1, (behind_us - first_us) // length_us)
        for number in range(count):
            start_us = first_us + number * length_us
            yield start_us, start_us + length_us


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

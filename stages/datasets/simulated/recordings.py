"""Simulated events written as the recordings of a DVS128 that the real sets consist of."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.events import events_from_columns
from stages.formats.aedat.aedat2_writer import Aedat2Writer

if TYPE_CHECKING:
    from models.simulation.dvs_pixel import Events

__all__ = ["write_aedat2"]


def write_aedat2(path: Path, events: "Events") -> None:
    """Write events on 128×128 px as AEDAT 2.0; the header says that they are simulated.

    Raises:
        RecordingError: the file cannot be written.
    """
    with Aedat2Writer(path, 128, 128, source="simulated DVS128") as writer:
        writer.write(events_from_columns(events.t, events.x, events.y, events.p))

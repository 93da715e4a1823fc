"""Simulated gesture recordings written to disk, in the layout of the DVS128 Gesture set.

``userNN_LIGHT.aedat4`` with ``userNN_LIGHT_labels.csv``; everything in them is simulated, and the
recording's header says so.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from models.simulation import GESTURES
from pipeline.events import events_from_columns
from stages.datasets.labels import Label, labels_path, write_labels
from stages.formats.aedat4_writer import Aedat4Writer

__all__ = ["LIGHTS", "SessionRequest", "simulate_folder", "simulate_recording"]

LIGHTS = ("led", "lab", "fluorescent", "natural", "fluorescent_led")
EPOCH_US = 1_600_000_000_000_000
"""Simulated recordings start at this Unix time, as a camera's would at its own."""


class SessionRequest(NamedTuple):
    """One recording to simulate: a person performs gestures under a light."""

    person: int
    seed: int
    light: str
    seconds_per_gesture: float
    gestures: tuple[int, ...] = tuple(range(len(GESTURES)))

    @property
    def file_name(self) -> str:
        """Name of the recording in its folder."""
        return f"user{self.person:02d}_{self.light}.aedat4"


class Written(NamedTuple):
    """A recording that was simulated."""

    path: Path
    events: int


def simulate_recording(request: SessionRequest, folder: Path) -> Written:
    """Simulate one session and write recording and labels.

    The labels are written last, so a recording with labels is whole.

    Raises:
        RecordingError: the recording cannot be written.
    """
    from models.simulation.session import plan_session, stream_events

    plan = plan_session(
        request.person,
        request.seed,
        request.gestures,
        seconds_per_gesture=request.seconds_per_gesture,
        lighting=request.light,
        shuffle=True,
    )
    height, width = plan.scene.background.shape
    path = folder / request.file_name
    count = 0
    with Aedat4Writer(
        path,
        width,
        height,
        source="simulated DVS128",
        compression="zstd",
        attributes={"description": plan.description},
    ) as writer:
        for chunk in stream_events(plan):
            events = events_from_columns(chunk.t + EPOCH_US, chunk.x, chunk.y, chunk.p)
            writer.write(events)
            count += len(events)
    write_labels(
        labels_path(path),
        [
            Label(one.start_us + EPOCH_US, one.end_us + EPOCH_US, one.class_index)
            for one in plan.labels
        ],
    )
    return Written(path, count)


def simulate_folder(
    requests: Iterable[SessionRequest], folder: Path, processes: int
) -> Iterator[Written]:
    """Simulate sessions side by side; yield each when it is done. What exists is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = []
    for request in requests:
        path = folder / request.file_name
        if labels_path(path).exists():
            yield Written(path, 0)
        else:
            missing.append(request)
    if processes <= 1:
        yield from (simulate_recording(request, folder) for request in missing)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(simulate_recording, missing, [folder] * len(missing))

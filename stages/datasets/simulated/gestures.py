"""Simulated gesture recordings written to disk, in the layout of the DVS128 Gesture set.

``userNN_LIGHT.aedat4`` with ``userNN_LIGHT_labels.csv``; everything in them is simulated, and the
recording's header says so. Header and labels together tell person, seed, light, order and length of
the gestures, so a recording that is there already is made again only if another was asked for.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from models.simulation import GESTURES
from pipeline.errors import RecordingError
from pipeline.events import events_from_columns
from stages.datasets.labels import Label, labels_path, read_labels, write_labels
from stages.formats.aedat.aedat4_header import read_header
from stages.formats.aedat.aedat4_writer import Aedat4Writer

if TYPE_CHECKING:
    from models.simulation.session import SessionPlan

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

    The labels are removed first and written last, so a recording with labels is whole.

    Raises:
        RecordingError: recording or labels cannot be written.
    """
    from models.simulation.session import stream_events

    plan = _plan(request)
    height, width = plan.scene.background.shape
    path = folder / request.file_name
    count = 0
    try:
        labels_path(path).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(labels_path(path), error) from None
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
    try:
        write_labels(labels_path(path), _labels(plan))
    except OSError as error:
        raise _unwritable(labels_path(path), error) from None
    return Written(path, count)


def simulate_folder(
    requests: Iterable[SessionRequest], folder: Path, processes: int
) -> Iterator[Written]:
    """Simulate sessions side by side; yield each when it is done.

    A recording that is there already and is the one asked for is kept, and yielded without events.

    Raises:
        RecordingError: the folder cannot be made, or a file in it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    missing = []
    for request in requests:
        path = folder / request.file_name
        if _is_made(request, path):
            yield Written(path, 0)
        else:
            missing.append(request)
    if processes <= 1:
        yield from (simulate_recording(request, folder) for request in missing)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(simulate_recording, missing, [folder] * len(missing))


def _plan(request: SessionRequest) -> "SessionPlan":
    from models.simulation.session import plan_session

    return plan_session(
        request.person,
        request.seed,
        request.gestures,
        seconds_per_gesture=request.seconds_per_gesture,
        lighting=request.light,
        shuffle=True,
    )


def _labels(plan: "SessionPlan") -> tuple[Label, ...]:
    return tuple(
        Label(one.start_us + EPOCH_US, one.end_us + EPOCH_US, one.class_index)
        for one in plan.labels
    )


def _is_made(request: SessionRequest, path: Path) -> bool:
    """Whether the recording there is whole and is the one that the request would make."""
    if not labels_path(path).exists():
        return False
    try:
        with path.open("rb") as file:
            header = read_header(file)
            file.seek(0)
            begin = file.read(header.length)
        labels = read_labels(labels_path(path))
    except (OSError, ValueError):
        return False
    plan = _plan(request)
    closed = header.data_table >= 0
    return closed and f">{plan.description}<".encode() in begin and labels == _labels(plan)


def _unwritable(path: Path, error: OSError) -> RecordingError:
    return RecordingError(
        f"{path}: cannot be written: {error.strerror}; check the path and its permissions"
    )

"""Simulated gesture recordings written to disk, in the layout of the DVS128 Gesture set.

``userNN_LIGHT.aedat4`` with ``userNN_LIGHT_labels.csv``; everything in them is simulated, and the
recording's header says so. Header and labels together tell person, seed, light, order and length of
the gestures, so a recording that is there already is made again only if another was asked for.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from models.simulation import GESTURES
from pipeline.errors import RecordingError
from pipeline.events import events_from_columns
from pipeline.stage import StageConfig
from stages.batch import Engine, Work
from stages.datasets.data_set import DataSet, Item, Origin, Progress
from stages.datasets.labels import Label, labels_path, read_labels, write_labels
from stages.datasets.simulated.simulated_set import ORIGIN
from stages.formats.aedat.aedat4_header import read_header
from stages.formats.aedat.aedat4_writer import Aedat4Writer

if TYPE_CHECKING:
    from models.simulation.session import SessionPlan

__all__ = [
    "LIGHTS",
    "GestureOptions",
    "SessionRequest",
    "SimulatedGestures",
    "requests_for",
    "simulate_folder",
    "simulate_recording",
]

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


class GestureOptions(StageConfig):
    """Who performs, and for how long."""

    people: PositiveInt = 40
    """How many; each performs every gesture once."""
    first: NonNegativeInt = 1
    """Number of the first: the same number is always the same person."""
    light: Literal["each", "led", "lab", "fluorescent", "natural", "fluorescent_led"] = "each"
    """Which of `LIGHTS`; or each in turn, from person to person."""
    seconds_per_gesture: PositiveFloat = 1.5
    """Length of a gesture."""
    simulation_seed: NonNegativeInt = 1
    """Another seed is another performance."""


class SimulatedGestures(DataSet):
    """``userNN_LIGHT.aedat4`` with label files; each person is a group."""

    name = "simulated_gestures"
    classes = GESTURES
    Options: ClassVar[type[StageConfig]] = GestureOptions
    origin: ClassVar[Origin] = ORIGIN

    def make(self, engine: Engine, progress: Progress) -> None:
        """Simulate what is missing.

        Raises:
            RecordingError: a recording cannot be written.
        """
        requests = requests_for(self.options)
        for done, _ in enumerate(simulate_folder(requests, self.folder, engine), start=1):
            progress("simulating", done, len(requests))

    def items(self) -> list[Item]:
        """List the gestures of the people asked for."""
        items = []
        for request in requests_for(self.options):
            path = self.folder / request.file_name
            if not labels_path(path).is_file():
                raise self.missing(labels_path(path))
            for number, label in enumerate(read_labels(labels_path(path))):
                items.append(
                    Item(
                        key=f"{path.name}#{number}",
                        source={"use": "replay", "path": str(path)},
                        label=label.class_index,
                        group=path.name.partition("_")[0],
                        start_us=label.start_us,
                        end_us=label.end_us,
                    )
                )
        return items


def requests_for(options: GestureOptions) -> list[SessionRequest]:
    """List the recordings that options ask for."""
    return [
        SessionRequest(
            person,
            options.simulation_seed,
            LIGHTS[person % len(LIGHTS)] if options.light == "each" else options.light,
            options.seconds_per_gesture,
        )
        for person in range(options.first, options.first + options.people)
    ]


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
    requests: Iterable[SessionRequest], folder: Path, engine: Engine
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
    for path, events in engine.map(_Sessions(folder.absolute()), missing):
        yield Written(folder / path.name, events)


class _Sessions(Work[SessionRequest, Written]):
    """Sessions, as work of an engine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def do(self, task: SessionRequest) -> list[Written]:
        return [simulate_recording(task, self._folder)]

    def called(self, task: SessionRequest) -> str:
        return task.file_name

    def folder(self) -> Path:
        return self._folder


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

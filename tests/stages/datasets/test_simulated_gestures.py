"""Simulated recordings on disk: kept where they are what is asked for, made again otherwise."""

from pathlib import Path

import pytest

from pipeline.errors import RecordingError
from stages.batch.local import LocalEngine
from stages.datasets.labels import labels_path, read_labels
from stages.datasets.simulated.gestures import SessionRequest, simulate_folder
from stages.formats import open_recording
from stages.formats.aedat.aedat4_header import read_header

REQUEST = SessionRequest(person=3, seed=1, light="led", seconds_per_gesture=0.1, gestures=(4,))


def simulate(folder: Path, request: SessionRequest = REQUEST) -> tuple[Path, int]:
    """Ask for one recording; return where it is and the events that were made for it."""
    ((path, events),) = simulate_folder([request], folder, LocalEngine(1))
    return path, events


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path, events = simulate(tmp_path_factory.mktemp("made"))
    assert events > 0
    return path, labels_path(path).read_bytes()


@pytest.fixture
def path(made: tuple[Path, bytes], tmp_path: Path) -> Path:
    """A copy of the recording, with its labels."""
    path = tmp_path / made[0].name
    path.write_bytes(made[0].read_bytes())
    labels_path(path).write_bytes(made[1])
    return path


def test_a_recording_has_its_events_and_labels(path: Path) -> None:
    with open_recording(path) as reader:
        events = sum(len(packet.events) for packet in reader.packets())
        assert events == reader.event_count
    (label,) = read_labels(labels_path(path))
    assert (label.class_index, label.end_us - label.start_us) == (4, 100_000)


def test_what_was_asked_for_before_is_kept(path: Path) -> None:
    before = path.stat()
    assert simulate(path.parent) == (path, 0)
    assert path.stat() == before


@pytest.mark.parametrize(
    "other",
    [{"seed": 2}, {"seconds_per_gesture": 0.2}, {"gestures": (5,)}],
    ids=lambda other: next(iter(other)),
)
def test_another_request_of_that_name_is_simulated_again(path: Path, other: dict[str, int]) -> None:
    request = REQUEST._replace(**other)
    assert request.file_name == path.name
    before = path.read_bytes()
    assert simulate(path.parent, request)[1] > 0
    assert path.read_bytes() != before
    assert simulate(path.parent, request) == (path, 0)


@pytest.mark.parametrize("damage", ["no labels", "other labels", "cut", "not closed", "gone"])
def test_what_is_not_whole_is_simulated_again(path: Path, damage: str) -> None:
    whole, labels = path.read_bytes(), labels_path(path)
    if damage == "no labels":
        labels.unlink()
    elif damage == "other labels":
        labels.write_text("hello\n")
    elif damage == "cut":
        path.write_bytes(whole[:40])
    elif damage == "not closed":
        with path.open("rb") as file:
            place = read_header(file).data_table.to_bytes(8, "little")
        # The header says -1 until the file is closed.
        path.write_bytes(whole.replace(place, b"\xff" * 8, 1))
    else:
        path.unlink()
    assert simulate(path.parent)[1] > 0
    assert path.read_bytes() == whole
    assert len(read_labels(labels)) == 1


def test_an_interrupted_recording_has_no_labels(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("models.simulation.session.stream_events", stopped)
    with pytest.raises(KeyboardInterrupt):
        simulate(path.parent, REQUEST._replace(seed=2))
    assert not labels_path(path).exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, reason in (("file", "File exists"), ("file/in", "Not a directory")):
        with pytest.raises(RecordingError) as caught:
            simulate(tmp_path / folder)
        assert str(caught.value) == (
            f"{tmp_path / folder}: cannot be written: {reason}; check the path and its permissions"
        )


def test_labels_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    labels_path(tmp_path / REQUEST.file_name).mkdir()
    with pytest.raises(RecordingError, match=r"user03_led_labels\.csv: cannot be written: Is a"):
        simulate(tmp_path)

"""Writers of every format: an old recording stays until the new one has something."""

from pathlib import Path

import numpy as np
import pytest
from disk import disk_of

from pipeline.errors import RecordingError
from pipeline.events import EventArray, concatenate_events
from recordings import some_events
from stages.formats import create_recording, open_recording, writable_endings, writer_of

EVENTS = some_events(2_000)
EVENTS["t"] -= EVENTS["t"][0]
OLD = b"precious"


def read(path: Path) -> EventArray:
    with open_recording(path, size=(128, 128)) as reader:
        return concatenate_events([packet.events for packet in reader.packets()])


@pytest.fixture(params=writable_endings())
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"some{request.param}"
    path.write_bytes(OLD)
    return path


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def test_an_old_recording_stays_until_there_are_events(path: Path) -> None:
    writer = create_recording(path, 128, 128)
    assert path.read_bytes() == OLD
    writer.abandon()
    assert content(path) == {path.name: OLD}


def test_events_take_its_place_and_are_kept_whatever_happens(path: Path) -> None:
    def write() -> None:
        with create_recording(path, 128, 128) as writer:
            writer.write(EVENTS)
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert list(content(path)) == [path.name]
    np.testing.assert_array_equal(read(path), EVENTS)


def test_the_end_of_a_recording_without_events_takes_its_place_too(path: Path) -> None:
    create_recording(path, 128, 128).close()
    assert path.read_bytes() != OLD
    assert list(content(path)) == [path.name]
    assert len(read(path)) == 0


def test_a_disk_that_is_full_at_once_leaves_the_old_recording(path: Path) -> None:
    with (
        disk_of(20),
        pytest.raises(RecordingError, match=r"cannot be written: "),
        create_recording(path, 128, 128) as writer,
    ):
        writer.write(EVENTS)
    if path.suffix not in (".h5", ".hdf5"):
        # HDF5's library gives no chance to tell what it has left behind.
        assert content(path) == {path.name: OLD}
    assert path.read_bytes() == OLD


def test_two_cannot_write_one_file(path: Path) -> None:
    with create_recording(path, 128, 128) as writer:
        for _ in range(2):
            with pytest.raises(RecordingError, match="is being written by another run or stage"):
                create_recording(path, 128, 128)
            writer.write(EVENTS[:1000] if not writer.events else EVENTS[1000:])
    np.testing.assert_array_equal(read(path), EVENTS)


def test_first_events_that_the_format_cannot_hold_leave_the_old_recording(tmp_path: Path) -> None:
    path = tmp_path / "some.es"
    path.write_bytes(OLD)
    with (
        pytest.raises(RecordingError, match="ES counts time from 0"),
        create_recording(path, 128, 128) as writer,
    ):
        writer.write(some_events(10))
    assert content(path) == {path.name: OLD}


def test_a_link_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "folder" / "real.aedat4", tmp_path / "link.aedat4"
    real.parent.mkdir()
    link.symlink_to(real)
    with create_recording(link, 128, 128) as writer:
        writer.write(EVENTS)
    assert link.is_symlink()
    np.testing.assert_array_equal(read(real), EVENTS)


@pytest.mark.parametrize("ending", writable_endings())
def test_a_compression_is_one_that_the_format_has(ending: str, tmp_path: Path) -> None:
    form = writer_of(f"some{ending}")
    for compression in form.compressions:
        path = tmp_path / f"{compression}{ending}"
        with create_recording(path, 128, 128, options={"compression": compression}) as writer:
            writer.write(EVENTS)
        np.testing.assert_array_equal(read(path), EVENTS)
    must = "must be one of none, " if form.compressions else "must be left out"
    with pytest.raises(ValueError, match=f"compression {must}.* for {form.format}, got 'rar'"):
        create_recording(tmp_path / f"some{ending}", 128, 128, options={"compression": "rar"})
    assert not (tmp_path / f"some{ending}").exists()

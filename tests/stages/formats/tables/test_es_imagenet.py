"""ES-ImageNet's event lists: an array a polarity, of row, column and step."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from resuming import assert_resuming_continues, read
from streams import rows, through

from pipeline.errors import RecordingError
from pipeline.messages import Frames
from pipeline.offline import play
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.formats import open_recording
from stages.sources.replay import Replay, ReplayConfig


def lists(count: int = 3000, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """ON and OFF events as the conversion makes them: no place twice, by step."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(8 * 223 * 223)[:count]
    step, row, column = np.unravel_index(np.sort(places), (8, 223, 223))
    table = np.stack([row + 17, column + 17, step + 1], axis=1).astype(np.uint8)
    on = rng.random(count) < 0.5
    return table[on], table[~on]


def write(path: Path, pos: NDArray[np.uint8], neg: NDArray[np.uint8]) -> Path:
    np.savez_compressed(path, pos=pos, neg=neg)
    return path


def test_the_eight_frames_are_those_of_the_published_loader(tmp_path: Path) -> None:
    pos, neg = lists()
    path = write(tmp_path / "class3_7.npz", pos, neg)
    expected = np.zeros((8, 2, 256, 256), np.uint8)
    for channel, table in ((1, pos), (0, neg)):  # here channel 1 holds ON events
        expected[table[:, 2] - 1, channel, table[:, 0], table[:, 1]] = 1
    source = Replay("pictures", ReplayConfig(path=path))
    bins = TimeBin("bins", TimeBinConfig(window_us=1000, origin_us=0), [source.port()])
    out = through([bins], play(source))
    np.testing.assert_array_equal(rows(out), expected[:, :, 16:240, 16:240])
    assert sum(len(m.array) for m in out if isinstance(m.header, Frames)) == 8


def test_a_picture_of_one_polarity_is_read(tmp_path: Path) -> None:
    pos, neg = lists(50)
    events = read(write(tmp_path / "a.npz", pos, neg[:0]))
    assert len(events) == len(pos)
    assert set(events["p"].tolist()) == {1}
    assert len(read(write(tmp_path / "b.npz", pos[:0], neg[:0]))) == 0


def test_what_lies_outside_is_refused_and_counted(tmp_path: Path) -> None:
    pos = np.array([[16, 20, 1], [15, 20, 1], [20, 240, 2]], np.uint8)
    with open_recording(write(tmp_path / "a.npz", pos, pos[:0])) as reader:
        assert reader.size == (224, 224)
        assert reader.event_count == 3
        assert sum(len(packet.events) for packet in reader.packets()) == 1
        assert sum(reader.refused.values()) == 2


def test_slices_and_places_never_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.npz", *lists(500))
    assert_resuming_continues(path, monkeypatch, [{"slice_rows": rows} for rows in (100, 499, 500)])


@pytest.mark.parametrize(
    "pos", [np.zeros((5, 2), np.uint8), np.zeros((5, 3)), np.zeros(0, np.uint8)]
)
def test_arrays_of_another_form_are_refused(pos: NDArray[np.uint8], tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", pos, np.zeros((0, 3), np.uint8))
    with pytest.raises(RecordingError, match=r"its array pos holds .*; those of a polarity are"):
        open_recording(path)


def test_a_damaged_list_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", *lists())
    content = bytearray(path.read_bytes())
    content[400:500] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"a\.npz: is damaged .* at byte 0; the 0 events"):
        read(path, None)

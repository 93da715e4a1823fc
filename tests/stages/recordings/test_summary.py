"""A summary equals what NumPy finds in all events at once, however the recording is packed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import event_arrays

from pipeline.errors import RecordingError
from pipeline.events import EventArray, events_from_columns
from recordings import START_US, some_events, write_recording
from stages.formats import Policies
from stages.formats.aedat.aedat4_writer import Aedat4Writer
from stages.recordings.conversion import convert
from stages.recordings.summary import summarise

WINDOW_US = 10_000


def write(path: Path, events: EventArray, width: int, height: int, pieces: int = 1) -> Path:
    with Aedat4Writer(path, width, height) as writer:
        for piece in np.array_split(events, pieces):
            writer.write(piece)
    return path


@given(
    events=event_arrays(max_events=80, width=300, height=90),
    stretch=st.sampled_from([1, 97, 10_007, 2**40]),
    pieces=st.integers(1, 9),
)
def test_it_equals_a_slow_twin(
    events: EventArray, stretch: int, pieces: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    events["t"] *= stretch
    path = write(tmp_path_factory.getbasetemp() / "any.aedat4", events, 300, 90, pieces)
    found = summarise(path)
    assert (found.width, found.height, found.size_declared) == (300, 90, True)
    assert (found.events, found.on) == (len(events), int((events["p"] == 1).sum()))
    assert found.on + found.off == found.events
    picture = np.zeros((2, 23, 75), np.int64)
    np.add.at(picture, (events["p"], events["y"] // 4, events["x"] // 4), 1)
    np.testing.assert_array_equal(found.picture, picture)
    if not len(events):
        assert found.t_first_us is found.duration_s is found.rate_mean is None
        assert found.rate == []
        return
    t = events["t"] - events["t"][0]
    assert (found.t_first_us, found.t_last_us) == (events["t"][0], events["t"][-1])
    mean = len(t) / t[-1] * 1e6 if t[-1] else None
    assert found.rate_mean == mean
    peak = np.unique(t // WINDOW_US, return_counts=True)[1].max() / WINDOW_US * 1e6
    assert found.rate_peak == pytest.approx(max(peak, mean or 0))
    step_us = round(found.rate_step_s * 1e6)
    assert t[-1] < 64 * step_us
    assert t[-1] >= 32 * step_us or step_us == 1
    counts = np.bincount(t // step_us, minlength=len(found.rate))
    np.testing.assert_allclose(found.rate, counts / step_us * 1e6)


def test_progress_reaches_its_end(tmp_path: Path) -> None:
    shares: list[float] = []
    path = tmp_path / "some.csv"
    convert(write_recording(tmp_path / "some.aedat4", some_events(200_000)), path, Policies())
    summarise(path, on_progress=shares.append)
    assert len(shares) > 2
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_time_beyond_imagination_is_no_endless_loop(tmp_path: Path) -> None:
    events = events_from_columns([1 - 2**62, 2**62 - 1], [0, 1], [0, 1], [0, 1])
    found = summarise(write(tmp_path / "wide.aedat4", events, 2, 2))
    assert found.duration_s == pytest.approx(2**63 / 1e6)
    assert len(found.rate) == 64


def test_a_good_recording_is_called_so_and_a_gap_is_no_mistake(tmp_path: Path) -> None:
    events = some_events(10)
    events["t"][5:] += 2_000_000
    quality = summarise(write_recording(tmp_path / "some.aedat4", events)).quality
    assert (quality.verdict, quality.refused, quality.notes) == ("good", {}, {"gaps": 1})
    assert str(quality) == "good: gaps: 1"


def test_a_truncated_recording_is_described_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "some.aedat4", some_events())
    path.write_bytes(path.read_bytes()[:20_000])
    found = summarise(path)
    assert 0 < found.events < len(some_events())
    assert (found.t_first_us, found.quality.verdict) == (int(some_events()["t"][0]), "damaged")
    assert found.quality.notes["damaged places"] == 1


def test_events_of_a_damaged_packet_are_counted(tmp_path: Path) -> None:
    first, second = some_events(1_000)[:600], some_events(1_000)[600:610]
    path = tmp_path / "some.aedat4"
    with Aedat4Writer(path, 128, 128, compression="none") as writer:
        writer.write(first)
        writer.write(second)
    content = bytearray(path.read_bytes())
    begin = content.index(second[:1].tobytes())
    content[begin - 32 : begin] = b"\xff" * 32
    path.write_bytes(content)
    found = summarise(path)
    assert found.events == 600
    assert found.quality.refused == {"in damaged parts": 10}
    assert found.quality.verdict == "damaged"


@pytest.mark.parametrize("jump_us", [-1_000, -60_000_000])
def test_time_going_back_is_told_and_costs_no_event(jump_us: int, tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    times = [START_US, START_US + 10, START_US + 20]
    with Aedat4Writer(path, 4, 4, compression="none") as writer:
        writer.write(events_from_columns(times, [0, 1, 2], [0, 1, 2], [0, 1, 0]))
    content = path.read_bytes()
    earlier = (START_US + jump_us).to_bytes(8, "little")
    path.write_bytes(content.replace((START_US + 10).to_bytes(8, "little"), earlier, 1))
    found = summarise(path)
    assert (found.events, found.quality.verdict) == (3, "flawed")
    assert found.quality.notes == {"going back in time": 1}
    assert (found.t_first_us, found.t_last_us) == (START_US, START_US + 20)


def test_the_size_can_be_given(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "some.aedat4", some_events())
    found = summarise(path, size=(64, 128))
    assert (found.height, found.width) == (64, 128)
    inside = int((some_events()["y"] < 64).sum())
    assert found.events == inside
    assert found.quality.refused == {"outside the sensor": len(some_events()) - inside}


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    path.write_bytes(b"nothing of the kind\n" * 9)
    with pytest.raises(RecordingError, match="is of no known format"):
        summarise(path)

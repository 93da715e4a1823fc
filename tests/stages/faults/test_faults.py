"""What each fault does to what passes it."""

from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from streams import account, recording, rows, through

from pipeline.events import EventArray, events_from_columns
from pipeline.messages import Events
from pipeline.ports import EventsPort
from pipeline.registry import load_stage
from pipeline.stage import PortError
from stages.binning.time_bin import TimeBin, TimeBinConfig


def make(name: str, **options: Any) -> Any:
    found = load_stage(name)
    return found(name, found.Config(**options), [EventsPort(8, 6)])


def a_millisecond(first_us: int = 0) -> EventArray:
    t = np.arange(first_us, first_us + 1000)
    return events_from_columns(t, t % 8, t % 6, t % 2)


def times(stage: Any, events: EventArray) -> NDArray[np.int64]:
    found: NDArray[np.int64] = rows(through([stage], recording(events)))["t"]
    return found


def test_dropped_rows_are_refused() -> None:
    stage = make("fault_drop", probability=0.25)
    left = times(stage, a_millisecond())
    assert 200 < 1000 - len(left) < 300
    assert account(stage, recording(a_millisecond())).refused == {
        "dropped on purpose": 1000 - len(left)
    }


def test_time_is_counted_from_the_first_event() -> None:
    stage = make("fault_drop", probability=1, from_us=100, until_us=900)
    left = times(stage, a_millisecond(first_us=5_000_000)) - 5_000_000
    np.testing.assert_array_equal(left, [*range(100), *range(900, 1000)])


def test_a_seed_chooses_the_rows() -> None:
    left = [
        times(make("fault_drop", probability=0.5, seed=seed), a_millisecond()) for seed in "001"
    ]
    np.testing.assert_array_equal(left[0], left[1])
    assert left[0].tolist() != left[2].tolist()


def test_each_recording_has_rows_of_its_own() -> None:
    stage = make("fault_drop", probability=0.5)
    first, events, end = recording(a_millisecond())
    second = [m._replace(header=_of_epoch(m.header, 1)) for m in (first, events, end)]
    out = through([stage], [first, events, end, *second])
    left = [m.array["t"].tolist() for m in out if isinstance(m.header, Events)]
    assert left[0] != left[1]


def _of_epoch(header: Any, epoch: int) -> Any:
    return msgspec.structs.replace(header, epoch=epoch)


def test_duplicates_come_right_behind() -> None:
    stage = make("fault_duplicate", probability=0.1, until_us=20, seed=3)
    t = times(stage, a_millisecond())
    twice = t[:-1][np.diff(t) == 0]
    assert 0 < len(twice) < 20
    assert len(t) == 1000 + len(twice)
    assert (np.diff(t) >= 0).all()
    notes = account(stage, recording(a_millisecond())).notes
    assert notes == {"duplicated on purpose": len(twice)}


def test_a_row_is_overtaken_by_so_many() -> None:
    stage = make("fault_reorder", probability=1, by=3, from_us=10, until_us=11)
    assert times(stage, a_millisecond())[8:16].tolist() == [8, 9, 11, 12, 13, 10, 14, 15]


def test_a_late_row_keeps_its_time_and_leaves_behind_younger_ones() -> None:
    stage = make("fault_delay", probability=1, delay_us=5, from_us=10, until_us=12)
    assert times(stage, a_millisecond())[8:18].tolist() == [8, 9, 12, 13, 14, 10, 15, 11, 16, 17]


def test_late_events_are_late_in_bins() -> None:
    stage = make("fault_delay", probability=0.1, delay_us=100)
    bins = TimeBin("bins", TimeBinConfig(window_us=50), [EventsPort(8, 6)])
    late = account(stage, recording(a_millisecond())).notes["delayed on purpose"]
    refused = account(bins, through([stage], recording(a_millisecond()))).refused
    # What is delayed beyond the end of the recording comes before anything closes its window.
    assert 0 < late - 15 < refused["late"] <= late


def corrupt(events: EventArray, **options: Any) -> EventArray:
    out = through([make("fault_corrupt", **options)], recording(events))
    (message,) = (m for m in out if isinstance(m.header, Events))
    return message.array


def test_a_corrupt_row_differs_in_one_bit_of_the_fields_that_are_named() -> None:
    before = a_millisecond()
    out = corrupt(before, probability=0.2)
    changed = before.view(np.int64).reshape(-1, 2) ^ out.view(np.int64).reshape(-1, 2)
    changed[:, 1] &= (1 << 40) - 1  # what lies behind the polarity is nobody's
    bits = np.unpackbits(changed.view(np.uint8), axis=1).sum(axis=1)
    assert set(bits.tolist()) == {0, 1}
    assert 150 < bits.sum() < 250
    np.testing.assert_array_equal(out["t"], before["t"])
    only_p = corrupt(before, probability=1, fields=["p"])
    np.testing.assert_array_equal(only_p["x"], before["x"])
    assert (only_p["p"] != before["p"]).all()


def test_a_slow_reader_sleeps_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("stages.faults.slow.time.sleep", slept.append)
    stage = make("fault_slow", sleep_us=50, from_us=500)
    assert len(times(stage, a_millisecond())) == 1000
    assert sum(slept) == pytest.approx(500 * 50e-6)


def test_a_time_that_is_no_stretch_is_refused() -> None:
    stage = make("fault_drop", probability=1, from_us=7, until_us=7)
    with pytest.raises(PortError, match=r"^must be > from_us = 7, got 7$"):
        stage.port()

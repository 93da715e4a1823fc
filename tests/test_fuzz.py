"""Mutated recordings give events or one clear error; and the fuzzer would notice otherwise."""

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fuzz as fuzzer
from benchmarks.fuzz import Jobs, Tally, fuzz, mutated, read
from benchmarks.samples import SIDE_PX, sample_events, samples
from pipeline.events import EventArray, concatenate_events
from stages.formats import FORMATS, Policies, open_recording


@pytest.fixture(scope="module")
def tallies() -> dict[str, Tally]:
    return dict(fuzz(Jobs(tuple(FORMATS), count=200)))


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_give_events_or_one_clear_error(name: str, tallies: dict[str, Tally]) -> None:
    tally = tallies[name]
    assert [str(failure) for failure in tally.failures] == []
    assert tally.read + tally.refused == 200
    assert tally.refused > 0


@pytest.mark.parametrize("name", FORMATS)
def test_a_sample_is_a_whole_recording(name: str, tmp_path: Path) -> None:
    for content in samples(name, tmp_path):
        path = tmp_path / "sample"
        path.write_bytes(content)
        with open_recording(path) as reader:
            assert name.startswith(reader.format)  # "ROS bag" is that of ROS 2 as well
            events = concatenate_events([packet.events for packet in reader.packets()])
            assert (dict(reader.refused), dict(reader.notes)) == ({}, {})
        expected = sample_events(side_px=SIDE_PX if FORMATS[name].endings else 34)
        if reader.source.startswith("ST-MNIST"):  # a tactile array of 10×10, not a camera
            np.testing.assert_array_equal(np.unique(events["t"]), np.unique(expected["t"]))
        else:
            np.testing.assert_array_equal(events, expected)


def test_a_mutation_is_the_same_each_time_and_another_for_each_number() -> None:
    contents = [mutated("ES", [bytes(500), b"a" * 500], 3, number) for number in range(50)]
    assert contents == [mutated("ES", [bytes(500), b"a" * 500], 3, n) for n in range(50)]
    assert len({content for content, _ in contents}) > 45
    assert all(changes for _, changes in contents)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sample"
    path.write_bytes(next(samples("AEDAT4", tmp_path)))
    return path


@pytest.mark.parametrize(("axis", "value"), [("x", -1), ("y", SIDE_PX), ("p", 2), ("t", -(2**62))])
def test_events_that_no_reader_may_give_are_noticed(
    axis: str, value: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(path, Policies())

    def inspect(_: object, events: EventArray) -> EventArray:
        events = events.copy()
        events[axis][5] = value
        return events

    monkeypatch.setattr("stages.formats.inspection.Inspector.inspect", inspect)
    with pytest.raises(AssertionError, match=r"outside|neither|impossible"):
        read(path, Policies())


def failures(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What is said of a reading process that does what a script says."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(program))
    ((_, tally),) = fuzz(Jobs(("EVT3",), count=2))
    return (str(failure) for failure in tally.failures)


def test_a_crash_is_a_failure_of_its_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = failures("echo next flip; kill -SEGV $$", tmp_path, monkeypatch)
    again = "python -m benchmarks.fuzz --format 'EVT3' --seed 0 --first"
    assert first == f"flip: the process ended with -11\n    again: {again} 0 --count 1 --trace"
    assert f"{again} 1" in second


def test_a_hang_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzer, "LIMIT_S", 0.05)
    script = "echo next flip; echo done read; echo next cut; exec sleep 100"
    (only,) = failures(script, tmp_path, monkeypatch)
    assert only.startswith("cut: took much more than")
    assert "--first 1" in only


def test_a_process_that_cannot_begin_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match="cannot be read at all: the process ended with 3"):
        failures("exit 3", tmp_path, monkeypatch)

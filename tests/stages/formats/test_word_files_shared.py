"""The real recordings: what their own words hold, and all that N-MNIST has."""

from pathlib import Path

import pytest
from known import assert_as_known

from stages.formats import open_recording

pytestmark = pytest.mark.shared

RECORDINGS = {
    "recordings/evt2/faery_evt2.raw": ("EVT2", (480, 640)),
    "recordings/evt3/expelliarmus_evt3_sample.raw": ("EVT3", (720, 1280)),
    "recordings/dat/tonic_sample_ncars.dat": ("DAT", (42, 78)),
    "recordings/es/cpphots_poker_trcl0.es": ("ES", (32, 30)),
    "recordings/es/faery_dvs.es": ("ES", (240, 320)),
    "recordings/nmnist_bin/tonic_sample_nmnist.bin": ("N-MNIST", (34, 34)),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_events_are_the_expected_ones_and_nothing_is_wrong(name: str, shared: Path) -> None:
    path = shared / name
    with open_recording(path) as reader:
        assert (reader.format, reader.size) == RECORDINGS[name]
    assert_as_known(path)


def test_all_of_nmnist_is_read(shared: Path) -> None:
    paths = sorted(shared.glob("nmnist/*/*/*.bin"))
    assert len(paths) == 800
    for path in paths:
        with open_recording(path) as reader:
            assert (reader.format, reader.size) == ("N-MNIST", (34, 34))
            count = sum(len(packet.events) for packet in reader.packets())
            assert (reader.refused, reader.notes) == ({}, {}), path
        assert count > 1000

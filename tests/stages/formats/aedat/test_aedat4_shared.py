"""Recordings of real cameras: our arrays are those known for them, and dv-processing's."""

import hashlib
import json
from pathlib import Path

import dv_processing
import numpy as np
import pytest
from shared import SHARED

from pipeline.events import concatenate_events
from stages.formats import open_recording

RECORDINGS = sorted((SHARED / "recordings").rglob("*.aedat4")) if SHARED.is_dir() else []
COLUMNS = {"t": "<i8", "x": "<i2", "y": "<i2", "p": "u1"}

pytestmark = [
    pytest.mark.shared,
    pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name),
]


def test_a_real_recording_is_read_as_it_is_known(path: Path) -> None:
    everything = json.loads((SHARED / "recordings" / "expected.json").read_text())
    known = everything[str(path.relative_to(SHARED))]
    with open_recording(path) as reader:
        events = concatenate_events([packet.events for packet in reader.packets()])
        assert [reader.width, reader.height] == known["size"]
        assert (reader.refused, reader.notes) == ({}, {})
        # One recording is older than counts and times in the data table.
        assert reader.event_count in (known["n"], None)
        assert reader.time_range_us in ((known["t_min"], known["t_max"]), None)
    assert len(events) == known["n"]
    assert (events["t"][0], events["t"][-1]) == (known["t_first"], known["t_last"])
    for axis in "xy":
        assert [events[axis].min(), events[axis].max()] == known[f"{axis}_range"]
    assert np.bincount(events["p"]).tolist() == [known["off"], known["on"]]
    digest = hashlib.sha256()
    for name, form in COLUMNS.items():
        digest.update(events[name].astype(form).tobytes())
    assert digest.hexdigest() == known["sha256_txyp"]


def test_a_real_recording_is_read_as_dv_processing_does(path: Path) -> None:
    recording = dv_processing.io.MonoCameraRecording(str(path))
    batches = []
    while (batch := recording.getNextEventBatch()) is not None:
        batches.append(batch.numpy())
    theirs = np.concatenate(batches)
    with open_recording(path) as reader:
        ours = concatenate_events([packet.events for packet in reader.packets()])
        assert (reader.width, reader.height) == recording.getEventResolution()
        assert reader.source == recording.getCameraName()
    for mine, other in zip("txyp", ("timestamp", "x", "y", "polarity"), strict=True):
        np.testing.assert_array_equal(ours[mine], theirs[other])

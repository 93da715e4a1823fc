"""Recordings of real cameras: our arrays are those known for them, and dv-processing's."""

from pathlib import Path

import dv_processing
import numpy as np
import pytest
from known import assert_as_known, recordings

from pipeline.events import concatenate_events
from stages.formats import open_recording

pytestmark = [
    pytest.mark.shared,
    pytest.mark.parametrize("path", recordings(".aedat4"), ids=lambda path: path.name),
]


def test_a_real_recording_is_read_as_it_is_known(path: Path) -> None:
    assert_as_known(path)


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

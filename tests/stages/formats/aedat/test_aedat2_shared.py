"""AEDAT 2.0 recordings of real cameras: our arrays are those known for them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from jaer import read
from shared import SHARED

from stages.formats import open_recording

RECORDINGS = sorted((SHARED / "recordings").rglob("*.aedat")) if SHARED.is_dir() else []
COLUMNS = {"t": "<i8", "x": "<i2", "y": "<i2", "p": "u1"}

pytestmark = pytest.mark.shared


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_a_real_recording_is_read_as_it_is_known(path: Path) -> None:
    everything = json.loads((SHARED / "recordings" / "expected.json").read_text())
    known = everything[str(path.relative_to(SHARED))]
    with open_recording(path) as reader:
        assert reader.format == "AEDAT 2.0"
        events = read(reader)
        assert reader.refused == {}
        imu_words = known.get("imu_words", 0)
        assert reader.notes == ({"IMU words": imu_words} if imu_words else {})
        if "size" in known:
            assert [reader.width, reader.height] == known["size"]
    assert len(events) == known["n"]
    if not len(events):
        return
    assert (events["t"][0], events["t"][-1]) == (known["t_first"], known["t_last"])
    assert np.bincount(events["p"]).tolist() == [known["off"], known["on"]]
    digest = hashlib.sha256()
    for name, form in COLUMNS.items():
        digest.update(events[name].astype(form).tobytes())
    assert digest.hexdigest() == known["sha256_txyp"]

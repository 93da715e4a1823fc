"""What is known about the real recordings beside the checkout."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from shared import SHARED

from pipeline.events import concatenate_events
from stages.formats import open_recording

COLUMNS = {"t": "<i8", "x": "<i2", "y": "<i2", "p": "u1"}
EXPECTED = SHARED / "recordings" / "expected.json"
KNOWN: dict[str, dict[str, Any]] = json.loads(EXPECTED.read_text()) if EXPECTED.is_file() else {}
"""What ``expected.json`` says, by a recording's path in the folder; empty without it."""


def recordings(ending: str) -> list[Path]:
    """The recordings whose names end so, of which there is something known."""
    return [SHARED / name for name, row in KNOWN.items() if name.endswith(ending) and "n" in row]


def assert_as_known(path: Path) -> None:
    """A recording has the events that are known of it, and nothing is wrong with it."""
    known = KNOWN[str(path.relative_to(SHARED))]
    with open_recording(path) as reader:
        events = concatenate_events([packet.events for packet in reader.packets()])
        imu_words = known.get("imu_words", 0)
        assert reader.refused == {}
        assert reader.notes == ({"IMU words": imu_words} if imu_words else reader.beside)
        assert reader.event_count in (known["n"], None)
        if "size" in known:
            assert [reader.width, reader.height] == known["size"]
    assert len(events) == known["n"]
    if not len(events):
        return
    assert (events["t"][0], events["t"][-1]) == (known["t_first"], known["t_last"])
    for axis in "xy":
        if f"{axis}_range" in known:
            assert [events[axis].min(), events[axis].max()] == known[f"{axis}_range"]
    assert np.bincount(events["p"], minlength=2).tolist() == [known["off"], known["on"]]
    digest = hashlib.sha256()
    for name, form in COLUMNS.items():
        digest.update(events[name].astype(form).tobytes())
    assert digest.hexdigest() == known["sha256_txyp"]

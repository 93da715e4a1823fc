"""What is known about the real recordings beside the checkout."""

import hashlib
import json
from pathlib import Path

import numpy as np
from shared import SHARED

from pipeline.events import concatenate_events
from stages.formats import open_recording

COLUMNS = {"t": "<i8", "x": "<i2", "y": "<i2", "p": "u1"}


def assert_as_known(path: Path) -> None:
    """A recording has the events that ``expected.json`` says, and nothing is wrong with it."""
    everything = json.loads((SHARED / "recordings" / "expected.json").read_text())
    known = everything[str(path.relative_to(SHARED))]
    with open_recording(path) as reader:
        events = concatenate_events([packet.events for packet in reader.packets()])
        assert (dict(reader.refused), dict(reader.quality)) == ({}, {})
    assert len(events) == known["n"]
    assert (events["t"][0], events["t"][-1]) == (known["t_first"], known["t_last"])
    for axis in "xy":
        assert [events[axis].min(), events[axis].max()] == known[f"{axis}_range"]
    assert np.bincount(events["p"]).tolist() == [known["off"], known["on"]]
    digest = hashlib.sha256()
    for name, form in COLUMNS.items():
        digest.update(events[name].astype(form).tobytes())
    assert digest.hexdigest() == known["sha256_txyp"]

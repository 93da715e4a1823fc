"""A table over all recordings below a folder, and whether each is what it is known to be.

Usage: python -m benchmarks.recordings FOLDER [EXPECTED.json]. The JSON, FOLDER/expected.json where
it is left out, holds for each recording, by its path from the folder above, some of: the number of
events ``n``, ``t_first``, ``t_last``, ``on``, ``off``, ``size`` and ``sha256_txyp``, a SHA-256 over
the columns t (int64), x (int16), y (int16) and p (uint8), one after the other. Each recording is
read as a stream in a process of its own, for its peak memory.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.memory import in_own_process
from pipeline.errors import RecordingError
from stages.formats import Policies, open_recording, recordings_in
from stages.formats.notes import TRIGGER_WORDS
from stages.recordings.quality import quality_of

__all__ = ["differences", "main", "read"]

COLUMNS = (("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"))
KNOWN = ("n", "t_first", "t_last", "on", "off", "size", "sha256_txyp", TRIGGER_WORDS)
KNOWN_BY_NAME: dict[str, dict[str, Any]] = {
    "event_camera_py_test_events_1.bag": {"n": 343_474, TRIGGER_WORDS: 4_157},
    "evl_event.hdf5": {"n": 17},
    "tonic_sample_stmnist.mat": {"n": 2_346},
}
"""What rosbags, h5py and scipy find in recordings of which the JSON says nothing."""


def read(path: Path) -> dict[str, Any]:
    """Read a recording as a stream; damage is left out and counted."""
    count = on = 0
    first_us = last_us = None
    with open_recording(path, Policies(on_damage="drop")) as reader:
        for events, _ in reader.packets():
            if len(events):
                first_us = int(events["t"][0]) if first_us is None else first_us
                last_us = int(events["t"][-1])
                count, on = count + len(events), on + int(events["p"].sum())
        return {
            "format": reader.format,
            "size": [reader.width, reader.height],
            "n": count,
            "t_first": first_us,
            "t_last": last_us,
            "on": on,
            "off": count - on,
            "quality": str(quality_of(reader, count)),
            TRIGGER_WORDS: reader.notes.get(TRIGGER_WORDS, 0),
        }


def read_digest(path: Path) -> dict[str, Any]:
    """Read a recording likewise, and for the digest once more for each column behind the first."""
    found = read(path)
    digest = hashlib.sha256()
    with open_recording(path, Policies(on_damage="drop")) as reader:
        for name, form in COLUMNS:
            for events, _ in reader.packets():
                digest.update(np.ascontiguousarray(events[name]).astype(form).tobytes())
    return found | {"sha256_txyp": digest.hexdigest()}


def differences(found: dict[str, Any], known: dict[str, Any]) -> str:
    """Say in what a recording is not as it is known."""
    wrong = [key for key in KNOWN if key in known and found[key] != known[key]]
    return ", ".join(
        key if key == "sha256_txyp" else f"{key} {found[key]} for {known[key]}" for key in wrong
    )


def recordings_below(folder: Path) -> list[Path]:
    """Return what is a recording, or is called like one, in a folder and in those below it."""
    paths: list[Path] = []
    for below in sorted([folder, *(path for path in folder.rglob("*") if path.is_dir())]):
        try:
            paths += recordings_in(below).recordings
        except RecordingError:
            continue  # there is none in it
    return paths


def main(folder: Path, expected: Path | None = None) -> int:
    """Print the table; return how many recordings are not what they should be."""
    folder = folder.resolve()
    expected = expected or folder / "expected.json"
    by_path = json.loads(expected.read_text()) if expected.is_file() else {}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("recording", overflow="fold", min_width=20)
    for name in ("format", "sensor", "events", "first µs", "last µs", "quality", "known", "MB"):
        right = name in ("events", "first µs", "last µs", "MB")
        text = name in ("quality", "known")
        table.add_column(
            name, justify="right" if right else "left", overflow="fold", no_wrap=not text
        )
    wrong = 0
    for path in recordings_below(folder):
        known = by_path.get(str(path.relative_to(folder.parent)), KNOWN_BY_NAME.get(path.name, {}))
        work = read_digest if "sha256_txyp" in known else read
        try:
            found, peak_mb = in_own_process(work, path)
        except RecordingError as error:
            # What no reader reads is known by having no number of events.
            wrong += "n" in known
            problem = str(error).removeprefix(f"{path}: ")
            table.add_row(path.name, "", "", "", "", "", problem, "✗" if "n" in known else "", "")
            continue
        checked = any(key in known for key in KNOWN)
        difference = differences(found, known)
        wrong += bool(difference)
        times = [str(found[key]) if found["n"] else "" for key in ("t_first", "t_last")]
        table.add_row(
            path.name,
            found["format"],
            "×".join(map(str, found["size"])),
            f"{found['n']:,}",
            *times,
            found["quality"],
            difference or ("✓" if checked else ""),
            f"{peak_mb:.0f}",
        )
    Console(width=None if sys.stdout.isatty() else 130, highlight=False).print(table)
    return wrong


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(min(main(*map(Path, sys.argv[1:])), 1))

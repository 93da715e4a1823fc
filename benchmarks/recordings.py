"""A table over all recordings below a folder, and whether each is what it is known to be.

Usage: python -m benchmarks.recordings FOLDER [EXPECTED.json]. The JSON holds for each recording,
by its path from the folder above, the number of events ``n``, ``t_first``, ``t_last``, ``on``,
``off`` and ``sha256_txyp``, a SHA-256 over the columns t (int64), x (int16), y (int16) and p
(uint8), one after the other. Each recording is read in a process of its own, for its peak memory.
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
from pipeline.events import concatenate_events
from stages.formats import Policies, open_recording

__all__ = ["main", "read"]

KNOWN = ("n", "t_first", "t_last", "on", "off", "sha256_txyp")


def read(path: Path) -> dict[str, Any]:
    """Read a recording wholly; damage is left out and counted."""
    with open_recording(path, Policies(on_damage="drop")) as reader:
        events = concatenate_events([packet.events for packet in reader.packets()])
        columns = (("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"))
        digest = hashlib.sha256()
        for name, form in columns:
            digest.update(np.ascontiguousarray(events[name]).astype(form).tobytes())
        found: dict[str, Any] = {
            "format": reader.format,
            "size": [reader.width, reader.height],
            "n": len(events),
            "refused": dict(reader.refused),
            "quality": dict(reader.notes),
        }
        if len(events):
            on = int(events["p"].sum())
            found |= {"t_first": int(events["t"][0]), "t_last": int(events["t"][-1])}
            found |= {"on": on, "off": len(events) - on, "sha256_txyp": digest.hexdigest()}
    return found


def differences(found: dict[str, Any], known: dict[str, Any]) -> str:
    """Name the keys in which a recording is not what is known of it."""
    wrong = [key for key in KNOWN if key in known and found.get(key) != known[key]]
    if "size" in known and found["size"] != known["size"]:
        wrong.append(f"size {found['size']} for {known['size']}")
    return ", ".join(wrong)


def main(folder: Path, expected: Path | None) -> int:
    """Print the table; return how many recordings are not what they should be."""
    known = json.loads(expected.read_text()) if expected is not None else {}
    columns = ("recording", "format", "sensor", "events", "first µs", "last µs", "s", "found")
    table = Table(*columns, "as expected", "MB", box=box.SIMPLE_HEAD, pad_edge=False)
    wrong = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder.parent))
        try:
            found, peak_mb = in_own_process(read, path)
        except RecordingError as error:
            table.add_row(path.name, "", "", "", "", "", "", str(error).split(": ", 1)[1])
            continue
        flaws = {**found["refused"], **found["quality"]}
        verdict = ""
        if name in known and "n" in known[name]:
            verdict = differences(found, known[name])
            wrong += bool(verdict)
            verdict = verdict or "✓"
        first_us, last_us = found.get("t_first"), found.get("t_last")
        table.add_row(
            path.name,
            found["format"],
            "×".join(map(str, found["size"])),
            f"{found['n']:,}",
            "" if first_us is None else str(first_us),
            "" if last_us is None else str(last_us),
            "" if first_us is None else f"{(last_us - first_us) / 1e6:.3f}",
            ", ".join(f"{key}: {count}" for key, count in flaws.items()) or "good",
            verdict,
            f"{peak_mb:.0f}",
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    return wrong


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))

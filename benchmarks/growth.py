"""Peak memory of reading a recording, and one 50 times as long, in every format.

Usage: python -m benchmarks.growth [--quick] [--json FILE]
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Options, Rows, command, compare
from benchmarks.memory import in_own_process
from benchmarks.reading import HEIGHT, WIDTH, some_events
from benchmarks.samples import ENCODERS, sample_events
from pipeline.errors import PipelineError
from stages.formats import FORMATS, create_recording, open_recording

__all__ = ["rows"]

TIMES = 50


def read(path: Path) -> int:
    """Read a recording as a stream would, keeping nothing."""
    with open_recording(path, size=(HEIGHT, WIDTH)) as reader:
        return sum(len(packet.events) for packet in reader.packets())


def write(path: Path, millions: float, times: int) -> int:
    """Write a recording of events that repeat ``times`` times."""
    events = some_events(None, millions).copy()
    span_us = int(events["t"][-1]) + 1
    with create_recording(path, WIDTH, HEIGHT) as writer:
        for _ in range(times):
            writer.write(events)
            events["t"] += span_us
    return times * len(events)


def encode(path: Path, name: str, count: int) -> int:
    """Make a recording in a format that is only read; all of it is in memory, so none counts."""
    path.write_bytes(ENCODERS[name][0](sample_events(count, side_px=34, span_us=4_000_000)))
    return count


def peaks(name: str, folder: Path, millions: float, times: int) -> tuple[int, float, float | None]:
    """Return how many events were read, and the peaks in MB of reading and writing."""
    path = folder / f"recording{''.join(FORMATS[name].endings[:1])}"
    written_mb = None
    if name in ENCODERS:
        in_own_process(encode, path, name, round(millions * 1e6) * times)
    else:
        _, written_mb = in_own_process(write, path, millions, times)
    count, read_mb = in_own_process(read, path)
    return count, read_mb, written_mb


def rows(options: Options) -> Rows:
    """Yield the peaks of each format; the longer one stands beside the shorter."""
    millions, times = (0.01, 5) if options.quick else (0.5, TIMES)
    for name in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                short, long = (peaks(name, Path(folder), millions, n) for n in (1, times))
            except PipelineError as error:
                yield f"not measured: {name}: {error}"
                continue
        for what, before, after in (
            ("reading", short[1], long[1]),
            ("writing", short[2], long[2]),
        ):
            if before is not None and after is not None:
                names = [f"{what} {name}, {count:,} events" for count in (short[0], long[0])]
                found = {names[0]: [before], names[1]: [after]}
                yield from compare("growth", "MB", found, names[0])


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])

"""One small valid recording of each format, to measure or to mutate.

Formats that can be written are written by our writers; for the others there is a short encoder
here, made from the format's description.
"""

import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipeline.events import EventArray, events_from_columns
from stages.formats import FORMATS, create_recording, writer_of

__all__ = ["SIDE_PX", "SPAN_US", "sample_events", "samples"]

SIDE_PX = 128
SPAN_US = 60_000


def sample_events(count: int = 900, seed: int = 0, side_px: int = SIDE_PX) -> EventArray:
    """Return events at random places, in order of time from 1 ms on."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(1_000, SPAN_US, count))
    x, y, p = rng.integers(0, (side_px, side_px, 2), (count, 3)).T
    return events_from_columns(t, x, y, p)


def samples(name: str, folder: Path) -> Iterator[bytes]:
    """Yield valid recordings of a format, one for each way to compress it."""
    ending = FORMATS[name].endings[0] if FORMATS[name].endings else None
    if ending is None:
        yield _ENCODERS[name](sample_events(side_px=34))
        return
    path = folder / f"sample{ending}"
    for compression in writer_of(path).compressions or (None,):
        options = {} if compression is None else {"compression": compression}
        with create_recording(path, SIDE_PX, SIDE_PX, options=options) as writer:
            for part in np.array_split(sample_events(), 3):
                writer.write(part)
        yield path.read_bytes()


def _aedat1(events: EventArray) -> bytes:
    """Address (16 bits: y, mirrored x, inverted polarity) and time (32), highest byte first."""
    words = np.empty(len(events), np.dtype([("address", ">u2"), ("t", ">u4")]))
    words["address"] = events["y"] << 8 | (127 - events["x"]) << 1 | (1 - events["p"])
    words["t"] = events["t"]
    return b"#!AER-DAT1.0\r\n# This is a raw AE data file\r\n" + words.tobytes()


def _evt21(events: EventArray) -> bytes:
    """Words of 64 bits: TIME_HIGH (8) where it changes; POS (1) or NEG (0) with a mask of one."""
    header = b"% evt 2.1\n% format EVT21;height=34;width=34\n% endianness little\n% end\n"
    words: list[int] = []
    high = -1
    for t, x, y, p in events.tolist():
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 60 | high << 32)
        words.append(p << 60 | (t & 63) << 54 | (x & ~31) << 43 | y << 32 | 1 << (x & 31))
    return header + np.array(words, "<u8").tobytes()


def _nmnist(events: EventArray) -> bytes:
    """Bytes of x and y, then a bit of polarity and 23 of time, highest byte first."""
    rows = [struct.pack(">BBI", x, y, p << 23 | t) for t, x, y, p in events.tolist()]
    return b"".join(row[:2] + row[3:] for row in rows)


def _mat(events: EventArray) -> bytes:
    """The layout of ST-MNIST: a row a taxel of 10×10 with its spikes, and a row of times."""
    from scipy.io import savemat

    spikes = np.zeros((101, 200))
    t = np.unique(events["t"])[:200]
    spikes[-1] = t / 1e6
    spikes[events["x"][:200] % 100, np.arange(200)] = np.where(events["p"][:200] > 0, 1, -1)
    file = io.BytesIO()
    savemat(file, {"spiketrain": spikes}, do_compression=True)
    return file.getvalue()


_ENCODERS: dict[str, Callable[[EventArray], bytes]] = {
    "AEDAT 1.0": _aedat1,
    "EVT2.1": _evt21,
    "N-MNIST": _nmnist,
    "MAT": _mat,
}

"""One small valid recording of each format, to measure or to mutate.

Formats that can be written are written by our writers; for the others there is a short encoder
here, made from the format's description.
"""

import io
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.events import EventArray, events_from_columns
from stages.formats import FORMATS, create_recording, writer_of

__all__ = ["ENCODERS", "SIDE_PX", "SPAN_US", "sample_events", "samples"]

SIDE_PX = 128
SPAN_US = 60_000


def sample_events(
    count: int = 900, seed: int = 0, side_px: int = SIDE_PX, span_us: int = SPAN_US
) -> EventArray:
    """Return events at random places, in order of time from 1 ms on."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(1_000, span_us, count))
    x, y, p = rng.integers(0, (side_px, side_px, 2), (count, 3)).T
    return events_from_columns(t, x, y, p)


def samples(name: str, folder: Path) -> Iterator[bytes]:
    """Yield valid recordings of a format, one for each way to compress it."""
    ending = FORMATS[name].endings[0] if FORMATS[name].endings else None
    if ending is None:
        for encode in ENCODERS[name]:
            yield encode(sample_events(side_px=34))
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
    t, x, y, p = (events[name].astype(np.uint64) for name in "txyp")
    high = t >> 6
    changes = np.flatnonzero(np.append(True, high[1:] != high[:-1]))
    words = p << 60 | (t & 63) << 54 | (x - x % 32) << 43 | y << 32 | 1 << (x % 32)
    words = np.insert(words, changes, 8 << 60 | high[changes] << 32)
    return header + words.astype("<u8").tobytes()


def _nmnist(events: EventArray) -> bytes:
    """Bytes of x and y, then a bit of polarity and 23 of time, highest byte first."""
    t, x, y, p = (events[name].astype(np.int64) for name in "txyp")
    words = (x << 32 | y << 24 | p << 23 | t).astype(">u8")
    return words.view(np.uint8).reshape(-1, 8)[:, 3:].tobytes()


def _mat(events: EventArray, compressed: bool = True) -> bytes:
    """The layout of N-MNIST for MATLAB: a struct of the columns."""
    from scipy.io import savemat

    file = io.BytesIO()
    columns = {"x": events["x"], "y": events["y"], "p": events["p"], "ts": events["t"]}
    savemat(file, {"TD": columns}, do_compression=compressed)
    return file.getvalue()


def _mat_taxels(events: EventArray) -> bytes:
    """The layout of ST-MNIST: a row a taxel of 10×10 with its spikes, and a row of times."""
    from scipy.io import savemat

    times, column = np.unique(events["t"], return_inverse=True)
    spikes = np.zeros((101, len(times)))
    spikes[-1] = times / 1e6
    spikes[events["y"] % 10 * 10 + events["x"] % 10, column] = np.where(events["p"] > 0, 1, -1)
    file = io.BytesIO()
    savemat(file, {"spiketrain": spikes}, do_compression=True)
    return file.getvalue()


def _messages(events: EventArray) -> list[EventArray]:
    return np.array_split(events, max(4, len(events) // 10_000))


def _rosbag(events: EventArray, compression: str | None = None) -> bytes:
    """A bag of ROS 1 with dvs_msgs/EventArray: packed records of x, y, s, ns and polarity."""
    from rosbags.rosbag1 import Writer

    record = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "?")])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.bag"
        bag = Writer(path)
        if compression is not None:
            bag.set_compression(Writer.CompressionFormat[compression])
        with bag:
            kind = "dvs_msgs/msg/EventArray"
            topic = bag.add_connection("/events", kind, msgdef="uint8 any", md5sum="0" * 32)
            for number, part in enumerate(_messages(events)):
                records = np.zeros(len(part), record)
                records["x"], records["y"], records["p"] = part["x"], part["y"], part["p"]
                records["ns"] = part["t"] * 1_000
                head = struct.pack("<IIIIII", number, 0, 0, 0, 34, 34)
                message = head + struct.pack("<I", len(part)) + records.tobytes()
                bag.write(topic, int(part["t"][0]) * 1_000, message)
        return path.read_bytes()


def _rosbag2(events: EventArray, plugin: str = "SQLITE3") -> bytes:
    """A bag of ROS 2 with event_camera_msgs/EventPacket of encoding "mono", in CDR."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample"
        with Writer(path, version=9, storage_plugin=StoragePlugin[plugin]) as bag:
            kind = "event_camera_msgs/msg/EventPacket"
            topic = bag.add_connection("/events", kind, msgdef="uint8 any", rihs01="RIHS01_0")
            for number, part in enumerate(_messages(events)):
                base_us = int(part["t"][0])
                words = (part["t"].astype(np.uint64) - np.uint64(base_us)) * np.uint64(1_000)
                for axis, bit in (("x", 32), ("y", 48), ("p", 63)):
                    words |= part[axis].astype(np.uint64) << np.uint64(bit)
                # Each field is aligned to its size, counted from behind the first four bytes.
                message = struct.pack("<IIIIBxxxII", 1 << 8, 0, 0, 1, 0, 34, 34)
                message += bytes(-(len(message) - 4) % 8)
                message += struct.pack("<QQI5sB", number, base_us * 1_000, 5, b"mono", 0)
                message += bytes(-len(message) % 4)
                message += struct.pack("<I", words.nbytes) + words.tobytes()
                bag.write(topic, base_us * 1_000, message)
        (file,) = (file for file in path.iterdir() if file.suffix != ".yaml")
        return file.read_bytes()


ENCODERS: dict[str, Sequence[Callable[[EventArray], bytes]]] = {
    "AEDAT 1.0": [_aedat1],
    "EVT2.1": [_evt21],
    "N-MNIST": [_nmnist],
    "MAT": [_mat, partial(_mat, compressed=False), _mat_taxels],
    "ROS bag": [_rosbag, partial(_rosbag, compression="LZ4"), partial(_rosbag, compression="BZ2")],
    "ROS bag 2": [_rosbag2, partial(_rosbag2, plugin="MCAP")],
}
"""For each format that is only read, encoders of events on a sensor of 34×34 px."""

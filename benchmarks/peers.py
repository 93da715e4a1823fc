"""What we and others do with the same file; runs in an interpreter that has them installed.

Usage: PYTHON peers.py versions | PYTHON peers.py list | PYTHON peers.py read NAME FORMAT PATH RUNS.
It prints JSON: the versions of what is installed; for each format the names of those that read it
and are installed; or how many events were read and the seconds that it took. Apart from NumPy it
needs nothing but the peers, each of which may be missing.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["PEERS", "main"]


def ours(path: str) -> int:
    from stages.formats import open_recording

    with open_recording(path) as reader:
        return sum(len(packet.events) for packet in reader.packets())


def dv_frames(path: str) -> int:
    """Frames of 10 ms at full size; it has no way to make smaller ones."""
    from datetime import timedelta

    import dv_processing as dv

    recording, count = dv.io.MonoCameraRecording(path), 0
    accumulator, slicer = dv.Accumulator(recording.getEventResolution()), dv.EventStreamSlicer()

    def frame(events: Any) -> None:
        nonlocal count
        accumulator.accept(events)
        accumulator.generateFrame()
        count += events.size()

    slicer.doEveryTimeInterval(timedelta(milliseconds=10), frame)
    while recording.isRunning():
        batch = recording.getNextEventBatch()
        if batch is not None:
            slicer.accept(batch)
    return count


def dv_processing(path: str) -> int:
    import dv_processing as dv

    recording, count = dv.io.MonoCameraRecording(path), 0
    while recording.isRunning():
        batch = recording.getNextEventBatch()
        if batch is not None:
            count += len(batch.numpy())
    return count


def faery(path: str) -> int:
    import faery

    return sum(len(events) for events in faery.events_stream_from_file(path))


def faery_csv(path: str) -> int:
    import faery
    from faery.file_decoder import CsvProperties

    columns = {"t_index": 0, "x_index": 1, "y_index": 2, "on_index": 3, "t_scale": 0.0}
    marks = {"on_value": b"1", "off_value": b"0", "skip_errors": False}
    properties = CsvProperties(has_header=True, separator=b",", **columns, **marks)
    stream = faery.events_stream_from_file(path, csv_properties=properties)
    return sum(len(events) for events in stream)


def aedat(path: str) -> int:
    import aedat

    return sum(len(packet["events"]) for packet in aedat.Decoder(path) if "events" in packet)


def aestream(path: str) -> int:
    import aestream

    return len(aestream.FileInput(path, (1280, 720)).load())


def tonic_aedat4(path: str) -> int:
    import tonic

    return len(tonic.io.read_aedat4(path))


def tonic_aedat2(path: str) -> int:
    import tonic

    return len(tonic.io.read_davis_346(path)[-1])


def tonic_words(path: str) -> int:
    """Words of address and time of AEDAT 3.1: tonic makes no events of them."""
    from tonic import io

    version, start, _ = io.read_aedat_header_from_file(path)
    return len(io.get_aer_events_from_file(path, version, start))


def evutils(path: str) -> int:
    import evutils

    return sum(len(events) for events in evutils.io.EventReader(path))


def evutils_csv(path: str) -> int:
    import evutils

    # It takes our first line, a comment that names the columns, for a header of its own.
    plain = Path(path).with_suffix(".plain.csv")
    if not plain.exists():
        plain.write_bytes(Path(path).read_bytes().partition(b"\n")[2])
    reader = evutils.io.EventReader(str(plain), order=["t", "x", "y", "p"])
    return sum(len(events) for events in reader)


def expelliarmus(encoding: str) -> Callable[[str], int]:
    def read(path: str) -> int:
        from expelliarmus import Wizard

        return len(Wizard(encoding=encoding).read(path))

    return read


def evlib(path: str) -> int:
    import evlib

    return len(evlib.load_events(path).collect())


def evt3(path: str) -> int:
    import evt3

    return len(evt3.decode_file(path))


def h5py_plain(path: str) -> int:
    import h5py

    with h5py.File(path, "r") as file:
        return min(len(file["events"][name][:]) for name in "txyp")


def numpy_load(path: str) -> int:
    import numpy

    loaded: Any = numpy.load(path)
    if isinstance(loaded, numpy.ndarray):
        return len(loaded.copy())
    return min(len(loaded[name]) for name in "txyp")


def numpy_loadtxt(path: str) -> int:
    import numpy

    return len(numpy.loadtxt(path, delimiter=",", skiprows=1, dtype=numpy.int64))


PEERS: dict[str, dict[str, Callable[[str], int]]] = {
    "AEDAT4": {
        "dv-processing": dv_processing,
        "faery": faery,
        "aedat": aedat,
        "aestream": aestream,
        "evutils": evutils,
        "tonic": tonic_aedat4,
    },
    "AEDAT 3.1": {"evutils": evutils, "tonic, words only": tonic_words},
    "AEDAT 2.0": {"evutils": evutils, "tonic": tonic_aedat2},
    "EVT2": {
        "expelliarmus": expelliarmus("evt2"),
        "evutils": evutils,
        "faery": faery,
        "evlib": evlib,
    },
    "EVT3": {
        "expelliarmus": expelliarmus("evt3"),
        "evutils": evutils,
        "faery": faery,
        "aestream": aestream,
        "evlib": evlib,
        "evt3": evt3,
    },
    "DAT": {
        "expelliarmus": expelliarmus("dat"),
        "evutils": evutils,
        "faery": faery,
        "aestream": aestream,
    },
    "ES": {"faery": faery},
    "HDF5": {"h5py, whole columns": h5py_plain, "evutils": evutils, "evlib": evlib},
    "NPY": {"numpy.load": numpy_load},
    "NPZ": {"numpy.load": numpy_load, "evutils": evutils},
    "AEDAT4 to frames": {"dv-processing, slicer and accumulator": dv_frames},
    "CSV": {"faery": faery_csv, "evutils": evutils_csv, "numpy.loadtxt": numpy_loadtxt},
}
"""For each format, by our name of it, who reads it."""

PACKAGES = (
    *("aedat", "aestream", "dv-processing", "evlib", "evt3", "evutils", "expelliarmus", "faery"),
    *("h5py", "norse", "numpy", "snntorch", "spikingjelly", "tonic", "torch"),
)
"""Whose versions are told."""

_ENDINGS = {"AEDAT 3.1": ".aedat", "EVT2": ".raw"}
"""How the name must end for some peers to know the format."""


def installed(name: str) -> bool:
    """Tell whether the package is there that a peer is named for."""
    return find_spec(re.split(r"[ ,.]", name)[0].replace("-", "_")) is not None


def _versions() -> dict[str, str]:
    found = {each.name.lower().replace("_", "-"): each.version for each in distributions()}
    return {name: found[name] for name in PACKAGES if name in found}


def main(arguments: list[str]) -> None:
    """Print what was asked for as JSON."""
    if arguments[0] == "versions":
        print(json.dumps(_versions()))
        return
    if arguments[0] == "list":
        print(json.dumps({form: [*filter(installed, names)] for form, names in PEERS.items()}))
        return
    _, name, form, path, runs = arguments
    read = ours if name == "ours" else PEERS[form][name]
    if form in _ENDINGS and name != "ours":
        named = Path(path).with_suffix(f".peers{_ENDINGS[form]}")
        if not named.exists():
            named.hardlink_to(path)
        path = str(named)
    try:
        events = read(path)
        seconds = []
        for _ in range(int(runs)):
            started = time.perf_counter()
            read(path)
            seconds.append(time.perf_counter() - started)
    except BaseException as error:  # a peer written in Rust may panic
        print(json.dumps({"failed": f"{type(error).__name__}: {error}"}))
        return
    print(json.dumps({"events": events, "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1:])

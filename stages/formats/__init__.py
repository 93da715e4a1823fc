"""Recordings: one file a format, behind one reader and one writer interface.

A recording is recognised by its content, never by its name; a new one gets the format that its
name ends with. Only the format that is used is imported.
"""

import glob
import os
import stat
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import RecordingError
from stages.below import pattern_below
from stages.formats.policies import Policies
from stages.formats.recognition import LOOKED_AT_BYTES, ROS_FOLDER, recognise
from stages.natural import natural

if TYPE_CHECKING:
    from stages.formats.reader import Reader
    from stages.formats.writer import Writer

__all__ = [
    "FORMATS",
    "Format",
    "Found",
    "Policies",
    "create_recording",
    "open_recording",
    "recordings_in",
    "writable_endings",
    "writer_of",
]


class Format(NamedTuple):
    """Where a format's classes are, as ``module:Class``."""

    reader: str
    writer: str | None = None
    endings: tuple[str, ...] = ()
    """How names of new recordings end that get this format."""


def _own(module: str, name: str, *endings: str) -> Format:
    place = f"stages.formats.{module}"
    writer = f"{place}_writer:{name}Writer" if endings else None
    return Format(f"{place}:{name}Reader", writer, endings)


FORMATS: dict[str, Format] = {
    "AEDAT4": _own("aedat.aedat4", "Aedat4", ".aedat4"),
    "AEDAT 3.1": _own("aedat.aedat3", "Aedat3", ".aedat3"),
    "AEDAT 2.0": _own("aedat.aedat2", "Aedat2", ".aedat2", ".aedat"),
    "AEDAT 1.0": _own("aedat.aedat1", "Aedat1"),
    "EVT2": _own("prophesee.evt2", "Evt2", ".evt2"),
    "EVT2.1": _own("prophesee.evt21", "Evt21"),
    "EVT3": _own("prophesee.evt3", "Evt3", ".raw", ".evt3"),
    "DAT": _own("prophesee.dat", "Dat", ".dat"),
    "ES": _own("es", "EventStream", ".es"),
    "N-MNIST": _own("nmnist", "Nmnist"),
    "HDF5": _own("tables.hdf5", "Hdf5", ".h5", ".hdf5"),
    "NPY": _own("tables.npy", "Npy", ".npy"),
    "NPZ": _own("tables.npz", "Npz", ".npz"),
    "CSV": _own("tables.csv_text", "Csv", ".csv", ".txt"),
    "MAT": _own("tables.mat", "Mat"),
    "ROS bag": _own("ros.rosbag", "RosBag"),
    "ROS bag 2": _own("ros.rosbag", "RosBag"),
}
"""All formats by name."""

_KNOWN = ", ".join(FORMATS)

_READ_ONLY_ENDINGS = (".bin", ".mat", ".bag", ".db3", ".mcap")
"""How names of recordings usually end whose format cannot be written."""
_SHOWN_BYTES = 16


def open_recording(
    path: Path | str,
    policies: Policies | None = None,
    *,
    stream: str | None = None,
    size: tuple[int, int] | None = None,
) -> "Reader":
    """Open a recording of any known format.

    Args:
        path: the file; its name does not matter.
        policies: what to do about mistakes in it.
        stream: which stream of events to read, by its name or its camera's, where a format has
            several; the first by default.
        size: (height, width) of the sensor, where the file does not say it or says it wrongly.

    Raises:
        RecordingError: there is no such file, it cannot be read, or its format is not known.
    """
    path = Path(path)
    begin, file_bytes = _begin(path)
    name = recognise(begin, file_bytes)
    if name is None:
        raise RecordingError(
            f"{path}: is of no known format: it begins with {begin[:_SHOWN_BYTES]!r}; known"
            f" formats: {_KNOWN}"
        )
    opened: Reader = _load(FORMATS[name].reader)(path, policies, stream=stream, size=size)
    return opened


def create_recording(
    path: Path | str,
    width: int,
    height: int,
    *,
    source: str = "pipeline",
    options: Mapping[str, Any] | None = None,
) -> "Writer":
    """Begin a new recording in the format that its name ends with.

    Args:
        path: the file; an existing one is replaced.
        width: columns of the sensor.
        height: rows of the sensor.
        source: the camera's name, kept where the format has a place for it.
        options: further arguments of the format's writer, such as ``compression``.

    Raises:
        RecordingError: the name ends like no format that can be written, or the file cannot be.
        ValueError: another argument is not what it should be.
    """
    return writer_of(path)(Path(path), width, height, source=source, **(options or {}))


def writer_of(path: Path | str) -> "type[Writer]":
    """Return the writer of the format that a new recording's name ends with.

    Raises:
        RecordingError: it ends like no format that can be written.
    """
    endings = writable_endings()
    name = endings.get(Path(path).suffix.lower())
    writer = None if name is None else FORMATS[name].writer
    if writer is None:
        raise RecordingError(
            f"{path}: its name must end with the format to write: {', '.join(endings)}"
        )
    found: type[Writer] = _load(writer)
    return found


class Found(NamedTuple):
    """What a path means."""

    recordings: list[Path]
    passed_over: int
    """Files of the folder that are no recordings."""


def recordings_in(path: Path | str) -> Found:
    """Return the recordings that a path means: itself, those of a folder, or of a pattern.

    They come by name, numbers in names by their size. A file of a folder or a pattern is one by its
    content; or by the ending of its name, where it is empty or of no known format: it is for
    whoever opens it to say so, as it might be a broken recording. Text that holds no events, all
    other files and folders below are passed over. A pattern is one of `glob`: ``digits/*/*.bin``
    for the files of all folders in ``digits``, ``digits/**/*.bin`` for those at any depth.

    Raises:
        RecordingError: the folder or a file in it cannot be read, or there is no recording.
    """
    path = Path(path)
    try:
        if glob.has_magic(str(path)) and not path.exists():
            files = [
                file for file in map(Path, glob.glob(str(path), recursive=True)) if _ends(file)
            ]
            where = f"matches {len(files)} files and no recording of a known format"
        elif _ends(path):
            return Found([path], 0)
        else:
            files = [file for file in path.iterdir() if file.is_file()]
            where = "holds no recording of a known format"
        files.sort(key=natural)
        recordings = [file for file in files if _is_meant(file)]
    except (OSError, ValueError) as error:
        raise RecordingError(_unreadable(path, error)) from None
    if not recordings:
        pattern = pattern_below(path, _is_meant)
        remedy = f"its folders do, name {pattern}" if pattern else f"known formats: {_KNOWN}"
        raise RecordingError(f"{path}: {where}; {remedy}")
    return Found(recordings, len(files) - len(recordings))


def _ends(path: Path) -> bool:
    """Whether a path leads to one thing and not to a folder of recordings."""
    return not path.is_dir() or (path / "metadata.yaml").is_file()  # a ROS bag 2 is a folder


def _is_meant(path: Path) -> bool:
    """Return whether a file is a recording by its content, or is to be one by its name."""
    ending = path.suffix.lower()
    named = ending in _READ_ONLY_ENDINGS or ending in writable_endings()
    if path.is_dir() or (named and ending not in FORMATS["CSV"].endings):
        return True
    with path.open("rb") as file:
        begin, file_bytes = file.read(LOOKED_AT_BYTES), path.stat().st_size
    if named and not begin:  # other text may be anything
        return True
    return recognise(begin, file_bytes) is not None


def _unreadable(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        path = Path(os.fsdecode(error.filename))
    if isinstance(error, PermissionError):
        return f"{path}: may not be read; check its permissions"
    reason = getattr(error, "strerror", None) or error
    return f"{path}: cannot be read: {reason}; check the path"


def writable_endings() -> dict[str, str]:
    """Return the endings of new recordings' names, each with its format's name."""
    return {ending: name for name, form in FORMATS.items() for ending in form.endings}


def _load(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(module), name)


def _begin(path: Path) -> tuple[bytes, int]:
    """Return the first bytes of a file and its size; anything but a file could block."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            if (path / "metadata.yaml").is_file():
                return ROS_FOLDER, 0
            raise RecordingError(f"{path}: is a folder; name a recording in it")
        if not stat.S_ISREG(status.st_mode):
            raise RecordingError(f"{path}: is a device or a pipe; name a file")
        with path.open("rb") as file:
            begin = file.read(LOOKED_AT_BYTES)
    except FileNotFoundError:
        raise RecordingError(f"{path}: no such file; check the path to the recording") from None
    except (OSError, ValueError) as error:
        raise RecordingError(_unreadable(path, error)) from None
    if not begin:
        raise RecordingError(f"{path}: is empty (0 bytes); record or copy it again")
    return begin, status.st_size

"""Recordings: one file a format, behind one reader interface; recognised by content."""

import re
import stat
from importlib import import_module
from pathlib import Path

from pipeline.errors import RecordingError
from stages.formats.reader import Packet, Reader

__all__ = ["FORMATS", "Packet", "Reader", "open_recording"]

FORMATS = {
    "AEDAT4": (b"#!AER-DAT4", "stages.formats.aedat4:Aedat4Reader"),
}
"""Formats by name: how their files begin, and the reader's class, imported when it is needed."""

_SHOWN_BYTES = 16


def open_recording(
    path: Path | str, on_damage: str = "raise", *, stream: str | None = None
) -> Reader:
    """Open a recording of any known format.

    Args:
        path: the file; its name does not matter.
        on_damage: what to do at a truncated or undecodable packet: ``raise`` a RecordingError
            when the events before it were read, or ``drop`` it, count it in the reader's
            quality and go on.
        stream: which stream of events to read, by its name or its camera's, where a format has
            several; the first by default.

    Raises:
        RecordingError: there is no such file, it cannot be read, or its format is not known.
        ValueError: ``on_damage`` is something else.
    """
    if on_damage not in ("raise", "drop"):
        raise ValueError(f"on_damage must be 'raise' or 'drop', got {on_damage!r}")
    path = Path(path)
    begin = _begin(path)
    for magic, reader in FORMATS.values():
        if begin.startswith(magic):
            module, name = reader.split(":")
            opened: Reader = getattr(import_module(module), name)(path, on_damage, stream)
            return opened
    raise RecordingError(f"{path}: {_describe(begin)}; known formats: {', '.join(FORMATS)}")


def _begin(path: Path) -> bytes:
    """Return the first bytes of a file; anything but a file could block or never end."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise RecordingError(f"{path}: is a folder; name a recording in it")
        if not stat.S_ISREG(mode):
            raise RecordingError(f"{path}: is a device or a pipe; name a file")
        with path.open("rb") as file:
            begin = file.read(max(_SHOWN_BYTES, *(len(magic) for magic, _ in FORMATS.values())))
    except FileNotFoundError:
        raise RecordingError(f"{path}: no such file; check the path to the recording") from None
    except PermissionError:
        raise RecordingError(f"{path}: may not be read; check its permissions") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecordingError(f"{path}: cannot be read: {reason}; check the path") from None
    if not begin:
        raise RecordingError(f"{path}: is empty (0 bytes); record or copy it again")
    return begin


def _describe(begin: bytes) -> str:
    if aedat := re.match(rb"#!AER-DAT(\d+\.\d+)", begin):
        return f"is an AEDAT {aedat[1].decode()} recording, which cannot be read yet"
    return f"is of no known format: it begins with {begin[:_SHOWN_BYTES]!r}"

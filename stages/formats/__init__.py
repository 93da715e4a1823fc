"""Recordings: one file a format, behind one reader interface; recognised by content."""

from pathlib import Path

from pipeline.errors import RecordingError
from stages.formats.reader import Packet, Reader

__all__ = ["Packet", "Reader", "open_recording"]

_LONGEST_MAGIC = 64


def open_recording(path: Path, on_damage: str = "raise") -> Reader:
    """Open a recording of any known format.

    Args:
        path: the file; its name does not matter.
        on_damage: what to do at a truncated or undecodable packet: ``raise`` a RecordingError,
            or ``drop`` it, count it in the reader's quality and go on.

    Raises:
        RecordingError: there is no such file, it cannot be read, or its format is not known.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            magic = file.read(_LONGEST_MAGIC)
    except FileNotFoundError:
        raise RecordingError(f"{path}: no such file; check the path to the recording") from None
    except IsADirectoryError:
        raise RecordingError(f"{path}: is a folder; name a recording in it") from None
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
    if not magic:
        raise RecordingError(f"{path}: is empty (0 bytes); record or copy it again")
    if magic.startswith(b"#!AER-DAT4"):
        from stages.formats.aedat4 import Aedat4Reader

        return Aedat4Reader(path, on_damage)
    raise RecordingError(f"{path}: {_describe(magic)}; known formats: AEDAT4")


def _describe(magic: bytes) -> str:
    if magic.startswith(b"#!AER-DAT"):
        version = magic[9:12].decode("ascii", "replace")
        return f"is an AEDAT {version} recording, which cannot be read yet"
    begin = magic[:16].decode("ascii", "backslashreplace").encode("unicode_escape").decode()
    return f"is of no known format: it begins with '{begin}'"

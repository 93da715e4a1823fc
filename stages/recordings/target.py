"""The recording that is to be written, looked at before any work is done."""

import os
from pathlib import Path

from pipeline.errors import RecordingError
from pipeline.stage import PortError
from stages.formats import writer_of
from stages.sinks.output_file import check_output

__all__ = ["camera_name", "check_target"]


def check_target(path: Path, if_exists: str, compression: str | None) -> None:
    """Look whether a recording may be written as it is asked for; nothing is made or changed.

    Args:
        path: the file.
        if_exists: what is to be done with a file of that name; ``refuse`` refuses it here.
        compression: how to compress it, None as its format does by default.

    Raises:
        PortError: its ``key`` is ``path`` or ``compression``.
    """
    check_output(path, if_exists)
    try:
        writer = writer_of(path)
    except RecordingError as error:
        raise PortError("path", str(error)) from None
    if compression is not None and compression not in writer.compressions:
        can = ", ".join(writer.compressions)
        must = f"must be one of {can}" if can else "must be left out"
        raise PortError("compression", f"{must} for {writer.format}, got {compression!r}")


def camera_name(text: str) -> str:
    """Return a source's name as every format can hold it: on one line, and not empty.

    Of the path of a recording only its own name is left: folders say something about their user.
    """
    name = os.path.basename(text) if os.path.isabs(text) else text
    return "".join(sign for sign in name if sign.isprintable()).strip() or "pipeline"

"""The recording that is to be written, looked at before any work is done."""

import os
from pathlib import Path

from pipeline.errors import RecordingError
from pipeline.stage import PortError
from stages.formats import writer_of
from stages.formats.writer import Writer, WriterPosition
from stages.record_file import explain
from stages.sinks.output_file import check_output

__all__ = ["camera_name", "check_target", "create_target", "resume_target"]


def check_target(
    path: Path, if_exists: str, compression: str | None, size: tuple[int, int] | None = None
) -> None:
    """Look whether a recording may be written as it is asked for; nothing is made or changed.

    Args:
        path: the file.
        if_exists: what is to be done with a file of that name; ``refuse`` refuses it here.
        compression: how to compress it, None as its format does by default.
        size: (height, width) of the sensor, None where it is not known yet.

    Raises:
        PortError: its ``key`` is ``path`` or ``compression``.
    """
    check_output(path, if_exists)
    try:
        writer = writer_of(path)
    except RecordingError as error:
        raise PortError("path", str(error)) from None
    if (problem := writer.compression_problem(compression)) is not None:
        raise PortError("compression", problem)
    if size is not None and (problem := writer.size_problem(size[1], size[0])) is not None:
        raise PortError("path", f"{path}: {problem}")


def create_target(
    path: Path, size: tuple[int, int], source: str, compression: str | None
) -> Writer:
    """Begin to write a recording, in its folder, which is made if need be.

    Args:
        path: the file; its ending names the format.
        size: (height, width) of the sensor.
        source: what the recording is of; see `camera_name`.
        compression: how to compress it, None as its format does by default.

    Raises:
        RecordingError: it cannot be written.
    """
    height, width = size
    form = writer_of(path)
    if (problem := form.size_problem(width, height)) is not None:
        # Before a folder is made for it.
        raise RecordingError(f"{path}: {problem}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return form(path, width, height, source=camera_name(source), compression=compression)
    except OSError as error:
        raise RecordingError(explain(path, error)) from None
    except ValueError as error:
        raise RecordingError(f"{path}: cannot be written: {error}") from None


def resume_target(position: WriterPosition, compression: str | None) -> Writer:
    """Go on writing a recording; whatever is behind the position is cut off.

    Args:
        position: of `Writer.commit`.
        compression: as it was begun with.

    Raises:
        RecordingError: it is not what it was, or cannot be written.
    """
    path, width, height, source, *_ = position
    return writer_of(path)(path, width, height, source, compression, position=position)


def camera_name(text: str) -> str:
    """Return a source's name as every format can hold it: on one line, and not empty.

    Of the path of a recording only its own name is left: folders say something about their user.
    """
    name = os.path.basename(text) if os.path.isabs(text) else text
    return "".join(sign for sign in name if sign.isprintable()).strip() or "pipeline"

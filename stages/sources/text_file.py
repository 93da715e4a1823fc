"""Files of texts: lines, comma-separated (RFC 4180, with a header) or tab-separated (without).

Only a line feed ends a line. Other characters that Unicode counts as line ends, such as U+0085, do
occur within reviews.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from pipeline.errors import RecordingError

__all__ = ["Layout", "Row", "read_rows", "read_texts"]

Layout: TypeAlias = Literal["lines", "csv", "tsv"]

_LINE_BYTES = 1 << 20


class Row(NamedTuple):
    """A row of a file."""

    line: int
    """Number of the line that it begins on, as an editor counts them: from 1, all of them."""
    fields: list[str]


def read_rows(path: Path, layout: Layout) -> Iterator[Row]:
    """Yield each row, of a ``csv`` file the header first; blank rows are none.

    A row of ``lines`` has one field, and may be blank. Quotes mean something in ``csv`` only.

    Raises:
        RecordingError: the file cannot be read to its end; the rows before were yielded.
    """
    lines = _lines(path)
    if layout != "csv":
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\r\n")
            if layout == "lines":
                yield Row(number, [text])
            elif text.strip():
                yield Row(number, text.split("\t"))
    else:
        rows, before = csv.reader(lines, strict=True), 0
        try:
            for fields in rows:
                if fields:
                    yield Row(before + 1, fields)
                before = rows.line_num
        except csv.Error as error:
            raise RecordingError(
                f"{path}: line {rows.line_num} is no CSV ({error}); quote texts that hold commas,"
                " quotes or line ends, and double the quotes within"
            ) from None


def read_texts(path: Path, layout: Layout, column: str | int | None = None) -> Iterator[str]:
    """Yield the texts of a file.

    Args:
        path: the file.
        layout: how it is laid out.
        column: which field of a row is the text: of ``csv`` the name that its header has, of
            ``tsv`` the number from 0 on; the first when left out.

    Raises:
        RecordingError: the file cannot be read to its end, or a row lacks the column.
    """
    rows = read_rows(path, layout)
    place = 0
    if layout == "csv":
        _, header = next(rows, Row(0, []))
        if column is not None and column not in header:
            raise RecordingError(
                f"{path}: has no column '{column}'; its first line names {', '.join(header)}"
            )
        place = 0 if column is None else header.index(str(column))
    elif column is not None:
        place = int(column)
    for line, fields in rows:
        if place >= len(fields):
            raise RecordingError(
                f"{path}: line {line} has {len(fields)} columns, column {place} (from 0 on) is the"
                " text"
            )
        yield fields[place]


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, their ends included, without a byte order mark."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_LINE_BYTES + 1):
                number += 1
                if len(line) > _LINE_BYTES:
                    raise RecordingError(
                        f"{path}: line {number} has more than {_LINE_BYTES} bytes; is it a text?"
                    )
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    raise RecordingError(
                        f"{path}: line {number} is no text in UTF-8; convert the file"
                    ) from None
                yield text
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}; check the path") from None

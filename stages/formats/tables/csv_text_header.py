"""What the first lines of a text of events say: the order of columns, the unit, the sensor.

The columns are told by a line that names them, a comment or not, or else by the first rows; see
`columns`. Times with a decimal point or an exponent are seconds, others µs, unless
the name says the unit. The sensor's size is taken from a line of two numbers (width and height, as
the first line of RPG's ``events.txt``) or from ``width=`` and ``height=`` in a comment.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.formats.tables.columns import (
    SAMPLE_ROWS,
    columns_of_names,
    order_of_columns,
    sensor_size,
    unit_of_name,
)

__all__ = ["HEADER_BYTES", "TextHeader", "encode_text_header", "read_text_header"]

HEADER_BYTES = 1 << 18
"""How much of a text is looked at."""

_SEPARATOR = re.compile(rb"[ \t]*[,;][ \t]*|[ \t]+")
_NUMBER = re.compile(rb"[+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?")
_TRUTH = {b"true": 1.0, b"false": 0.0}
_BETWEEN_WORDS = re.compile(r"[\s,;:#%=\"']+")
_SCALES = {"s": 6, "ms": 3, "us": 0, "ns": -3}


@dataclass(frozen=True)
class TextHeader:
    """What the first lines say.

    Attributes:
        begin: the byte where the first row begins.
        roles: what each column is: 0 time, 1 x, 2 y, 3 polarity, -1 nothing.
        scale: times are multiplied by 10^scale to be µs.
        size: (height, width) of the sensor, where it is said.
        source: the camera's name, or an empty text.
    """

    begin: int
    roles: tuple[int, ...]
    scale: int
    size: tuple[int, int] | None
    source: str


def encode_text_header(width: int, height: int, source: str) -> bytes:
    """Return a comment that names the columns and the sensor."""
    return f"# t,x,y,p width={width} height={height} source={json.dumps(source)}\n".encode()


def read_text_header(text: bytes, whole: bool) -> TextHeader:
    """Look at the beginning of a text.

    Args:
        text: its first bytes.
        whole: whether there are no more.

    Raises:
        ValueError: it holds no rows of events, or does not tell what their columns are.
    """
    lines = text.split(b"\n")
    if not whole:
        lines.pop()
    begin = 0
    for number, line in enumerate(lines):
        if len(_fields(line)) >= 4:
            rows = [_fields(row) for row in lines[number : number + SAMPLE_ROWS]]
            roles, scale = _columns(lines[:number], rows)
            size, source = _sensor(lines[:number])
            return TextHeader(begin, roles, scale, size, source)
        begin += len(line) + 1
    naming = [number for number, line in enumerate(lines) if _names([line], 4)] if whole else []
    if not naming:
        raise ValueError("has no line of four numbers")
    size, source = _sensor(lines)
    # A recording without events; its first row may be cut.
    begin = min(sum(len(line) + 1 for line in lines[: naming[-1] + 1]), len(text))
    return TextHeader(begin, (0, 1, 2, 3), 0, size, source)


def _fields(line: bytes) -> list[bytes]:
    """The numbers of a row; none where anything else is among them."""
    fields = _SEPARATOR.split(line.strip().rstrip(b",;"))
    fine = all(_NUMBER.fullmatch(field) or field.lower() in _TRUTH for field in fields)
    return fields if fine else []


def _columns(before: Sequence[bytes], rows: Sequence[list[bytes]]) -> tuple[tuple[int, ...], int]:
    """Roles of the columns and the scale of times."""
    count = len(rows[0])
    rows = [row for row in rows if len(row) == count]
    names = _names(before, count)
    if names is not None:
        found = columns_of_names(names)
        assert found is not None
        order = tuple(names.index(found[column]) for column in "txyp")
        unit = unit_of_name(found["t"])
    else:
        if count != 4:
            raise ValueError(f"has {count} columns and no line that names them")
        sample = [[_TRUTH.get(field.lower()) for field in row] for row in rows]
        numbers = [
            [float(field) if truth is None else truth for field, truth in zip(*both, strict=True)]
            for both in zip(rows, sample, strict=True)
        ]
        order, unit = order_of_columns(np.array(numbers)), None
    if unit is None:
        unit = "s" if any(re.search(rb"[.eE]", row[order[0]]) for row in rows) else "us"
    roles = [-1] * count
    for role, column in enumerate(order):
        roles[column] = role
    return tuple(roles), _SCALES[unit]


def _names(before: Sequence[bytes], count: int) -> list[str] | None:
    """Names of all columns: the last as many words in a row among which t, x, y and p are."""
    for line in reversed(before):
        words = [word for word in _BETWEEN_WORDS.split(line.decode("latin-1")) if word]
        for k in reversed(range(len(words) - count + 1)):
            if columns_of_names(words[k : k + count]) is not None:
                return words[k : k + count]
    return None


def _sensor(before: Sequence[bytes]) -> tuple[tuple[int, int] | None, str]:
    """Size of the sensor and name of the camera."""
    values: dict[str, int] = {}
    source = ""
    for line in before:
        pair = _fields(line)
        if len(pair) == 2 and all(field.isdigit() for field in pair):
            values |= {"width": int(pair[0][:9]), "height": int(pair[1][:9])}
        for name, digits in re.findall(rb"(?i)\b(width|height)\W{1,3}(\d{1,9})\b", line):
            values[name.decode().lower()] = int(digits)
        if found := re.search(rb'source=("(?:[^"\\]|\\.)*")', line):
            source = json.loads(found[1])
    return sensor_size(values), source

"""Recognition of formats by content: the first bytes of a file, never its name."""

import re

import numpy as np

from stages.formats.tables.columns import columns_of_names

__all__ = ["LOOKED_AT_BYTES", "ROS_FOLDER", "recognise"]

LOOKED_AT_BYTES = 1 << 16
"""How much of a file recognition looks at."""

_NUMBER = rb"(?:[+-]?(?:\d++\.?\d*+|\.\d++)(?:e[+-]?\d++)?|true|false)"
_SEPARATOR = rb"(?:\s*+[,;]\s*+|\s++)"
_ROW = re.compile(rb"\s*+%b(?:%b%b){3,}+\s*+[,;]?\s*+" % (_NUMBER, _SEPARATOR, _NUMBER), re.I)
"""Never goes back to try again, which a line of digits would make last for minutes."""
_TELLING_WORDS = 20
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""What is in no text."""

ROS_FOLDER = b"rosbag2_bagfile_information"
"""Stands for the first bytes of a folder that is a bag of ROS 2."""

_MAGIC = [
    (b"#!AER-DAT4", "AEDAT4"),
    (b"#!AER-DAT3", "AEDAT 3.1"),
    (b"#!AER-DAT2", "AEDAT 2.0"),
    (b"#!AER-DAT1", "AEDAT 1.0"),
    (b"Event Stream", "ES"),
    (b"#ROSBAG V2.0\n", "ROS bag"),
    (ROS_FOLDER, "ROS bag 2"),
    (b"SQLite format 3\0", "ROS bag 2"),
    (b"\x89MCAP0\r\n", "ROS bag 2"),
    (b"\x93NUMPY", "NPY"),
    (b"PK\x03\x04", "NPZ"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"MATLAB 5.0 MAT-file", "MAT"),
    (b"MATLAB 7.3 MAT-file", "HDF5"),
    (b"# t,x,y,p ", "CSV"),
]


def recognise(begin: bytes, file_bytes: int) -> str | None:
    """Return the format's name, None where it is none that is known.

    Args:
        begin: the first `LOOKED_AT_BYTES` of the file.
        file_bytes: its size.
    """
    for magic, name in _MAGIC:
        if begin.startswith(magic):
            return name
    if begin.startswith(b"#") and b" raw AE data file" in begin[:128]:
        # The line of the version is missing, as it is where jAER is older than it.
        return "AEDAT 2.0" if b"int32 address" in begin[:512] else "AEDAT 1.0"
    if begin.startswith(b"%"):
        return _prophesee(begin) or _text(begin)
    return _text(begin) or _empty_text(begin, file_bytes) or _words_of_40_bits(begin, file_bytes)


def _prophesee(begin: bytes) -> str | None:
    """A header of lines that begin with "% "; RAW names its encoding, DAT does not."""
    header = re.match(rb"(?:% [^\n]*\n)+", begin)
    if header is None:
        return None
    lines = header[0]
    if found := re.search(rb"^% (?:evt |format EVT)(\d)(?:\.?(\d))?", lines, re.MULTILINE):
        version = {(b"2", b"0"): "EVT2", (b"2", b"1"): "EVT2.1", (b"3", b"0"): "EVT3"}
        return version.get((found[1], found[2] or b"0"))
    if re.search(rb"^% (?:system_ID|plugin_name) ", lines, re.MULTILINE):
        return "EVT2"  # what there was when headers did not name it
    # Text with comments has more text behind them, DAT two bytes of type and size.
    behind = begin[len(lines) : len(lines) + 2]
    return "DAT" if len(behind) == 2 and behind[1] == 8 else None


def _text(begin: bytes) -> str | None:
    """Lines of which most are four or more numbers, behind what names or explains them."""
    *ended, cut = begin.split(b"\n")
    # The last line may be cut, by the look or with the file.
    lines = [*ended, cut] if _ROW.fullmatch(cut) else ended
    rows = [bool(_ROW.fullmatch(line)) for line in lines[:64] if line.strip()]
    if not any(rows) or _BINARY.search(begin):
        return None
    # One row is enough where there is no more, and one of many may be damaged.
    behind = rows[rows.index(True) :]
    return "CSV" if 2 * sum(behind) > len(behind) else None


def _empty_text(begin: bytes, file_bytes: int) -> str | None:
    """A text that names the columns of events and holds none, but for a row that is cut."""
    *ended, cut = begin.split(b"\n")
    lines = [line for line in ended or [cut] if line.strip() and line[:1] not in b"#%"]
    if len(begin) < file_bytes or len(lines) != 1 or _BINARY.search(begin):
        return None
    text = lines[0].decode("latin-1")
    names = re.split("[,;]", text) if re.search("[,;]", text) else text.split()
    return "CSV" if columns_of_names(names) else None


def _words_of_40_bits(begin: bytes, file_bytes: int) -> str | None:
    """N-MNIST's words have no magic: 40 bits each, and time (23 bits of µs) does not go back."""
    words = np.frombuffer(begin, np.uint8, min(len(begin) // 5, 1000) * 5).reshape(-1, 5)
    # A cut file may end within a word; a few bytes that are no words may be anything.
    if len(words) < (_TELLING_WORDS if file_bytes % 5 else 1):
        return None
    times_us = (words[:, 2:] & [0x7F, 0xFF, 0xFF]) @ [1 << 16, 1 << 8, 1]
    back = int(np.sum(np.diff(times_us) < 0))
    # The recordings last 0.3 s, so that their times are far from filling 23 bits; and a file of
    # zeros is none.
    likely = back <= len(words) // 100 and times_us[0] < 1_000_000 and words.any()
    return "N-MNIST" if likely else None

"""The header of AEDAT 3.1 files: which cameras there are, and how large.

Source: iniVation's AEDAT 3.1 specification, and cAER, which names by its chip a camera that it
knows and else gives the sizes in the description.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from pipeline.events import LARGEST_SIDE_PX
from stages.formats.aedat.comment_lines import comment_lines

__all__ = ["SIZES", "Header", "Source", "describe_sizes", "read_header"]

"""Coordinates have 15 bits."""

SIZES = {
    "DVS128": (128, 128),
    "DAVIS208": (192, 208),
    "DAVIS240C": (180, 240),
    "DAVIS346": (260, 346),
    "DAVIS640": (480, 640),
    "DAVIS128": (128, 128),
    "DAVIS240A": (180, 240),
    "DAVIS240B": (180, 240),
    "DAVIS346A": (260, 346),
    "DAVIS346B": (260, 346),
    "DAVIS346BSI": (260, 346),
    "DAVIS346CBSI": (260, 346),
    "DAVIS640HET": (240, 320),
    "DAVISHET640": (240, 320),
}
"""(height, width) of the cameras that cAER knows, in capitals; of one size the first is written."""


class Source(NamedTuple):
    """A camera, or what else sent the events."""

    number: int
    description: str
    origin: str
    """What it was called where it was first recorded; empty where that is here."""

    @property
    def name(self) -> str:
        """The camera's name."""
        return self.origin or self.description.partition(",")[0]

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) where the header says it."""
        if self.description.upper() in SIZES:
            return SIZES[self.description.upper()]
        sides = [re.search(rf"\bdvsSize{axis}=(\d{{1,5}})\b", self.description) for axis in "YX"]
        height, width = (int(side[1]) if side else 0 for side in sides)
        if not 0 < height <= LARGEST_SIDE_PX or not 0 < width <= LARGEST_SIDE_PX:
            return None
        return height, width


class Header(NamedTuple):
    """The header, decoded."""

    version: str
    formats: tuple[str, ...]
    """``RAW``, or the compressions in use."""
    sources: list[Source]
    length: int
    """Bytes up to the first packet."""


def read_header(read_at: Callable[[int, int], bytes]) -> Header:
    """Read the header from the beginning of a file.

    Args:
        read_at: returns up to a count of bytes (second argument) from an offset (first) on.

    Raises:
        ValueError: it is damaged; the text says how.
    """
    version = ""
    formats: tuple[str, ...] = ("RAW",)
    sources: list[Source] = []
    for text, length in comment_lines(read_at):
        if text == "!END-HEADER" or version not in ("", "3.1"):
            return Header(version, formats, sources, length)
        if found := re.fullmatch(r"!AER-DAT(\d\.\d)", text):
            version = found[1]
        elif found := re.fullmatch(r"Format: *(.+?) *", text):
            formats = tuple(re.split(r"[ ,]+", found[1]))
        elif found := re.fullmatch(r"Source (\d{1,5}): *(.+?) *", text):
            sources.append(Source(int(found[1]), found[2], ""))
        elif sources and (found := re.fullmatch(r"-Source \d{1,5}: *(.+?) *", text)):
            # The oldest comes last.
            sources[-1] = sources[-1]._replace(origin=found[1])
    raise ValueError("it has no line #!END-HEADER")


def describe_sizes(width: int, height: int) -> str:
    """Return the description of a source of any size, as cAER parses it."""
    kinds = ("dvs", "aps", "data", "visualizer")
    sides = [(width, height), (0, 0), (width, height), (width, height)]
    rows = zip(kinds, sides, strict=True)
    return ",".join(["Processor", *(f"{k}SizeX={x},{k}SizeY={y}" for k, (x, y) in rows)])

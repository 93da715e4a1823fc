"""The chips of AEDAT 1.0 and 2.0, and how their addresses name a pixel.

Source: jAER's chip classes (the masks and mirrors of their event extractors) and iniVation's AEDAT
2.0 specification. The header's ``AEChip`` line names the class.

What x and y mean is jAER's affair as well: DVS128 and DVS640 count x from the other side, so it is
mirrored as jAER does; DAVIS coordinates are passed on as they are stored, as the specification has
them and other readers do (jAER's viewer mirrors x). jAER draws row 0 at the bottom; we leave y as
it is stored.
"""

import re
from typing import NamedTuple

from pipeline.errors import RecordingError

__all__ = ["CHIPS", "DAVIS", "DVS128", "Chip", "Layout", "find_chip"]


class Layout(NamedTuple):
    """Where an address of 32 bits holds what. All fields are numbers, for the kernels."""

    x_shift: int
    x_mask: int
    x_mirror: int
    """x is counted down from here; -1 where it is not mirrored."""
    y_shift: int
    y_mask: int
    p_shift: int
    p_inverted: int
    """1 where the bit is 0 for ON."""
    no_event: int
    """Bits of which any says that the word is no event of a pixel."""
    special: int
    """Those that mark events of the input pin and other special ones."""
    samples: int
    """Those that mark samples of the frame and of the IMU (in which bits 10 and 11 are set)."""


DVS128 = Layout(1, 0x7F, 127, 8, 0x7F, 0, 1, 0xFFFF8000, 0x80008000, 0)
DVS640 = Layout(1, 0x3FF, 639, 11, 0x3FF, 0, 0, 0xFFE00000, 0, 0)
DAVIS = Layout(12, 0x3FF, -1, 22, 0x1FF, 11, 0, 0x80000400, 0x400, 0x80000000)


class Chip(NamedTuple):
    """Chips of one size and layout."""

    names: str
    """Pattern for the last part of the class's name."""
    height: int
    width: int
    layout: Layout
    written_as: str = ""
    """The class that a new recording of this size names; empty where another chip has the size."""


_DAVIS_CLASSES = "eu.seebetter.ini.chips.davis."

CHIPS = [
    Chip("DVS128|Tmpdiff128", 128, 128, DVS128, "ch.unizh.ini.jaer.chip.retina.DVS128"),
    Chip("DAVIS128(Color)?", 128, 128, DAVIS),
    Chip("DAVIS208.*", 192, 208, DAVIS, f"{_DAVIS_CLASSES}Davis208PixelParade"),
    Chip("DAVIS240.*|DVS240", 180, 240, DAVIS, f"{_DAVIS_CLASSES}DAVIS240C"),
    Chip("DAVIS320", 240, 320, DAVIS, f"{_DAVIS_CLASSES}Davis320"),
    Chip("DAVIS346.*", 260, 346, DAVIS, f"{_DAVIS_CLASSES}Davis346red"),
    Chip("DAVIS640(Color)?", 480, 640, DAVIS, f"{_DAVIS_CLASSES}Davis640"),
    Chip("DVS640", 480, 640, DVS640),
]
"""All chips whose layout is known."""


def find_chip(path: object, class_name: str) -> Chip:
    """Return the chip of an ``AEChip`` line.

    Raises:
        RecordingError: it is a cochlea, or its layout is not known; ``path`` is named.
    """
    name = class_name.rpartition(".")[2]
    if "cochlea" in name.lower():
        raise RecordingError(
            f"{path}: was recorded with {name}, a silicon cochlea: its events are tones and not"
            " pixels; name a recording of a camera"
        )
    for chip in CHIPS:
        if re.fullmatch(chip.names, name, re.IGNORECASE):
            return chip
    known = (
        "DVS128, Tmpdiff128, DVS240, DVS640 and DAVIS of 128, 208, 240, 320, 346 and 640 columns"
    )
    raise RecordingError(
        f"{path}: was recorded with the chip {name!r}, whose addresses are not known; known are"
        f" {known}: convert it in jAER"
    )

"""Prophesee RAW recordings in EVT2.1: words of 64 bits, each up to 32 events in a row.

Source: Prophesee's descriptions of the RAW file format and of EVT 2.1. Times are those of EVT2
(`evt2`). The sensors differ in which half of a word comes first: IMX636 sends the
upper one ("endianness=legacy" in the header), GenX320 the lower one. Where the header does not
say, the words do: of the two orders only the right one makes kinds of words that exist.
"""

import numpy as np
from numpy.typing import NDArray

from stages.formats.prophesee.evt2 import WRAP_US
from stages.formats.prophesee.raw import RawReader
from stages.formats.words import Kernel

__all__ = ["Evt21Reader"]

_LOOKED_AT_WORDS = 4096
_KINDS = (0, 1, 8, 10, 14, 15)
_TIME_HIGH = 8


class Evt21Reader(RawReader):
    """An open EVT2.1 recording."""

    format = "EVT2.1"
    word = np.dtype("<i8")
    wrap_us = WRAP_US

    def _open(self, stream: str | None) -> None:
        super()._open(stream)
        header = self._header
        said = header.options.get("endianness") or header.fields.get("endianness")
        self._swapped = said == "legacy" if said else self._upper_half_is_first()

    def _upper_half_is_first(self) -> bool:
        part = self._read_at(self._begin, _LOOKED_AT_WORDS * self.word.itemsize)
        halves = np.frombuffer(part, "<u4", len(part) // 8 * 2).reshape(-1, 2)
        counts = [np.bincount(half >> 28, minlength=16) for half in (halves[:, 0], halves[:, 1])]
        first, second = ((count[list(_KINDS)].sum(), count[_TIME_HIGH]) for count in counts)
        return bool(first > second)

    def _kernel(self) -> Kernel:
        from stages.formats.prophesee import evt21_kernel as kernel

        return Kernel(kernel.decode, kernel.ROOM, kernel.SKIPPED)

    def _start_state(self) -> NDArray[np.int64]:
        from stages.formats.prophesee.evt2_kernel import start_state

        return np.append(start_state(self._offset_us), np.int64(self._swapped))

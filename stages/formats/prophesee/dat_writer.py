"""Prophesee DAT recordings written; see `dat`."""

import numpy as np
from numpy.typing import NDArray

from stages.formats.prophesee.dat import WRAP_US
from stages.formats.prophesee.raw_header import encode_header
from stages.formats.words_writer import Encode, WordWriter

__all__ = ["DatWriter"]

_CD, _RECORD_BYTES = 0x0C, 8


class DatWriter(WordWriter):
    """Writes events to a new DAT file of version 2."""

    format = "DAT"
    word = np.dtype("<i8")
    largest_px = 1 << 14
    longest_us = WRAP_US // 2

    def _header(self, first_us: int) -> bytes:
        offset_us = first_us // WRAP_US * WRAP_US
        fields = {
            "Data": "file containing CD events.",
            "Version": "2",
            "Height": str(self.height),
            "Width": str(self.width),
            "Source": self.source,
        }
        if offset_us:
            fields["time_offset_us"] = str(offset_us)
        return encode_header(fields) + bytes((_CD, _RECORD_BYTES))

    def _start_state(self, first_us: int) -> NDArray[np.int64]:
        return np.zeros(0, np.int64)

    def _kernel(self) -> Encode:
        from stages.formats.prophesee.dat_kernel import encode

        return encode

"""Prophesee RAW recordings in EVT3 written; see `evt3`."""

import numpy as np
from numpy.typing import NDArray

from stages.formats.prophesee.evt3 import WRAP_US
from stages.formats.prophesee.raw_header import encode_raw_header
from stages.formats.words_writer import Encode, WordWriter

__all__ = ["Evt3Writer"]


class Evt3Writer(WordWriter):
    """Writes events to a new EVT3 file, neighbours in a row as vectors."""

    format = "EVT3"
    word = np.dtype("<u2")
    largest_px = 2048
    longest_us = WRAP_US << 16

    def _header(self, first_us: int) -> bytes:
        offset_us = first_us // WRAP_US * WRAP_US
        return encode_raw_header("3.0", self.width, self.height, self.source, offset_us)

    def _start_state(self, first_us: int) -> NDArray[np.int64]:
        return np.array([-1, -1, -1, -1, -1, first_us // WRAP_US * WRAP_US], np.int64)

    def _kernel(self) -> Encode:
        from stages.formats.prophesee.evt3_kernel import encode

        return encode

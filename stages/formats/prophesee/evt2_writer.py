"""Prophesee RAW recordings in EVT2 written; see `evt2`."""

import numpy as np
from numpy.typing import NDArray

from stages.formats.prophesee.evt2 import WRAP_US
from stages.formats.prophesee.raw_writer import RawWriter
from stages.formats.words_writer import Encode

__all__ = ["Evt2Writer"]


class Evt2Writer(RawWriter):
    """Writes events to a new EVT2 file."""

    format = "EVT2"
    word = np.dtype("<u4")
    version = "2.0"
    wrap_us = WRAP_US
    longest_us = WRAP_US << 16

    def _start_state(self, first_us: int) -> NDArray[np.int64]:
        return np.array([-1, self._offset_us(first_us) >> 6], np.int64)

    def _kernel(self) -> Encode:
        from stages.formats.prophesee.evt2_kernel import encode

        return encode

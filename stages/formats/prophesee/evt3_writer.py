"""Prophesee RAW recordings in EVT3 written; see `evt3`."""

import numpy as np
from numpy.typing import NDArray

from stages.formats.prophesee.evt3 import WRAP_US
from stages.formats.prophesee.raw_writer import RawWriter
from stages.formats.words_writer import Encode

__all__ = ["Evt3Writer"]


class Evt3Writer(RawWriter):
    """Writes events to a new EVT3 file, neighbours in a row as vectors."""

    format = "EVT3"
    word = np.dtype("<u2")
    version = "3.0"
    wrap_us = WRAP_US
    longest_us = WRAP_US << 16

    def _start_state(self, first_us: int) -> NDArray[np.int64]:
        return np.array([-1, -1, -1, -1, -1, self._offset_us(first_us)], np.int64)

    def _kernel(self) -> Encode:
        from stages.formats.prophesee.evt3_kernel import encode

        return encode

"""AEDAT 1.0 recordings, as jAER wrote them until 2010.

Source: iniVation's AEDAT 1.0 specification and jAER's AEFileInputStream. As AEDAT 2.0
(`aedat2`), but words are of 48 bits: an address of 16 and a time of 32 bits.
"""

import numpy as np
from numpy.typing import NDArray

from stages.formats.aedat.aedat2 import Aedat2Reader

__all__ = ["Aedat1Reader"]


class Aedat1Reader(Aedat2Reader):
    """An open AEDAT 1.0 recording; a DVS128's unless it names another chip."""

    format = "AEDAT 1.0"
    word_bytes = 6

    def _as_words(self, data: bytes) -> NDArray[np.uint32]:
        short = np.frombuffer(data, np.uint8, len(data) // 6 * 6).reshape(-1, 6)
        words = np.zeros((len(short), 8), np.uint8)
        words[:, 2:] = short
        return words.view(np.uint32)

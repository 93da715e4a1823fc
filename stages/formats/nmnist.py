"""Recordings of N-MNIST and N-Caltech101: words of 40 bits from the first byte on.

Source: the description that comes with the data sets (Orchard et al. 2015) and their published
readers: a byte for x, one for y, then, highest byte first, a bit for polarity and 23 bits of time
in µs. A word with y = 240 is no event: it adds 2¹³ µs to all times behind it. The file does not
say how large the sensor is: N-MNIST has 34×34 px, and what has events beyond them is measured.
"""

import numpy as np
from numpy.typing import NDArray

from stages.formats.words import Kernel, WordReader

__all__ = ["OVERFLOW_US", "OVERFLOW_Y", "NmnistReader"]

_SIDE_PX = 34
OVERFLOW_Y = 240
OVERFLOW_US = 1 << 13
_SHORT_BYTES = 1 << 22
"""Files up to which all words are looked at for their length: 840 000 events."""


class NmnistReader(WordReader):
    """An open recording of N-MNIST or N-Caltech101."""

    format = "N-MNIST"
    word = np.dtype("u1")
    event_words = 5

    _begin = 0

    def _open(self, stream: str | None) -> None:
        """There is no header."""

    def length_us(self) -> int | None:
        """Return the time from the first event to the last, by their words; None of long files."""
        if self.file_bytes > _SHORT_BYTES:
            return None
        whole = self.file_bytes // self.event_words
        words = np.frombuffer(self._read_at(0, whole * self.event_words), np.uint8).reshape(
            whole, self.event_words
        )
        words = words.astype(np.int64)
        is_event = words[:, 1] != OVERFLOW_Y
        times_us = (words[:, 2] & 0x7F) << 16 | words[:, 3] << 8 | words[:, 4]
        times_us = (times_us + (~is_event).cumsum() * OVERFLOW_US)[is_event]
        return int(times_us.max() - times_us[0]) if len(times_us) else 0

    def _measure(self) -> tuple[int, int]:
        height, width = super()._measure()
        small = height <= _SIDE_PX and width <= _SIDE_PX
        return (_SIDE_PX, _SIDE_PX) if small else (height, width)

    def _kernel(self) -> Kernel:
        from stages.formats import nmnist_kernel as kernel

        return Kernel(kernel.decode, skipped=kernel.SKIPPED)

    def _start_state(self) -> NDArray[np.int64]:
        return np.zeros(1, np.int64)

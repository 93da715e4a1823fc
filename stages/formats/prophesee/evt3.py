"""Prophesee RAW recordings in EVT3: words of 16 bits, of which most tell what has changed.

Source: Prophesee's descriptions of the RAW file format and of EVT 3.0; the words are explained by
`evt3_kernel`. Times are 24 bits and wrap every 16.8 s; they are unrolled. Events
before the first TIME_HIGH have no time, those before the first ADDR_Y no row: they are refused as
``of impossible time`` and ``outside the sensor``. Triggers and extensions are counted in
``notes`` as ``trigger words`` and ``other words``.
"""

import numpy as np
from numpy.typing import NDArray

from stages.formats.prophesee.raw import RawReader
from stages.formats.words import Kernel

__all__ = ["WRAP_US", "Evt3Reader"]

WRAP_US = 1 << 24
"""Times start again here."""


class Evt3Reader(RawReader):
    """An open EVT3 recording."""

    format = "EVT3"
    word = np.dtype("<u2")
    wrap_us = WRAP_US

    def _kernel(self) -> Kernel:
        from stages.formats.prophesee import evt3_kernel as kernel

        return Kernel(kernel.decode, kernel.ROOM, kernel.SKIPPED)

    def _start_state(self) -> NDArray[np.int64]:
        from stages.formats.prophesee.evt3_kernel import start_state

        return start_state(self._offset_us)

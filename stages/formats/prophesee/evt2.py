"""Prophesee RAW recordings in EVT2: words of 32 bits, an event each.

Source: Prophesee's descriptions of the RAW file format and of EVT 2.0; the words are explained by
`evt2_kernel`. Times are 34 bits and wrap after 4.8 hours; they are unrolled. Events
before the first TIME_HIGH have no time and are refused as ``of impossible time``. Triggers and
extensions are counted in ``notes`` as ``trigger words`` and ``other words``.
"""

import numpy as np
from numpy.typing import NDArray

from stages.formats.prophesee.raw import RawReader
from stages.formats.words import Kernel

__all__ = ["WRAP_US", "Evt2Reader"]

WRAP_US = 1 << 34
"""Times start again here."""


class Evt2Reader(RawReader):
    """An open EVT2 recording."""

    format = "EVT2"
    word = np.dtype("<u4")
    wrap_us = WRAP_US

    def _kernel(self) -> Kernel:
        from stages.formats.prophesee import evt2_kernel as kernel

        return Kernel(kernel.decode, skipped=kernel.SKIPPED)

    def _start_state(self) -> NDArray[np.int64]:
        from stages.formats.prophesee.evt2_kernel import start_state

        return start_state(self._offset_us)

"""Event Stream recordings written; see `stages.formats.es`."""

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from pipeline.events import LARGEST_SIDE_PX
from stages.formats.es import DVS, HEADER, MAGIC
from stages.formats.words_writer import Encode, WordWriter

__all__ = ["EventStreamWriter"]


class EventStreamWriter(WordWriter):
    """Writes events to a new Event Stream file of version 2.0.0, as DVS events.

    Times start at 0 in such a file and there is no place to say what they start at, so recordings
    whose first event is beyond an hour, such as those with the time of day, are refused.
    """

    format = "ES"
    holds = ("size",)
    word = np.dtype("u1")
    largest_px = LARGEST_SIDE_PX
    longest_us = 3_600_000_000

    def _header(self, first_us: int) -> bytes:
        return HEADER.pack(MAGIC, 2, 0, 0, DVS, self.width, self.height)

    def _start_state(self, first_us: int) -> NDArray[np.int64]:
        if not 0 <= first_us <= self.longest_us:
            raise RecordingError(
                f"{self.path}: ES counts time from 0 and its first event is at {first_us} µs; shift"
                " the recording's time to begin at 0, or write another format"
            )
        return np.array([0, self.height], np.int64)

    def _kernel(self) -> Encode:
        from stages.formats.es_kernel import encode_dvs

        return encode_dvs

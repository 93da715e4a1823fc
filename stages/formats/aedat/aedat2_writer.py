"""AEDAT 2.0 recordings written, so that jAER opens them; see `aedat2`."""

import numpy as np

from pipeline.errors import RecordingError
from pipeline.events import EventArray
from stages.formats.aedat.aedat2 import END_OF_HEADER, TIME_OFFSET
from stages.formats.aedat.aedat2_chips import CHIPS, Chip
from stages.formats.writer import Writer

__all__ = ["Aedat2Writer"]

_CHUNK_EVENTS = 1 << 16


class Aedat2Writer(Writer):
    """Writes events to a new AEDAT 2.0 file, naming jAER's chip of the sensor's size.

    Times have 32 bits in the file: the lower ones of the event's. Readers unroll them from the
    first on; ours then adds what a comment in the header says, and gives the same times.
    """

    format = "AEDAT 2.0"

    @classmethod
    def size_problem(cls, width: int, height: int) -> str | None:
        """Return that no chip has the sensor's size, None if one has."""
        if _chip_of(width, height) is not None:
            return None
        sizes = ", ".join(f"{chip.width}×{chip.height}" for chip in CHIPS if chip.written_as)
        return (
            f"AEDAT 2.0 has no chip of {width}×{height} px, it has chips of {sizes}; write AEDAT4"
            " (.aedat4) or AEDAT 3.1 (.aedat3)"
        )

    def _prepare(self) -> None:
        if not self.source.isprintable():
            raise ValueError(f"source must be a name on one line, got {self.source!r}")
        # Here, so that a writer can be asked what it offers without Numba.
        from stages.formats.aedat import aedat2_kernel

        self._kernel = aedat2_kernel
        chip = _chip_of(self.width, self.height)
        assert chip is not None
        self._chip = chip

    def _write(self, events: EventArray) -> None:
        last_us = self._last_us
        if not self._file.end:
            last_us = int(events["t"][0])
            self._write_header(last_us)
        for begin in range(0, len(events), _CHUNK_EVENTS):
            part = events[begin : begin + _CHUNK_EVENTS]
            words = np.empty(2 * len(part), np.uint32)
            if self._kernel.encode(part.view(np.int64), self._chip.layout, last_us, words):
                self._check_silences(part, last_us)
            self._file.append(words.tobytes())
            last_us = int(part["t"][-1])

    def _finish(self) -> None:
        if not self._file.end:
            self._write_header(0)

    def _write_header(self, first_us: int) -> None:
        """Write the header; not before the first event, whose time it depends on."""
        offset_us = first_us // self._kernel.TURN_US * self._kernel.TURN_US
        lines = [
            "!AER-DAT2.0",
            " This is a raw AE data file - do not edit",
            " Data format is int32 address, int32 timestamp (8 bytes total), repeated for each"
            " event",
            " Timestamps tick is 1 us",
            f" HardwareInterface: {self.source}",
            f" AEChip: {self._chip.written_as}",
        ]
        if offset_us:
            lines.append(f"{TIME_OFFSET}{offset_us} us")
        # Without this line an event that begins with the byte of "#" would be taken for a line.
        lines.append(END_OF_HEADER)
        self._file.begin("".join(f"#{line}\r\n" for line in lines).encode("ascii", "replace"))

    def _check_silences(self, events: EventArray, last_us: int) -> None:
        """Refuse those over which a reader would unroll the clock wrongly."""
        longest_us, turn_us = self._kernel.LONGEST_US, self._kernel.TURN_US
        times = np.concatenate([[last_us], events["t"]])
        silences = np.diff(times)
        wraps = np.diff(times // turn_us) > 0
        wrong = (silences >= longest_us) & wraps
        wrong |= silences > turn_us - longest_us
        if wrong.any():
            first = int(wrong.argmax())
            raise RecordingError(
                f"{self.path}: AEDAT 2.0 cannot hold a silence of {silences[first] / 1e6:.0f} s"
                f" behind {times[first]} µs, within which its clock of 32 bits wraps; write AEDAT4"
                " (.aedat4) or AEDAT 3.1 (.aedat3)"
            )


def _chip_of(width: int, height: int) -> Chip | None:
    for chip in CHIPS:
        if chip.written_as and (chip.width, chip.height) == (width, height):
            return chip
    return None

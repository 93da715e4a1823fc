"""AEDAT 2.0 recordings, as jAER writes them.

Source: iniVation's AEDAT 2.0 specification and jAER's AEFileInputStream. A header of lines that
begin with "#", which newer files close with ``#End Of ASCII Header``; then words of 64 bits, big
endian: the address (`aedat2_chips`) and the time in µs, both unsigned. Words that
are samples of frames and of the IMU and special events stand among the events of pixels; they are
counted and left out. The clock wraps every 71.6 minutes; times are unrolled from the first word on.
"""

import re
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.events import EVENT, TIME_LIMIT_US
from stages.formats.aedat.aedat2_chips import DAVIS, DVS128, find_chip
from stages.formats.aedat.comment_lines import comment_lines
from stages.formats.notes import APS_WORDS, IMU_WORDS, SPECIAL_EVENTS
from stages.formats.reader import Decoded, Place, Reader

__all__ = ["END_OF_HEADER", "TIME_OFFSET", "Aedat2Reader"]

END_OF_HEADER = "End Of ASCII Header"
TIME_OFFSET = " Time offset: "
"""Our writer's own line: what is to be added to the times, in µs, as 32 bits hold 71.6 minutes."""

_CHUNK_WORDS = 1 << 16
_STRANGE = "an address with bits that the chip does not use"


class Aedat2Reader(Reader):
    """An open AEDAT 2.0 recording.

    A file that names no chip is a DVS128's where its first 65 536 addresses fit one, else a
    DAVIS's of a size that is measured. ``notes`` also counts ``APS words``, ``IMU words`` and
    ``special events``, which are no mistakes; ``unknown words`` have bits that the chip does not
    use.
    """

    format = "AEDAT 2.0"
    word_bytes: ClassVar[int] = 8

    def _open(self, stream: str | None) -> None:
        self._start = self._origin_us = 0
        chip = hardware = ""
        for text, end in comment_lines(self._read_at):
            self._start = end
            key, _, value = text.strip().partition(": ")
            if key == "AEChip":
                chip = chip or value.strip()
            elif key == "HardwareInterface":
                hardware = hardware or value.strip()
            elif text.startswith(TIME_OFFSET):
                self._origin_us = _time_offset(text)
            elif text.lower() == END_OF_HEADER.lower():
                break
        self.source = hardware or chip.rpartition(".")[2]
        if chip:
            found = find_chip(self.path, chip)
            self._layout = found.layout
            self.declared_size = found.height, found.width
        elif np.any(self._words(self._start).view(">u4")[:, 0] & 0x7FFF0000):
            self._layout = DAVIS
        else:
            self._layout = DVS128
            self.declared_size = 128, 128

    def _decode(self, place: Place) -> Iterator[Decoded]:
        from stages.formats.aedat import aedat2_kernel as kernel

        offset, turn_us, last = self._checked(place)
        strict = self.policies.on_unknown == "raise"
        while len(words := self._words(offset)):
            # Not empty_events, whose zeros would only be overwritten.
            events = np.empty(len(words), EVENT)
            rows = events.view(np.int64)
            counts = np.zeros(kernel.KINDS, np.int64)
            count = used = len(words)
            before = last if last >= 0 else _time(words[0])
            flat = words.reshape(-1)
            if not kernel.unpack(flat, self._layout, turn_us, before, rows):
                origin_us = self._origin_us
                count, used, turn_us = kernel.settle(
                    flat, self._layout, origin_us, turn_us, before, strict, rows, counts
                )
            offset += used * self.word_bytes
            last = _time(words[used - 1]) if used else last
            self._count(*counts.tolist())
            yield Decoded(events[:count], (offset, turn_us, last))
            self._unknown(int(used < len(words)), _STRANGE)
        if offset < self.file_bytes:
            self._damaged("is truncated", offset, self.file_bytes - offset)

    def _count(self, aps: int, imu: int, special: int, unknown: int) -> None:
        found = {APS_WORDS: aps, IMU_WORDS: imu, SPECIAL_EVENTS: special}
        self._notes.update({kind: count for kind, count in found.items() if count})
        self._unknown(unknown, _STRANGE)

    def _words(self, offset: int) -> NDArray[np.uint32]:
        """Read up to a chunk of whole words: (n, 2), address and time, big endian."""
        return self._as_words(self._read_at(offset, _CHUNK_WORDS * self.word_bytes))

    def _as_words(self, data: bytes) -> NDArray[np.uint32]:
        return np.frombuffer(data, np.uint32, len(data) // 8 * 2).reshape(-1, 2)

    def _checked(self, place: Place) -> tuple[int, int, int]:
        offset, turn_us, last = place if len(place) == 3 else (self._start, self._origin_us, -1)
        if (
            len(place) not in (0, 3)
            or not self._start <= offset <= self.file_bytes
            or (offset - self._start) % self.word_bytes
            or not -TIME_LIMIT_US <= turn_us < TIME_LIMIT_US
            or not -1 <= last < 1 << 32
        ):
            raise self._no_such_place(place)
        return offset, turn_us, last


def _time(word: NDArray[np.uint32]) -> int:
    return int(word[1].byteswap())


def _time_offset(text: str) -> int:
    number = re.fullmatch(rf"{TIME_OFFSET}(-?[0-9]{{1,19}}) us", text)
    if number is None or not -TIME_LIMIT_US <= int(number[1]) < TIME_LIMIT_US:
        raise ValueError(f"its line {text!r} must hold a number of microseconds")
    return int(number[1])

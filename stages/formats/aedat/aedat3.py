"""AEDAT 3.1 recordings, as cAER writes them; DVS128 Gesture is a set of them.

Source: iniVation's AEDAT 3.1 specification, and cAER's reader where that is silent. A header
(`aedat3_header`), then packets, all little endian: int16 type and source, int32 size
of an event, where its time stands, wraps of the clock, capacity, number of events and of valid
ones, then the events. A polarity event is 32 bits of valid (bit 0), polarity (1), y (2 to 16) and
x (17 to 31), and 31 bits of µs; (0, 0) is at the upper left. This is how tonic and SpikingJelly
read DVS128 Gesture too, except that they do not look at the wraps of the clock.

AEDAT 3.0 is refused: cAER and jAER do not agree on how its events are laid out.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.errors import RecordingError
from pipeline.events import EVENT
from stages.formats.aedat.aedat3_header import Source, read_header
from stages.formats.notes import (
    FRAMES,
    IMU_SAMPLES,
    INVALID_EVENTS,
    OTHER_EVENTS,
    OTHER_SOURCES,
    SPECIAL_EVENTS,
)
from stages.formats.reader import Decoded, Place, Reader

__all__ = ["Aedat3Reader"]

_BLOCK_BYTES = 1 << 19
_BLOCK_EVENTS = 1 << 16
_NO_SOURCE = -1


class Aedat3Reader(Reader):
    """An open AEDAT 3.1 recording; ``stream`` is a source by its number or by its camera's name.

    ``notes`` also counts ``invalid events``, which the recorder's filters took out, and the
    ``special events``, ``frames``, ``IMU samples``, ``other events`` and ``events of other
    sources`` between the others. None of them is a mistake.
    """

    format = "AEDAT 3.1"
    named_streams = True

    def _open(self, stream: str | None) -> None:
        header = read_header(self._read_at)
        if header.version != "3.1":
            raise RecordingError(
                f"{self.path}: is of AEDAT {header.version}, of which no two readers agree how its"
                " events are laid out; convert it to AEDAT 3.1 with the program that wrote it"
            )
        # Frames are skipped, compressed or not.
        if not {"RAW", "PNGFrames"}.issuperset(header.formats):
            raise RecordingError(
                f"{self.path}: is compressed ({', '.join(header.formats)}), which only cAER reads;"
                " write it as RAW with cAER"
            )
        self._start = header.length
        self._source = _NO_SOURCE
        source = self._choose(header.sources, stream)
        if source is not None:
            self.source, self.declared_size = source.name, source.size
            # Where there is one source all packets are its, whatever number they have.
            if len(header.sources) > 1:
                self._source = source.number

    def _choose(self, sources: list[Source], name: str | None) -> Source | None:
        if name is None:
            self.other_streams = tuple(str(one.number) for one in sources[1:])
            return sources[0] if sources else None
        chosen = [one for one in sources if name in (str(one.number), one.name, one.description)]
        if len(chosen) != 1:
            how_many = "several sources" if chosen else "no source"
            known = ", ".join(f"{one.number} ({one.name})" for one in sources) or "none"
            raise RecordingError(
                f"{self.path}: has {how_many} {name!r}; name one by its number, it has: {known}"
            )
        self.other_streams = tuple(str(one.number) for one in sources if one is not chosen[0])
        return chosen[0]

    def _decode(self, place: Place) -> Iterator[Decoded]:
        from stages.formats.aedat import aedat3_kernel as kernel

        offset, left, turns = self._checked(place)
        while True:
            data = self._read_at(offset, _BLOCK_BYTES)
            block = np.frombuffer(data, np.uint32, len(data) // 4)
            events = np.empty(_BLOCK_EVENTS, EVENT)
            counts = np.zeros(kernel.KINDS, np.int64)
            used, left, turns, count, why = kernel.decode(
                block,
                self.file_bytes - offset,
                self._source,
                left,
                turns,
                events.view(np.int64),
                counts,
            )
            offset += used
            self._count(*counts.tolist())
            if used:
                yield Decoded(events[:count], (offset, left, turns))
            if why == kernel.MORE and used:
                continue
            if why == kernel.DAMAGED:
                header = self._read_at(offset, kernel.HEADER_BYTES).hex(" ", 4)
                how = f"is damaged (a packet cannot begin with {header})"
                self._damaged(how, offset, self.file_bytes - offset)
            elif why == kernel.COMPRESSED:
                how = "is damaged (it holds compressed events, and its header says it does not)"
                self._damaged(how, offset, self.file_bytes - offset)
            elif offset < self.file_bytes:
                self._damaged("is truncated", offset, self.file_bytes - offset)
            return

    def _count(
        self, invalid: int, special: int, frames: int, imu: int, other: int, elsewhere: int
    ) -> None:
        found = {
            INVALID_EVENTS: invalid,
            SPECIAL_EVENTS: special,
            FRAMES: frames,
            IMU_SAMPLES: imu,
            OTHER_EVENTS: other,
            OTHER_SOURCES: elsewhere,
        }
        self._notes.update({kind: count for kind, count in found.items() if count})

    def _checked(self, place: Place) -> tuple[int, int, int]:
        offset, left, turns = place if len(place) == 3 else (self._start, 0, 0)
        if (
            len(place) not in (0, 3)
            or not self._start <= offset <= self.file_bytes
            or not 0 <= left <= (self.file_bytes - offset) // 8
            or not -(1 << 31) <= turns < 1 << 31
        ):
            raise self._no_such_place(place)
        return offset, left, turns

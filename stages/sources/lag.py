"""The lag: how far behind the wall clock time must stay, learned from how a device hands over.

A device hands its events over in packets, so that an event is some time old when it comes. While
nothing comes, time may pass on only so far that the next packet is not overtaken: by what has
passed since the last event, less the lag. Only steps between arrivals and between times of events
are looked at, so that neither an offset between the clocks nor their drift plays a part.
"""

from pipeline.events import EventArray

__all__ = ["Lag"]

_FACTOR = 1.5
"""How much more is allowed for than was needed so far."""
_LONGEST_US = 1_000_000
_AT_FIRST_US = 100_000
_FIRST_PACKETS = 20
_SET_BACK_US = 1_000_000
"""A step back of this length or more is another clock, and says nothing of the lag."""


class Lag:
    """Learns the lag of one connection.

    Args:
        interval_us: how often the device says that it hands events over, None if it does not say.
    """

    def __init__(self, interval_us: int | None) -> None:
        self._interval_us = interval_us
        self._packets = 0
        self._needed_us = 0
        self._last_us, self._arrived_ns = 0, 0

    @property
    def us(self) -> int:
        """The lag in µs, for now."""
        learned_us = min(int(_FACTOR * self._needed_us), _LONGEST_US)
        if self._interval_us is not None:
            return max(self._interval_us, learned_us)
        return max(_AT_FIRST_US if self._packets < _FIRST_PACKETS else 0, learned_us)

    def learn(self, packet: EventArray, arrived_ns: int) -> None:
        """Look at a packet of events and at when it arrived, in monotonic time."""
        if not len(packet):
            return
        first_us, last_us = int(packet["t"][0]), int(packet["t"][-1])
        if self._packets and first_us > self._last_us - _SET_BACK_US:
            passed_us = (arrived_ns - self._arrived_ns) // 1000
            self._needed_us = max(self._needed_us, self._last_us + passed_us - first_us)
            last_us = max(last_us, self._last_us)
        self._packets += 1
        self._last_us, self._arrived_ns = last_us, arrived_ns

"""What two hosts tell each other about a run arrives once and in order, whatever breaks meanwhile.

Each side numbers what it says and keeps it until the other has it. Both say all the time how far
they have come (`pipeline.hosts.messages.Beat`); what the other should have had by then, and has
not, is said again, all from there on (go-back-N, as `pipeline.queue.link` does it for the queues).
"""

import struct
import time
from collections import deque
from collections.abc import Callable, Sequence

__all__ = ["UNNUMBERED", "Conversation"]

UNNUMBERED = b""
"""In place of the number, of what is said all the time and may be lost."""
_NUMBER = struct.Struct("<Q")
_AGAIN_S = 1.0
"""So long a word may take there, and that it was heard back."""


class Conversation:
    """One side of it, from the moment at which a host has joined.

    Args:
        send: sends two frames, number and body, or loses them; never waits.
        now_s: the time, in s.

    Attributes:
        have: how many words of the other side have come.
    """

    def __init__(
        self,
        send: Callable[[Sequence[bytes]], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send, self._now_s = send, now_s
        self._kept = deque[tuple[bytes, bytes]]()
        self._said = self.have = 0
        self._sent_s = 0.0
        """When the oldest that is kept was sent last."""

    @property
    def is_owed(self) -> bool:
        """Whether the other side has not said yet that it has all."""
        return bool(self._kept)

    def say(self, body: bytes) -> None:
        """Say it; it will arrive, so long as the conversation goes on."""
        frames = (_NUMBER.pack(self._said), body)
        self._said += 1
        if not self._kept:
            self._sent_s = self._now_s()
        self._kept.append(frames)
        self._send(frames)

    def is_next(self, number: bytes) -> bool:
        """Tell whether what came under this number is the next word; count it if it is."""
        if number != _NUMBER.pack(self.have):
            return False
        self.have += 1
        return True

    def heard(self, have: int) -> None:
        """Take in how many words the other side has; say again what it should have had."""
        left = self._said - have
        if not 0 <= left <= len(self._kept):
            return  # said before something that was heard already
        while len(self._kept) > left:
            self._kept.popleft()
            self._sent_s = self._now_s()
        if self._kept and self._now_s() > self._sent_s + _AGAIN_S:
            self._sent_s = self._now_s()
            for frames in self._kept:
                self._send(frames)

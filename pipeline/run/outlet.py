"""Where a stage's messages go: stamped, into each queue of their output, shown to who looks."""

import time
from collections.abc import Callable, Sequence

import msgspec
import zmq

from pipeline.messages import Data, EndRecording, EndStream, Message, Shed
from pipeline.observe.tap import Tap
from pipeline.queue.sender import Sender, send_to_all
from pipeline.report import QueueCount
from pipeline.run.pulse import Pulse

__all__ = ["Outlet"]

_FLUSH_MS = 20


class Outlet:
    """Stamps messages and sends each into every queue of its output, control into all queues."""

    def __init__(
        self, senders: Sequence[Sender], count: int, pulse: Pulse, tap: Tap | None
    ) -> None:
        self._senders = senders
        self._by_output: dict[str, list[Sender]] = {}
        for sender in senders:
            self._by_output.setdefault(sender.output, []).append(sender)
        self.count = count
        self.shed: Shed | None = None
        """What overload took before this stage, and the next message of data is to tell."""
        self._pulse, self._tap = pulse, tap

    def emit(self, message: Message, born_ns: int) -> None:
        """Send a message that was made of what is as old."""
        senders = self._senders if message.is_control else self._by_output.get(message.output, ())
        if senders:
            header = msgspec.structs.replace(
                message.header, seq=self.count, born_ns=born_ns, shed=self._told_by(message)
            )
            send_to_all(senders, Message(header, message.array))
        self.count += 1
        if isinstance(message.header, Data) and not message.output:
            self._pulse.event_us = message.header.t_last_us
        if self._tap is not None and not message.output:
            self._tap.offer(message)

    def flush(self, seconds: float, is_over: Callable[[], bool]) -> None:
        """Send what waits before queues that may shed, for so long or until it is sent."""
        until_s = None
        while behind := [sender for sender in self._senders if sender.backlog]:
            if until_s is None:
                until_s = time.monotonic() + seconds
            poller = zmq.Poller()
            for sender in behind:
                sender.flush()
                poller.register(sender.socket, zmq.POLLIN)
            left_s = until_s - time.monotonic()
            if left_s <= 0 or is_over() or not any(sender.backlog for sender in behind):
                return
            poller.poll(min(round(left_s * 1000), _FLUSH_MS))

    def finish(self) -> None:
        """Wait until all that was sent has been dealt with."""
        for sender in self._senders:
            sender.drain()

    def counts(self) -> list[QueueCount]:
        """Return what each queue was sent."""
        return [sender.count() for sender in self._senders]

    def _told_by(self, message: Message) -> Shed | None:
        """Return what a message is to tell of; each loss is told once."""
        if message.output or not isinstance(message.header, Data | EndRecording | EndStream):
            return None
        told, self.shed = self.shed, None
        return told

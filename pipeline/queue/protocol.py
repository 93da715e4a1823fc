"""Queues between stages: bounded, lossless, in order, over any ZeroMQ transport.

ZeroMQ's own high-water marks are inexact, and PUSH/PULL over ipc was measured to lose the last
message when the sender closes. So the queue counts by itself: the receiver grants a capacity, the
sender keeps at most that many messages unacknowledged, and the high-water marks are off. A message
is acknowledged when its receiver has dealt with it; a stream is over when its end marker has been.
Nothing depends on LINGER.

Between a DEALER and a ROUTER socket travel, with the receiver bound and the sender connected:

    sender → receiver   [hello]                                once, names the protocol
    receiver → sender   [credit: dealt with u64, capacity u32] on hello and after each message
    sender → receiver   [number u64] [header] [buffer]         numbers count from 0 without a gap;
                        four more follow in its frame where something was given up since the
                        message before: messages, and units dropped, thinned and merged
    receiver → sender   [refused]                              to whom it does not listen

A run that goes on from a checkpoint counts on from there.

A receiver listens to whoever says hello first, and to nobody else: a second sender, or one of
another version, is refused, said once, and does no harm. What the first one sends is checked, and
if it is not what it should be, that is an error of the run. Over tcp a guard sees to it that only
who holds a key gets that far (`pipeline.queue.guard`); from another host what a broken connection
has lost is sent again (`pipeline.queue.link`).
"""

import struct
from typing import NamedTuple

import zmq

from pipeline.messages import MAX_BUFFER_BYTES
from pipeline.queue.backlog import NO_LOSS, Loss

__all__ = [
    "CREDIT",
    "HELLO",
    "LOSS",
    "NOTHING",
    "NUMBER",
    "OTHER_VERSION",
    "TAKEN",
    "Passed",
    "open_socket",
]

HELLO = b"pipeline-queue/1"
CREDIT = struct.Struct("<QI")
NUMBER = struct.Struct("<Q")
LOSS = struct.Struct("<QQQQ")
TAKEN = b"refused: taken"
OTHER_VERSION = b"refused: other version"
_ENCRYPTION_BYTES = 64


class Passed(NamedTuple):
    """What went through a queue."""

    messages: int
    units: int
    """Events, windows or predictions."""
    lost: Loss = NO_LOSS
    """What was given up and did not."""


NOTHING = Passed(0, 0)


def open_socket(context: "zmq.Context[zmq.Socket[bytes]]", kind: int) -> "zmq.Socket[bytes]":
    """Return a socket of one end of a queue: its marks are off, it waits for nobody."""
    socket = context.socket(kind)
    socket.set_hwm(0)
    socket.linger = 0
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_BUFFER_BYTES + _ENCRYPTION_BYTES)
    return socket

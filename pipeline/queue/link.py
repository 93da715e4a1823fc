"""What makes up for a connection between hosts that breaks: what was sent on it is sent again.

The sender keeps each message until it is acknowledged. When its connection has been made anew it
says hello once more and sends all of them again, in order; the receiver passes over what it has,
and over what comes before what it waits for (go-back-N, as in RFC 3366). Heartbeats find out about
connections that are dead and do not know it.
"""

from collections import deque

import zmq
from zmq.utils.monitor import parse_monitor_message

__all__ = ["LINK_EVENTS", "Link", "beat"]

LINK_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_BEAT_MS = 1_000
_DEAD_MS = 4_000
_AGAIN_MS = 100
_ANSWER_MS = 2_000


def beat(socket: "zmq.Socket[bytes]") -> None:
    """Let a tcp socket find out about dead connections, and connect again soon."""
    socket.setsockopt(zmq.HEARTBEAT_IVL, _BEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _DEAD_MS)
    socket.setsockopt(zmq.RECONNECT_IVL, _AGAIN_MS)
    # The kernel would ask again after 1, 2, 4 … s, and so find a link long after it has healed.
    socket.setsockopt(zmq.CONNECT_TIMEOUT, _ANSWER_MS)


class Link:
    """The sender's side of a connection to another host.

    Attributes:
        monitor: what to poll; it tells of the connection.
        kept: messages sent and not acknowledged, each as its frames.
        refused: whether the other side does not let this key in.
    """

    def __init__(self, monitor: "zmq.Socket[bytes]") -> None:
        self.monitor = monitor
        self.kept = deque[list[bytes | memoryview]]()
        self.refused = False
        self._connections = 0

    def made_anew(self) -> bool:
        """Return whether the connection was made again since the last call; never wait."""
        anew = False
        while self.monitor.poll(0):
            event = parse_monitor_message(self.monitor.recv_multipart())["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._connections += 1
                anew = self._connections > 1
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self.refused = True
        return anew

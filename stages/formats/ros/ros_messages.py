"""The messages of ROS that hold events, from their serialised bytes.

Known are ``event_camera_msgs/EventPacket`` (before: ``event_array_msgs/EventArray``), which holds
the camera's own words, and ``dvs_msgs/EventArray`` (the same as ``prophesee_event_msgs``), which
holds a record of 13 bytes an event. ROS 1 packs its fields; ROS 2 aligns each to its size (CDR).
Sources: the packages' .msg files, the README of event_camera_msgs, ROS' and OMG's descriptions of
the two serialisations.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.events import EventArray
from stages.formats.tables.columns import events_of_columns

__all__ = ["ARRAYS", "PACKETS", "EventsMessage", "read_array", "read_mono", "read_packet"]

PACKETS = ("event_camera_msgs/msg/EventPacket", "event_array_msgs/msg/EventArray")
ARRAYS = ("dvs_msgs/msg/EventArray", "prophesee_event_msgs/msg/EventArray")

_PACKED = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "?")])


@dataclass(frozen=True)
class EventsMessage:
    """One message.

    Attributes:
        height: rows of the sensor, 0 where it is not said.
        width: columns of the sensor, likewise.
        number: counts the messages of the camera; 0 where they are not counted.
        time_base_ns: what times of encoding ``mono`` begin at.
        encoding: of the words: ``evt3``, ``mono`` or what else there may be.
        big_endian: whether the words are.
        words: the camera's words; empty for arrays.
        events: the events of an array; empty for packets.
    """

    height: int
    width: int
    number: int
    time_base_ns: int
    encoding: str
    big_endian: bool
    words: bytes
    events: EventArray


class _Fields:
    """Reads fields one behind the other; `struct.error` where the message is too short."""

    def __init__(self, message: bytes, ros2: bool) -> None:
        self.message = message
        self.ros2 = ros2
        self.at = 4 if ros2 else 0
        if ros2 and message[1:2] == b"\0":
            raise ValueError("it is a message of a big-endian machine")

    def number(self, form: str) -> int:
        size = struct.calcsize(form)
        if self.ros2:
            self.at += -(self.at - 4) % size
        (value,) = struct.unpack_from("<" + form, self.message, self.at)
        self.at += size
        return int(value)

    def block(self) -> bytes:
        """Bytes behind their length."""
        length = self.number("I")
        found = self.message[self.at : self.at + length]
        if len(found) < length:
            raise ValueError(f"it ends within a field of {length} bytes")
        self.at += length
        return found

    def header(self) -> None:
        if not self.ros2:
            self.number("I")
        self.number("I")
        self.number("I")
        self.block()


def read_packet(message: bytes, ros2: bool) -> EventsMessage:
    """Read one of `PACKETS`.

    Raises:
        ValueError: it is damaged; also `struct.error`.
    """
    fields = _Fields(message, ros2)
    fields.header()
    height, width = fields.number("I"), fields.number("I")
    number, time_base_ns = fields.number("Q"), fields.number("Q")
    encoding = fields.block().rstrip(b"\0").decode("latin-1")
    big_endian = bool(fields.number("B"))
    none = np.empty(0)
    return EventsMessage(
        height,
        width,
        number,
        time_base_ns,
        encoding,
        big_endian,
        fields.block(),
        events_of_columns(none, none, none, none, "us"),
    )


def read_array(message: bytes, ros2: bool) -> EventsMessage:
    """Read one of `ARRAYS`.

    Raises:
        ValueError: it is damaged; also `struct.error`.
    """
    fields = _Fields(message, ros2)
    fields.header()
    height, width = fields.number("I"), fields.number("I")
    count = fields.number("I")
    records = _aligned(fields, count) if ros2 else _packed(fields, count)
    t_ns = records["s"].astype(np.int64) * 10**9 + records["ns"]
    events = events_of_columns(t_ns, records["x"], records["y"], records["p"], "ns")
    return EventsMessage(height, width, 0, 0, "", False, b"", events)


def _packed(fields: _Fields, count: int) -> NDArray[np.void]:
    return np.frombuffer(fields.message, _PACKED, count, fields.at)


def _aligned(fields: _Fields, count: int) -> NDArray[np.void]:
    """Records of CDR are 16 bytes apart, but their x and y are two bytes early from the second on.

    Behind a polarity the next x is aligned to 2 and the next time to 4: from the first event at 0,
    times are at 4, 20, 36, ...; x is at 0, then at 14, 30, ....
    """
    room = len(fields.message) - fields.at
    if count and room < 16 * count - 3:
        raise ValueError(f"it claims {count} events in {room} bytes")
    body = np.zeros(16 * count + 16, np.uint8)
    used = min(room, 16 * count)
    body[2 : used + 2] = np.frombuffer(fields.message, np.uint8, used, fields.at)
    # Now x is at 0 and 16 k, apart from the first, which is at 2.
    lines = body[: 16 * count].reshape(-1, 16)
    records = np.empty(count, _PACKED)
    for name, first, form in (("x", 0, "<u2"), ("y", 2, "<u2"), ("s", 6, "<u4"), ("ns", 10, "<u4")):
        size = np.dtype(form).itemsize
        records[name] = np.ascontiguousarray(lines[:, first : first + size]).view(form)[:, 0]
    records["p"] = lines[:, 14] != 0
    if count:
        records["x"][0], records["y"][0] = body[2:6].view("<u2")
    return records


def read_mono(words: bytes, time_base_ns: int) -> EventArray:
    """Decode words of 64 bits: from the lowest, 32 bits of ns behind the base, x, y, polarity."""
    found = np.frombuffer(words[: len(words) // 8 * 8], "<u8")
    # A base beyond 2⁶² ns makes times that are impossible, and are refused as such.
    t_ns = (found & np.uint64(0xFFFFFFFF)).astype(np.int64) + min(time_base_ns, 2**62)
    x = (found >> np.uint64(32)) & np.uint64(0xFFFF)
    y = (found >> np.uint64(48)) & np.uint64(0x7FFF)
    return events_of_columns(t_ns, x, y, found >> np.uint64(63), "ns")

"""Bags of ROS written with the package ``rosbags``, whose serialisers ours are held to."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rosbags.rosbag1
import rosbags.rosbag2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from pipeline.events import EventArray

PACKET = "event_camera_msgs/msg/EventPacket"
ARRAY = "dvs_msgs/msg/EventArray"
DEFINITIONS = {
    PACKET: "std_msgs/Header header\nuint32 height\nuint32 width\nuint64 seq\nuint64 time_base\n"
    "string encoding\nbool is_bigendian\nuint8[] events\n",
    "dvs_msgs/msg/Event": "uint16 x\nuint16 y\n{time} ts\nbool polarity\n",
    ARRAY: "std_msgs/Header header\nuint32 height\nuint32 width\ndvs_msgs/Event[] events\n",
}
KINDS = ("1", "1 lz4", "1 bz2", "sqlite3", "mcap")
Message = tuple[str, int, Any]
"""Topic, stamp in ns, and the message."""


class Types:
    """The messages' types, for ROS 1 or 2."""

    def __init__(self, ros2: bool) -> None:
        self.ros2 = ros2
        self.store = get_typestore(Stores.ROS2_HUMBLE if ros2 else Stores.ROS1_NOETIC)
        time = "builtin_interfaces/Time" if ros2 else "time"
        for name, text in DEFINITIONS.items():
            self.store.register(get_types_from_msg(text.format(time=time), name))

    def make(self, name: str, **fields: Any) -> Any:
        return self.store.types[name](**fields)

    def time(self, stamp_ns: int) -> Any:
        sec, nanosec = divmod(stamp_ns, 10**9)
        return self.make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)

    def header(self, stamp_ns: int, frame: str = "camera") -> Any:
        number = {} if self.ros2 else {"seq": 7}
        return self.make("std_msgs/msg/Header", stamp=self.time(stamp_ns), frame_id=frame, **number)

    def packet(
        self, words: bytes, seq: int, encoding: str = "evt3", frame: str = "camera", **fields: Any
    ) -> Any:
        given = {"height": 480, "width": 640, "time_base": 0, "is_bigendian": False} | fields
        return self.make(
            PACKET,
            header=self.header(0, frame),
            seq=seq,
            encoding=encoding,
            events=np.frombuffer(words, np.uint8),
            **given,
        )

    def array(self, events: EventArray, frame: str = "camera") -> Any:
        records = [
            self.make("dvs_msgs/msg/Event", x=x, y=y, ts=self.time(1000 * t), polarity=bool(p))
            for t, x, y, p in events.tolist()
        ]
        return self.make(ARRAY, header=self.header(0, frame), height=128, width=128, events=records)

    def serialise(self, message: Any) -> bytes:
        name = message.__msgtype__
        if self.ros2:
            return bytes(self.store.serialize_cdr(message, name))
        return bytes(self.store.serialize_ros1(message, name))


@contextmanager
def _writer(path: Path, kind: str) -> Iterator[Any]:
    if kind in ("sqlite3", "mcap"):
        plugin = rosbags.rosbag2.StoragePlugin[kind.upper()]
        with rosbags.rosbag2.Writer(path, version=9, storage_plugin=plugin) as writer:
            yield writer
        return
    writer = rosbags.rosbag1.Writer(path)
    if kind != "1":
        writer.set_compression(writer.CompressionFormat[kind[2:].upper()])
    with writer:
        yield writer


def write_bag(path: Path, kind: str, types: Types, messages: Iterable[Message]) -> Path:
    """Write a bag: a file of ROS 1, or a folder of ROS 2."""
    with _writer(path, kind) as writer:
        connections: dict[str, Any] = {}
        for topic, stamp_ns, message in messages:
            if topic not in connections:
                name = message.__msgtype__
                connections[topic] = writer.add_connection(topic, name, typestore=types.store)
            writer.write(connections[topic], stamp_ns, types.serialise(message))
    return path

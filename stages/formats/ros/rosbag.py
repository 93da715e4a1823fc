"""Bags of ROS 1 and ROS 2 that hold events, opened with the package ``rosbags``.

Understood are bags of ROS 1 (``.bag``), and of ROS 2 as a folder, a ``.db3`` or an ``.mcap`` file;
`ros_messages` names the messages. Times are the sensor's own. A place is the stamp
of a message, how many of that stamp were read before it, words used of it, the camera's number of
the message before, and the decoder's state.

``notes`` counts ``lost messages`` where the camera's numbers tell of some that are not there,
``trigger words`` and ``other words``.

Bags have an index or a directory of their pages, mostly at the end: one that is cut or was not
closed is not opened, and gives no event before it is repaired; the errors name the commands.
"""

import bz2
import struct
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np

from pipeline.errors import RecordingError
from pipeline.events import EVENT, LARGEST_SIDE_PX, EventArray
from stages.formats.aedat.compression import LARGEST_PACKET, decompressor
from stages.formats.notes import LOST_MESSAGES
from stages.formats.reader import Decoded, Place, Reader
from stages.formats.ros.ros_messages import (
    ARRAYS,
    PACKETS,
    EventsMessage,
    read_array,
    read_mono,
    read_packet,
)

__all__ = ["RosBagReader"]

_ENCODINGS = ("evt3", "mono")
_DAMAGE = (
    OSError,
    ValueError,
    RuntimeError,
    AssertionError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    EOFError,
    struct.error,
)
"""What ``rosbags`` and what is below it raise for damage, next to errors of their own."""

_INCOMPLETE = {
    "Bag index looks damaged": "rosbag reindex",
    "Bag is not indexed": "rosbag reindex",
    "File end magic is invalid": "mcap recover",
}
"""How errors of bags begin that were cut or not closed, and what repairs such bags."""
_NO_BAG = ("Invalid bag metadata", "A metadata key is missing", "Could not load YAML")
_SQLITE = b"SQLite format 3\0"


class RosBagReader(Reader):
    """An open bag; ``stream`` is the topic."""

    format = "ROS bag"
    named_streams = True
    slice_words: ClassVar[int] = 1 << 16
    """Words decoded at a time."""
    _bag: Any = None

    def _open(self, stream: str | None) -> None:
        try:
            import rosbags.rosbag1
            import rosbags.rosbag2
            from apsw import Error
        except ImportError:
            raise RecordingError(
                f"{self.path}: reading bags of ROS needs the package rosbags; install it with:"
                " pip install rosbags"
            ) from None
        errors = (rosbags.rosbag1.ReaderError, rosbags.rosbag2.ReaderError, Error)
        self._damage: tuple[type[Exception], ...] = (*_DAMAGE, *errors)
        try:
            self._check_pages()
            self._bag = bag = self._opened()
            self._ros2 = not isinstance(bag, rosbags.rosbag1.Reader)
            self._choose(bag.connections, stream)
            first = next(self._messages(0), None)
        except self._damage as error:
            raise self._not_opened(_line(error)) from None
        if first is not None:
            message = self._read(first[1])
            if all(0 < side <= LARGEST_SIDE_PX for side in (message.height, message.width)):
                self.declared_size = message.height, message.width
            if message.encoding not in ("", *_ENCODINGS):
                raise RecordingError(
                    f"{self.path}: its events are encoded as {message.encoding!r}, which is not"
                    f" known; known: {', '.join(_ENCODINGS)}"
                )

    def close(self) -> None:
        """Close the bag."""
        if self._bag is not None:
            self._bag.close()
            self._bag = None
        super().close()

    def _not_opened(self, text: str) -> Exception:
        for begin, remedy in _INCOMPLETE.items():
            if text.startswith(begin):
                return RecordingError(
                    f"{self.path}: is truncated, damaged or was not closed: its index cannot be"
                    f" read; repair it with: {remedy}"
                )
        if text.startswith(_NO_BAG):
            return RecordingError(
                f"{self.path}: its metadata.yaml is not that of a bag; make it again with: ros2 bag"
                " reindex"
            )
        return ValueError(text)

    def _check_pages(self) -> None:
        """Refuse a cut database: SQLite may read it, in another order and less of it."""
        for path in self.path.glob("*.db3") if self.path.is_dir() else (self.path,):
            with path.open("rb") as file:
                begin = file.read(100)
            # The number of pages is valid if the last one to write it knew of it.
            if len(begin) < 100 or begin[:16] != _SQLITE or begin[24:28] != begin[92:96]:
                continue
            page, pages = struct.unpack_from(">H", begin, 16)[0], begin[28:32]
            whole = (page if page > 1 else 1 << 16) * int.from_bytes(pages, "big")
            if (size := path.stat().st_size) < whole:
                raise RecordingError(
                    f"{path}: is truncated: it has {size} bytes of {whole}; copy it again, or"
                    " repair it with: sqlite3 .recover"
                )

    def _opened(self) -> Any:
        """Open the bag as what it is by its content."""
        import rosbags.rosbag1
        import rosbags.rosbag2
        from rosbags.rosbag2.storage_mcap import McapReader
        from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader

        if self.path.is_dir():
            bag: Any = rosbags.rosbag2.Reader(self.path)
        else:
            begin = self._read_at(0, 8)
            kinds = {b"#ROSBAG ": rosbags.rosbag1.Reader, b"SQLite f": Sqlite3Reader}
            bag = kinds.get(begin, McapReader)(self.path)
        bag.open()
        if isinstance(bag, rosbags.rosbag1.Reader):
            # Its own decompressors have no limit.
            bounded = {name: partial(_decompressed, name) for name in ("lz4", "bz2")}
            known = rosbags.rosbag1.reader.decompressors
            for place, chunk in bag.chunks.items():
                for name, decompress in bounded.items():
                    if chunk.decompressor is known[name]:
                        bag.chunks[place] = chunk._replace(decompressor=decompress)
        return bag

    def _choose(self, connections: list[Any], stream: str | None) -> None:
        topics = sorted({one.topic for one in connections if one.msgtype in (*PACKETS, *ARRAYS)})
        if not topics:
            known = ", ".join(sorted({f"{one.topic} ({one.msgtype})" for one in connections}))
            raise RecordingError(
                f"{self.path}: has no topic of events, which are messages of the types"
                f" {', '.join((*PACKETS, *ARRAYS))}; its topics: {known or 'none'}"
            )
        if stream is None:
            stream = topics[0]
        if stream not in topics:
            raise RecordingError(
                f"{self.path}: has no topic of events {stream!r}; it has: {', '.join(topics)}"
            )
        self.other_streams = tuple(topic for topic in topics if topic != stream)
        chosen = [one for one in connections if one.topic == stream]
        self._is_packet = chosen[0].msgtype in PACKETS
        self._connections = [one for one in chosen if one.msgtype == chosen[0].msgtype]

    def _messages(self, start_ns: int) -> Iterator[tuple[int, bytes]]:
        """Yield stamp and bytes of the messages from a stamp on."""
        for _, stamp_ns, message in self._bag.messages(self._connections, start=start_ns):
            yield stamp_ns, bytes(message)

    def _read(self, message: bytes) -> EventsMessage:
        return (read_packet if self._is_packet else read_array)(message, self._ros2)

    def _decode(self, place: Place) -> Iterator[Decoded]:
        from stages.formats.prophesee import evt3_kernel

        state = evt3_kernel.start_state()
        if len(place) not in (0, 4 + len(state)) or (place and min(place[:3]) < 0):
            raise self._no_such_place(place)
        if place:
            state[:] = place[4:]
        return self._decode_messages(place[:4] or (0, 0, 0, -1), state, evt3_kernel)

    def _decode_messages(self, place: Place, state: Any, kernel: Any) -> Iterator[Decoded]:
        begin_ns, skip, used, number = place
        stamp_ns, nth = begin_ns, -1
        messages = self._messages(begin_ns)
        while True:
            try:
                found = next(messages, None)
            except self._damage as error:
                self._damaged(f"is damaged ({_line(error)})", self._byte(), 0)
                return
            if found is None:
                return
            nth = nth + 1 if found[0] == stamp_ns else 0
            stamp_ns = found[0]
            if stamp_ns == begin_ns and nth < skip:
                continue
            try:
                message = self._read(found[1])
            except self._damage as error:
                self._damaged(
                    f"has a damaged message ({_line(error)})", self._byte(), len(found[1])
                )
                continue
            if not used and 0 <= number < message.number - 1:
                self._notes[LOST_MESSAGES] += message.number - 1 - number
            number = message.number if self._is_packet else -1
            for events, behind in self._events_of(message, used, state, kernel):
                at = (stamp_ns, nth + 1, 0) if behind is None else (stamp_ns, nth, behind)
                yield Decoded(events, (*at, number, *state.tolist()))
            used = 0

    def _events_of(
        self, message: EventsMessage, used: int, state: Any, kernel: Any
    ) -> Iterator[tuple[EventArray, int | None]]:
        """Yield events of a message, and how many of its words were used; None at its end."""
        if message.encoding != "evt3":
            events = message.events
            if message.encoding == "mono":
                events = read_mono(message.words, message.time_base_ns)
            elif self._is_packet:
                self._unknown(1, f"a message encoded as {message.encoding!r}")
            yield events, None
            return
        form = ">u2" if message.big_endian else "<u2"
        words = np.frombuffer(message.words[: len(message.words) // 2 * 2], form).astype("<u2")
        counts = kernel.new_counts()
        while True:
            rows = min(self.slice_words, len(words) - used) + kernel.ROOM
            out = np.empty((rows, 2), np.int64)
            taken, made = kernel.decode(words[used:], state, out, counts)
            used += taken
            done = used == len(words)
            yield out[:made].view(EVENT).reshape(-1), None if done else used
            if done:
                break
        unknown, example, *skipped = counts.tolist()
        named = zip(kernel.SKIPPED, skipped, strict=True)
        self._notes.update({kind: count for kind, count in named if count})
        self._unknown(unknown, f"the word {example:#x}")

    def _byte(self) -> int:
        """Where the bag is being read, as far as ``rosbags`` tells."""
        return self.file_bytes if self._ros2 else max(int(self._bag.current_chunk[0]), 0)


def _decompressed(name: str, part: bytes) -> bytes:
    if name == "lz4":
        return decompressor("lz4")(part)
    inflate = bz2.BZ2Decompressor()
    found = inflate.decompress(part, max_length=LARGEST_PACKET)
    if not inflate.eof:
        raise ValueError("its bz2 chunk does not end, or is larger than 1 GiB")
    return found


def _line(error: Exception) -> str:
    if isinstance(error, TypeError | AttributeError | LookupError):
        return f"it cannot be understood ({type(error).__name__})"
    return " ".join(str(error).split())[:200] or type(error).__name__

"""The records of a spool, and how they lie in its files.

A file, called a segment, begins with its kind and version. Records follow, each with its size, a
CRC-32 of what it holds, and its kind: events as they came, or a mark in MessagePack. A record is
whole or it is not there, whenever its writer is killed. The first mark is the segment's `Head`.
"""

import os
import struct
import zlib
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.events import EVENT, EventArray
from pipeline.report import Failure
from stages.sources.ring import Session

__all__ = [
    "MAGIC",
    "Block",
    "Counted",
    "Damaged",
    "Head",
    "Idle",
    "Mark",
    "Over",
    "Record",
    "block_parts",
    "mark_parts",
    "read_record",
]

MAGIC = b"event-pipeline spool/1\n\n"
_FRAME = struct.Struct("<IIII")
"""Bytes behind it, their CRC-32, kind, and nothing: so that events lie at multiples of 8."""
_BLOCK = struct.Struct("<qqq")
_MARK_KIND, _BLOCK_KIND = 1, 2
_LARGEST_BYTES = 1 << 28


class Head(msgspec.Struct, frozen=True, tag="head"):
    """Begins a segment: all that must be known to read on from here."""

    session: Session | None
    """The connection that its events come from, None while there is none."""
    number: int
    """How many events the device had handed over before."""
    lost: dict[str, int]
    """How many of them came into no spool, in all, by reason."""
    notes: dict[str, int]
    """What devices reported, by kind."""


class Idle(msgspec.Struct, frozen=True, tag="idle"):
    """The device was found to have nothing; see `stages.sources.capture.Status`."""

    looked_ns: int
    lag_us: int


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """The counts of the head have changed."""

    lost: dict[str, int]
    notes: dict[str, int]


class Over(msgspec.Struct, frozen=True, tag="over"):
    """Nothing will come any more: the device's stream has ended, or this has failed."""

    failure: Failure | None


Mark: TypeAlias = Head | Idle | Counted | Over


class Block(NamedTuple):
    """Events as they came."""

    number: int
    """How many the device had handed over before them."""
    first_arrived_ns: int
    last_arrived_ns: int
    events: EventArray


class Record(NamedTuple):
    """A record that was read."""

    content: Mark | Block
    end: int
    """Where the next one begins, in bytes."""


class Damaged(Exception):
    """What lies there is no record."""


_marks = msgspec.msgpack.Decoder(Mark)


def mark_parts(mark: Mark) -> list[bytes | memoryview]:
    """Return a mark as the parts to write one behind the other."""
    body = msgspec.msgpack.encode(mark)
    return [_FRAME.pack(len(body), zlib.crc32(body), _MARK_KIND, 0), body]


def block_parts(block: Block) -> list[bytes | memoryview]:
    """Return events as the parts to write one behind the other; they are not copied."""
    number, first_ns, last_ns, events = block
    head, body = _BLOCK.pack(number, first_ns, last_ns), events.view(np.uint8).data
    crc = zlib.crc32(body, zlib.crc32(head))
    return [_FRAME.pack(len(head) + len(body), crc, _BLOCK_KIND, 0), head, body]


def read_record(file: int, offset: int) -> Record | None:
    """Return the record at an offset, None if it is not there, or not wholly.

    Args:
        file: descriptor of a segment.
        offset: in bytes.

    Raises:
        Damaged: it is there, and is none.
    """
    frame = os.pread(file, _FRAME.size, offset)
    if len(frame) < _FRAME.size:
        return None
    size, crc, kind, _ = _FRAME.unpack(frame)
    if size > _LARGEST_BYTES or kind not in (_MARK_KIND, _BLOCK_KIND):
        raise Damaged
    # Memory of its own, that the kernels may write to and that is aligned as theirs is.
    raw = np.empty(size, np.uint8)
    if size and os.preadv(file, [raw.data], offset + _FRAME.size) < size:
        return None
    if zlib.crc32(raw.data) != crc:
        raise Damaged
    try:
        content = _block(raw) if kind == _BLOCK_KIND else _marks.decode(raw.data)
    except (msgspec.MsgspecError, struct.error, ValueError):
        raise Damaged from None
    return Record(content, offset + _FRAME.size + size)


def _block(raw: NDArray[np.uint8]) -> Block:
    number, first_ns, last_ns = _BLOCK.unpack_from(raw.data)
    return Block(number, first_ns, last_ns, raw[_BLOCK.size :].view(EVENT))

"""The Numba kernels of AEDAT4: many packets a call, read and written.

Source: see `aedat4`.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.aedat.lz4_kernel import decode_frame
from stages.formats.memory_kernel import copy16, load16, load32, load64, store64

__all__ = ["PREFIX_BYTES", "clear_padding", "decode_packets", "pack_events"]

_HEADER_BYTES = 8
_EVENT_BYTES = 16
_EVTS = int.from_bytes(b"EVTS", "little")
_EVENT_BITS = 0xFF_FFFF_FFFF
"""The five bytes of x, y and p in the upper half of an event; the other three are padding."""
PREFIX_BYTES = 32
"""What stands before the events of a packet, at least; in ours always, see `pack_events`."""


@njit(cache=True, nogil=True)
def decode_packets(
    source: NDArray[np.uint8],
    streams: NDArray[np.int64],
    stream: int,
    compressed: bool,
    target: NDArray[np.uint8],
) -> tuple[int, int]:
    """Decode packets up to the first that is not whole, does not fit or is not ordinary.

    Args:
        source: (n,) part of a file that begins with a packet.
        streams: (k,) the numbers of all streams.
        stream: that of the events to decode.
        compressed: whether packets are frames of LZ4.
        target: (m,) the events are put here, from byte `PREFIX_BYTES` on.

    Returns:
        The bytes and the events of the packets decoded.
    """
    at, to = 0, PREFIX_BYTES
    while at + _HEADER_BYTES <= len(source):
        number = load32(source, at)
        begin = at + _HEADER_BYTES
        behind = begin + load32(source, at + 4)
        if behind > len(source):
            break
        known = False
        for k in range(len(streams)):
            known |= int(streams[k]) == number
        if not known:
            break
        if number == stream:
            if compressed:
                end = _decode_packet(source, begin, behind, target, to)
            else:
                end = _copy_events(source, begin, behind, target, to)
            if end < 0:
                break
            to = end
        at = behind
    return at, (to - PREFIX_BYTES) // _EVENT_BYTES


@njit(cache=True, nogil=True)
def clear_padding(target: NDArray[np.uint8], begin: int, end: int) -> None:
    """Make the padding of the events in a range of bytes zero, which it nearly always is."""
    seen = 0
    for at in range(begin + 8, end, _EVENT_BYTES):
        seen |= load64(target, at)
    if seen & ~_EVENT_BITS:
        for at in range(begin + 8, end, _EVENT_BYTES):
            store64(target, at, load64(target, at) & _EVENT_BITS)


@njit(cache=True, nogil=True)
def _decode_packet(
    source: NDArray[np.uint8],
    begin: int,
    end: int,
    target: NDArray[np.uint8],
    to: int,
) -> int:
    """Decode a packet so that its events begin at ``to``, return where they end or -1.

    What stands before them in the packet covers events decoded earlier for the moment: that is
    quicker than to decode elsewhere and copy.
    """
    start = to - PREFIX_BYTES
    covered = (
        load64(target, start),
        load64(target, start + 8),
        load64(target, start + 16),
        load64(target, start + 24),
    )
    end = decode_frame(source, begin, end, target, start)
    first, events = _find_events(target, start, end)
    if first == to:
        end = to + events * _EVENT_BYTES
        clear_padding(target, to, end)
    else:
        end = _copy_events(target, start, end, target, to) if first > to else -1
    for k in range(4):
        store64(target, start + 8 * k, covered[k])
    return end


@njit(cache=True, nogil=True)
def _copy_events(
    packet: NDArray[np.uint8], begin: int, end: int, target: NDArray[np.uint8], to: int
) -> int:
    """Copy the events of a packet to ``to``, return where they end or -1."""
    first, events = _find_events(packet, begin, end)
    size = events * _EVENT_BYTES
    if events < 0 or size > len(target) - to:
        return -1
    for k in range(0, size, _EVENT_BYTES):
        copy16(target, to + k, packet, first + k)
    clear_padding(target, to, to + size)
    return to + size


@njit(cache=True, nogil=True)
def _find_events(packet: NDArray[np.uint8], begin: int, end: int) -> tuple[int, int]:
    """Return where the events of a FlatBuffer are and how many, -1 if `root_table` must look."""
    if end - begin < 12 or load32(packet, begin + 8) != _EVTS:
        return -1, -1
    table = begin + 4 + load32(packet, begin + 4)
    if table + 4 > end:
        return -1, -1
    vtable = table - int(np.int32(load32(packet, table)))
    if vtable < begin or vtable + 6 > end or load16(packet, vtable) < 6:
        return -1, -1
    field = table + load16(packet, vtable + 4)
    if field == table or field + 4 > end:
        return -1, -1
    first = field + load32(packet, field) + 4
    if first > end:
        return -1, -1
    events = load32(packet, first - 4)
    if events > (end - first) // _EVENT_BYTES:
        return -1, -1
    return first, events


@njit(cache=True, nogil=True)
def pack_events(
    words: NDArray[np.int64],
    most_events: int,
    most_us: int,
    target: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> int:
    """Cut events into packets, and write these as size-prefixed ``EVTS`` buffers.

    A buffer is a table with one vector of event structs: byte 0 size, 4 root offset, 8 identifier,
    12 vtable of one field, 20 table, 28 vector length, 32 events, aligned to 8 bytes as their
    int64 must be. Padding is zero whatever it was, so that the same events give the same file.

    Args:
        words: (n, 2) events as int64 words, in order of time.
        most_events: the most a packet may have.
        most_us: its times differ by less than this.
        target: at least 48 n bytes.
        ends: (n,) where in ``words`` the packets end.

    Returns:
        The number of packets.
    """
    packets, at, begin = 0, 0, 0
    while begin < words.shape[0]:
        start = at
        at += PREFIX_BYTES
        end = begin
        while (
            end < words.shape[0]
            and end - begin < most_events
            and words[end, 0] - words[begin, 0] < most_us
        ):
            store64(target, at, words[end, 0])
            store64(target, at + 8, words[end, 1] & _EVENT_BITS)
            at += _EVENT_BYTES
            end += 1
        store64(target, start, (at - start - 4) | 16 << 32)
        store64(target, start + 8, _EVTS | 6 << 32 | 8 << 48)
        store64(target, start + 16, 4 | 8 << 32)
        store64(target, start + 24, 4 | (end - begin) << 32)
        ends[packets] = end
        packets += 1
        begin = end
    return packets

"""Compression of one packet, and decompression, never into more memory than a packet may take.

Ordinary frames of LZ4 are encoded and decoded by kernels of our own, `lz4_encoder_kernel` here and
`lz4_kernel` in `aedat4_kernel`, many packets a call. Here the project's library reads all others:
large ones, those with checksums, and those that are damaged, to say how.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

__all__ = ["LARGEST_PACKET", "NAMES", "compressor", "decompressor"]

LARGEST_PACKET = 1 << 30
"""Bytes of a decompressed packet; 67 million events."""

NAMES = ("none", "lz4", "lz4_high", "zstd", "zstd_high")
"""AEDAT4's numbers for compressions, as an index."""

_PIECE = 4096


def decompressor(name: str) -> Callable[[bytes], bytes]:
    """Return a function that decompresses one frame and raises ValueError if it cannot."""
    if name == "none":
        return lambda payload: payload
    return _lz4 if name.startswith("lz4") else _zstd


def compressor(name: str) -> Callable[[Any], bytes]:
    """Return a function that compresses one packet into one frame."""
    if name == "none":
        return bytes
    if name == "lz4":
        return _lz4_encoder()
    if name == "lz4_high":
        import lz4.frame

        return partial(lz4.frame.compress, compression_level=9)
    import zstandard

    return zstandard.ZstdCompressor(level=19 if name.endswith("high") else 3).compress


def _lz4_encoder() -> Callable[[Any], bytes]:
    import lz4.frame

    from stages.formats.aedat import lz4_encoder_kernel as kernel

    library = lz4.frame.LZ4FrameCompressor(
        block_size=lz4.frame.BLOCKSIZE_MAX256KB, block_linked=False
    )
    header = int.from_bytes(library.begin(), "little")
    table = np.empty(kernel.TABLE_SLOTS, np.int32)
    frame = np.empty(0, np.uint8)

    def compress(packet: Any) -> bytes:
        nonlocal frame
        content = np.frombuffer(packet, np.uint8)
        if len(frame) < (room := kernel.largest_frame(len(content))):
            frame = np.empty(room, np.uint8)
        return frame[: kernel.encode_frame(content, header, table, frame)].tobytes()

    return compress


def _lz4(payload: bytes) -> bytes:
    import lz4.frame

    # A byte of LZ4 stands for 255 at most. The decompressor doubles its buffer as it needs, but
    # takes at once what the frame's header claims (int64 at byte 6, if bit 3 of byte 4 is set),
    # so that must be looked at before.
    if len(payload) >= 14 and payload[4] & 8:
        claimed = int.from_bytes(payload[6:14], "little")
        if claimed > min(LARGEST_PACKET, len(payload) * 255):
            raise ValueError("its LZ4 frame claims an impossible size, or one larger than 1 GiB")
    try:
        if len(payload) <= LARGEST_PACKET // 255:
            packet: bytes = lz4.frame.decompress(payload)
            return packet
        # With a limit it is half as fast.
        frame = lz4.frame.LZ4FrameDecompressor()
        packet = frame.decompress(payload, max_length=LARGEST_PACKET)
    except (RuntimeError, EOFError, MemoryError) as error:
        raise ValueError(f"LZ4: {error}") from None
    if not frame.eof:
        raise ValueError("its LZ4 frame does not end, or is larger than 1 GiB")
    return packet


def _zstd(payload: bytes) -> bytes:
    import zstandard

    try:
        # A block of Zstandard has 4 bytes or more, and stands for 128 KiB at most.
        if 0 <= zstandard.frame_content_size(payload) <= min(LARGEST_PACKET, len(payload) << 15):
            return zstandard.ZstdDecompressor().decompress(payload)
        return _zstd_of_unknown_size(payload)
    except (zstandard.ZstdError, MemoryError) as error:
        raise ValueError(f"Zstandard: {error}") from None


def _zstd_of_unknown_size(payload: bytes) -> bytes:
    """A few bytes may stand for gigabytes: look at the size as it grows."""
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    pieces, total = [], 0
    for start in range(0, len(payload), _PIECE):
        pieces.append(frame.decompress(payload[start : start + _PIECE]))
        total += len(pieces[-1])
        if total > LARGEST_PACKET:
            raise ValueError("its Zstandard frame is larger than 1 GiB")
        if frame.eof:
            return b"".join(pieces)
    raise ValueError("its Zstandard frame does not end")

"""Decompression of one packet, never into more memory than a packet may take."""

from collections.abc import Callable
from typing import Any

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
    if name.startswith("lz4"):
        import lz4.frame

        level = 9 if name.endswith("high") else 0
        return lambda packet: bytes(lz4.frame.compress(packet, compression_level=level))
    import zstandard

    return zstandard.ZstdCompressor(level=19 if name.endswith("high") else 3).compress


def _lz4(payload: bytes) -> bytes:
    import lz4.frame

    frame = lz4.frame.LZ4FrameDecompressor()
    try:
        packet: bytes = frame.decompress(payload, max_length=LARGEST_PACKET)
    except (RuntimeError, EOFError) as error:
        raise ValueError(f"LZ4: {error}") from None
    if not frame.eof:
        raise ValueError("its LZ4 frame does not end, or is larger than 1 GiB")
    return packet


def _zstd(payload: bytes) -> bytes:
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    pieces, total = [], 0
    try:
        # A few bytes of Zstandard may stand for gigabytes: look at the size as it grows.
        for start in range(0, len(payload), _PIECE):
            pieces.append(frame.decompress(payload[start : start + _PIECE]))
            total += len(pieces[-1])
            if total > LARGEST_PACKET:
                raise ValueError("its Zstandard frame is larger than 1 GiB")
            if frame.eof:
                break
    except zstandard.ZstdError as error:
        raise ValueError(f"Zstandard: {error}") from None
    if not frame.eof:
        raise ValueError("its Zstandard frame does not end")
    return b"".join(pieces)

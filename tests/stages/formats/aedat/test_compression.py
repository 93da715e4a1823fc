"""Frames of every kind, and those that would take more memory than there is."""

import struct

import lz4.frame
import pytest
import zstandard

from stages.formats.aedat import compression
from stages.formats.aedat.compression import NAMES, compressor, decompressor

PACKET = bytes(range(256)) * 40


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("packet", [b"", b"x", PACKET, bytes(300_000)])
def test_a_packet_comes_back(name: str, packet: bytes) -> None:
    assert decompressor(name)(compressor(name)(packet)) == packet


@pytest.mark.parametrize(
    "frame",
    [
        lz4.frame.compress(PACKET, store_size=False, block_linked=True),
        lz4.frame.compress(PACKET, store_size=True, block_linked=False, content_checksum=True),
    ],
)
def test_any_lz4_frame_is_read(frame: bytes) -> None:
    assert decompressor("lz4")(frame) == PACKET


def test_a_zstandard_frame_without_its_size_is_read() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(PACKET)
    assert decompressor("zstd")(frame) == PACKET


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_cut_and_garbage_is_refused(name: str) -> None:
    frame = compressor(name)(PACKET)
    for wrong in [frame[:k] for k in range(len(frame))] + [b"garbage" * 9]:
        with pytest.raises(ValueError, match=r"LZ4|Zstandard"):
            decompressor(name)(wrong)


@pytest.mark.parametrize("size", [1 << 40, 1 << 62, (1 << 64) - 1])
def test_a_claimed_size_is_not_believed(size: int) -> None:
    frame = bytearray(lz4.frame.compress(b"x" * 1000, store_size=True))
    struct.pack_into("<Q", frame, 6, size)
    texts = set()
    for checksum in range(256):  # One of them is right.
        frame[14] = checksum
        with pytest.raises(ValueError, match="LZ4") as caught:
            decompressor("lz4")(bytes(frame))
        texts.add(str(caught.value))
    assert texts == {"its LZ4 frame claims an impossible size, or one larger than 1 GiB"}


@pytest.mark.parametrize(
    ("name", "bomb"),
    [
        ("lz4", lz4.frame.compress(bytes(1 << 21), store_size=False)),
        ("lz4", lz4.frame.compress(bytes(1 << 21), store_size=True)),
        ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 21))),
        ("zstd", zstandard.compress(bytes(1 << 21))),
    ],
)
def test_a_packet_larger_than_allowed_is_refused(
    name: str, bomb: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "LARGEST_PACKET", 1 << 20)
    with pytest.raises(ValueError, match="larger than 1 GiB"):
        decompressor(name)(bomb)

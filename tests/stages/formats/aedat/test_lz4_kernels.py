"""The LZ4 kernels, held to the library of the LZ4 project."""

import lz4.frame
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recordings import some_events
from stages.formats.aedat.compression import compressor
from stages.formats.aedat.lz4_encoder_kernel import BLOCK_BYTES, largest_frame
from stages.formats.aedat.lz4_kernel import decode_frame

GUARD = 64
EVENTS = some_events(3_000, size=40).tobytes()
encode = compressor("lz4")


def decode(frame: bytes, room: int) -> bytes | None:
    """Decode to the middle of an array, and see that nothing around the place for it changed."""
    whole = np.full(room + 2 * GUARD, 170, np.uint8)
    source = np.frombuffer(b"\x55" * GUARD + frame + b"\x55" * GUARD, np.uint8)
    target = whole[: room + GUARD]
    end = decode_frame(source, GUARD, GUARD + len(frame), target, GUARD)
    assert np.all(whole[:GUARD] == 170)
    assert np.all(whole[room + GUARD :] == 170)
    assert end == -1 or GUARD <= end <= room + GUARD
    return None if end < 0 else whole[GUARD:end].tobytes()


CONTENTS = st.one_of(
    st.binary(max_size=100),
    # Repetitions of every distance and length.
    st.lists(
        st.tuples(st.binary(min_size=1, max_size=20), st.integers(1, 40)), min_size=1, max_size=12
    ).map(lambda parts: b"".join(part * times for part, times in parts)),
    st.tuples(st.integers(0, 400), st.integers(0, 900)).map(
        lambda cut: EVENTS[16 * cut[0] : 16 * cut[0] + 8 * cut[1]]
    ),
    st.integers(0, 5_000).map(bytes),
)


@settings(max_examples=200)
@given(content=CONTENTS)
@example(content=b"")
@example(content=bytes(BLOCK_BYTES))
@example(content=bytes(BLOCK_BYTES - 1) + b"x" * 18)
@example(content=np.random.default_rng(1).bytes(2 * BLOCK_BYTES + 100))
@example(content=EVENTS * 12)
def test_a_frame_that_we_write_is_read_by_both(content: bytes) -> None:
    frame = encode(content)
    assert len(frame) <= largest_frame(len(content))
    assert lz4.frame.decompress(frame) == content
    assert decode(frame, len(content)) == content


@settings(max_examples=200)
@given(
    content=CONTENTS,
    size=st.sampled_from([4, 5, 6, 7]),
    linked=st.booleans(),
    level=st.sampled_from([-5, 0, 9]),
    sized=st.booleans(),
)
@example(content=EVENTS * 12, size=4, linked=True, level=0, sized=False)
@example(content=EVENTS * 12, size=4, linked=False, level=9, sized=True)
@example(content=bytes(100_000) + EVENTS, size=4, linked=True, level=0, sized=False)
@example(content=np.random.default_rng(1).bytes(10**5), size=4, linked=True, level=0, sized=True)
def test_a_frame_of_the_library_is_read(
    content: bytes, size: int, linked: bool, level: int, sized: bool
) -> None:
    library = lz4.frame.LZ4FrameCompressor(
        block_size=size, block_linked=linked, compression_level=level, auto_flush=True
    )
    begin = library.begin(len(content) if sized else 0)
    parts = content[: len(content) // 3], content[len(content) // 3 :]
    frame = begin + b"".join(library.compress(part) for part in parts if part) + library.flush()
    assert decode(frame, len(content)) == content
    assert decode(frame + b"what follows", len(content)) == content
    if content:
        assert decode(frame, len(content) - 1) is None


@pytest.mark.parametrize("option", ["block_checksum", "content_checksum"])
def test_a_frame_that_promises_more_is_left_to_the_library(option: str) -> None:
    assert decode(lz4.frame.compress(EVENTS, store_size=False), len(EVENTS)) == EVENTS
    assert decode(lz4.frame.compress(EVENTS, **{option: True}), len(EVENTS)) is None


@pytest.mark.parametrize("sized", [False, True])
def test_no_byte_of_a_header_can_be_another(sized: bool) -> None:
    frame = lz4.frame.compress(EVENTS[:800], store_size=sized)
    assert decode(frame, 800) == EVENTS[:800]
    for at in range(15 if sized else 7):
        for value in {*range(256)} - {frame[at]}:
            assert decode(frame[:at] + bytes([value]) + frame[at + 1 :], 800) is None


def test_a_frame_that_is_not_as_long_as_it_says_is_refused() -> None:
    long, short = (lz4.frame.compress(EVENTS[:size]) for size in (800, 784))
    assert decode(short[:15] + long[15:], 800) is None


def test_every_cut_is_refused() -> None:
    frame = encode(EVENTS[:800])
    assert [decode(frame[:k], 800) for k in range(len(frame))] == [None] * len(frame)


FRAMES = [
    encode(EVENTS[:1600]),
    lz4.frame.compress(EVENTS[:1600], store_size=False),
    lz4.frame.compress(b"abcdefgh" * 100 + bytes(300), store_size=False, compression_level=9),
]


@settings(max_examples=500)
@given(
    frame=st.sampled_from(FRAMES),
    changes=st.lists(st.tuples(st.integers(7, 2_000), st.integers(0, 255)), max_size=4),
)
def test_a_damaged_frame_is_read_as_the_library_does_or_refused(
    frame: bytes, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(frame)
    for at, value in changes:
        damaged[7 + at % (len(frame) - 7)] = value
    found = decode(bytes(damaged), 4_000)
    try:
        known = lz4.frame.decompress(bytes(damaged))
    except RuntimeError:
        return
    # Bytes before the beginning, which the library takes for zeros at times, are none for us.
    assert found in (known, None)
    assert found == known or changes

"""Recognition by content, on beginnings made by hand."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.formats import FORMATS
from stages.formats.recognition import LOOKED_AT_BYTES, recognise

DAT = b"\x00\x08" + bytes(16)
BEGINNINGS = {
    b"#!AER-DAT4.0\r\n": "AEDAT4",
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n": "AEDAT 3.1",
    b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n": "AEDAT 2.0",
    b"#!AER-DAT1.0\r\n": "AEDAT 1.0",
    b"Event Stream\x02\x00\x00\x01": "ES",
    b"#ROSBAG V2.0\nE\x00\x00\x00": "ROS bag",
    b"SQLite format 3\0\x10\x00": "ROS bag 2",
    b"\x89MCAP0\r\n\x01": "ROS bag 2",
    b"\x93NUMPY\x01\x00v\x00": "NPY",
    b"PK\x03\x04\x14\x00": "NPZ",
    b"\x89HDF\r\n\x1a\n\x00": "HDF5",
    b"MATLAB 5.0 MAT-file, Platform: GLNXA64": "MAT",
    b"MATLAB 7.3 MAT-file, Platform: GLNXA64": "HDF5",
    b"% date 2020-01-01 10:00:00\n% evt 2.0\n\x00\x00": "EVT2",
    b"% format EVT2;height=720;width=1280\n% end\n\x00\x00": "EVT2",
    b"% evt 2.1\n\x00\x00": "EVT2.1",
    b"% evt 3.0\n% geometry 640x480\n\x00\x00": "EVT3",
    b"% format EVT3;height=720;width=1280\n% end\n": "EVT3",
    b"% Data file containing Event2D events.\n% Version 2\n" + DAT: "DAT",
    b"t,x,y,p\n1,2,3,0\n5,6,7,1\n": "CSV",
    b"1,2,3,0\n": "CSV",
    b"1 2 3 0": "CSV",
    b"346 260\n0.003811 96 133 0\n0.003820 1 2 1\n": "CSV",
    b"# events\n\n1;2;3;true\r\n4;5;6;False\r\n": "CSV",
    b"% comment\n1.5e3\t2\t3\t-1\n": "CSV",
    b"t,x,y,p\n" + b"1,2,3,0\n" * 5 + b"garbage\n": "CSV",
    b"1,2,3,0\n\xe2\x82\xac,2\n1,2,3,0\n": "CSV",
    b"5,1,2,1\n6,1,2,0\n7,1": "CSV",
    b"5,1,2,1\n6,1": "CSV",
    b"t,x,y,p\n": "CSV",
    b"t,x,y,p": "CSV",
    b"t,x,y,p\n12,3": "CSV",
    b"# made by hand\r\ntimestamp;x;y;polarity\r\n": "CSV",
}


@pytest.mark.parametrize(("begin", "name"), BEGINNINGS.items())
def test_a_format_is_known_by_its_beginning(begin: bytes, name: str) -> None:
    assert recognise(begin, len(begin)) == name
    assert name in FORMATS


UNKNOWN = [
    b"hello, this is no recording\n",
    b"x,y\n1,2\n",
    b"1,2,3\n4,5,6\n",
    b"t,x,y\n",
    b"t,x,y,p\nand then words\n",
    b"time is in the first column, then x, y, p\n",
    b"# t x y p\n",
    b"1,2,3,0\nand then words\n",
    b"1,2,3,\x000\n",
    b"% evt 4.0\n\x00\x00",
    b"% no more than a comment\n",
    b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
    b"\x7fELF\x02\x01\x01\x00\x00\x00",
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    b"RIFF\x00\x00\x00\x00AVI LIST",
    b"\xff" * 64,
]


@pytest.mark.parametrize("begin", UNKNOWN)
def test_what_is_of_no_known_format_is_not_guessed(begin: bytes) -> None:
    assert recognise(begin, len(begin)) is None


def nmnist(times_us: list[int]) -> bytes:
    """Words of 40 bits: x, y, then the polarity and 23 bits of time."""
    return b"".join(bytes([3, 4]) + (1 << 23 | t).to_bytes(3, "big") for t in times_us)


def test_n_mnist_is_words_of_40_bits_with_times_in_order() -> None:
    words = nmnist(list(range(0, 300_000, 500)))
    assert recognise(words, len(words)) == "N-MNIST"
    assert recognise(words[:LOOKED_AT_BYTES], len(words) * 1000) == "N-MNIST"
    for cut in range(1, 5):
        assert recognise(words[:-cut], len(words) - cut) == "N-MNIST", "cut within a word"
        assert recognise(words[: 50 + cut], 50 + cut) is None, "too few words to tell"
    assert recognise(words[:5], 5) == "N-MNIST"
    assert recognise(bytes(1000), 1000) is None, "nothing but zeros"
    back = nmnist(list(range(300_000, 0, -500)))
    assert recognise(back, len(back)) is None, "times that go back"
    late = nmnist(list(range(5_000_000, 5_300_000, 500)))
    assert recognise(late, len(late)) is None, "times that no such recording has"
    few = nmnist([5, 4, *range(10, 2_000, 10)])
    assert recognise(few, len(few)) == "N-MNIST", "one step back of 200"


@pytest.mark.parametrize("part", [b"1", b"1.1", b" ", b"1 ", b"t", b"1e", b"\t,", b",,"])
def test_a_long_line_of_anything_is_looked_at_in_no_time(part: bytes) -> None:
    line = (part * LOOKED_AT_BYTES)[: LOOKED_AT_BYTES - 1]
    began = time.process_time()
    for begin in (line + b"x", line + b"\n", b"1,1,1," + line):
        assert recognise(begin, len(begin)) in (None, "CSV")
    assert time.process_time() - began < 1.0


def test_a_row_that_the_look_cuts_off_does_not_matter() -> None:
    text = b"t,x,y,p\n" + b"123456,10,20,1\n" * 6_000
    assert len(text) > LOOKED_AT_BYTES
    assert recognise(text[:LOOKED_AT_BYTES], len(text)) == "CSV"


@given(begin=st.binary(max_size=300), more=st.integers(0, 10**12))
def test_any_beginning_is_looked_at_without_an_error(begin: bytes, more: int) -> None:
    name = recognise(begin, len(begin) + more)
    assert name is None or name in FORMATS

"""Headers of lines that begin with "#"."""

import pytest

from stages.formats.aedat.comment_lines import comment_lines


def lines(data: bytes) -> list[tuple[str, int]]:
    return [tuple(line) for line in comment_lines(lambda at, count: data[at : at + count])]


def test_lines_end_as_on_windows_or_as_elsewhere() -> None:
    assert lines(b"#one\r\n# two\n#\n\x00data#") == [("one", 6), (" two", 12), ("", 14)]


def test_data_may_begin_with_the_byte_of_the_mark() -> None:
    assert lines(b"#one\n#\x11\x00\x00\x00\x00\x00\n") == [("one", 5)]
    assert lines(b"#one\n#\x11\x00\x00") == [("one", 5)]


def test_there_need_be_no_data_and_no_header() -> None:
    assert lines(b"#one\n") == [("one", 5)]
    assert lines(b"none\n") == []


def test_what_cannot_be_printed_is_replaced() -> None:
    assert lines("#DVS\x1b[2J\tµ\n".encode()) == [("DVS?[2J\t??", 12)]


def test_a_header_may_be_longer_than_what_is_read_at_once() -> None:
    data = b"".join(b"#%05d %s\r\n" % (k, b"x" * (k % 90)) for k in range(3_000)) + b"\x00"
    found = lines(data)
    assert [int(text[:5]) for text, _ in found] == list(range(3_000))
    assert found[-1][1] == len(data) - 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"#one\n#two", "the file ends within it, after 9 bytes"),
        (b"#one\n#" + b"x" * 70_000, "a line of it is longer than 65536 bytes"),
    ],
)
def test_a_header_without_an_end_is_damaged(data: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        lines(data)

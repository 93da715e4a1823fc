"""The header, both ways, and XML that would do harm."""

import io
import struct

import pytest

from stages.formats.aedat.aedat4_header import Stream, describe, encode_header, read_header

STREAM = Stream(0, "events", "EVTS", 'a <b> & "ä"', 346, 260)


def xml(inner: str) -> str:
    return f'<dv version="2.0"><node name="outInfo">{inner}</node></dv>'


@pytest.mark.parametrize("compression", ["none", "lz4", "lz4_high", "zstd", "zstd_high"])
def test_a_header_is_read_as_written(compression: str) -> None:
    text = describe(STREAM, compression, {"note": "x < y", "lens": ""})
    encoded = encode_header(compression, 123_456_789_012, text)
    header = read_header(io.BytesIO(encoded + b"packets"))
    assert header == (compression, 123_456_789_012, {0: STREAM}, len(encoded))
    assert len(encoded) == len(encode_header(compression, -1, text))


def test_comments_are_no_declarations() -> None:
    header = read_header(io.BytesIO(encode_header("none", -1, xml("<!-- DV 1.5 -->"))))
    assert header.streams == {}


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'
NODE = '<node name="{}"><node name="info"><attr key="sizeX">{}</attr></node></node>'
BAD_XML = {
    "entities": (BOMB, "its XML declares entities"),
    "no XML": ("no XML", "its XML cannot be read: syntax error: line 1, column 0"),
    "nothing": ("", "its XML cannot be read: no element found: line 1, column 0"),
    "no end": ("<dv>", "its XML cannot be read: no element found: line 1, column 4"),
    "a name": (xml(NODE.format("left", 1)), "its XML has a stream of number 'left'"),
    "a vast number": (
        xml(NODE.format("9" * 50, 1)),
        f"its XML has a stream of number '{'9' * 50}'",
    ),
    "negative": (xml(NODE.format(0, -5)), "its XML has a sensor of '-5' x '0' px"),
    "vast": (xml(NODE.format(0, 32769)), "its XML has a sensor of '32769' x '0' px"),
}


@pytest.mark.parametrize(("text", "error"), BAD_XML.values(), ids=BAD_XML.keys())
def test_bad_xml_is_refused(text: str, error: str) -> None:
    with pytest.raises(ValueError, match="XML") as caught:
        read_header(io.BytesIO(encode_header("none", -1, text)))
    assert str(caught.value) == error


def changed(at: int, form: str, value: int) -> bytes:
    encoded = bytearray(encode_header("none", -1, describe(STREAM, "none", {})))
    struct.pack_into(form, encoded, at, value)
    return bytes(encoded)


BAD_HEADERS = {
    "size": (14, "<I", 1 << 30, r"claims to be 1073741824 bytes long, at most 1048576"),
    "cut": (14, "<I", 5000, r"the file ends within it, after \d+ bytes"),
    "identifier": (22, "<I", 0, r"is marked b'\\x00\\x00\\x00\\x00', expected b'IOHE'"),
    "root": (18, "<I", 1 << 31, r"offset 2147483652 lies outside its \d+ bytes"),
    "vtable": (38, "<i", 1 << 30, r"offset -1073741800 lies outside its \d+ bytes"),
    "compression": (42, "<i", 5, r"its compression is 5, known are 0 to 4"),
    "data table": (54, "<q", 20, r"puts the data table at byte 20, within the header"),
    "text": (62, "<I", 1 << 31, r"a vector of 2147483648 items reaches beyond its buffer"),
}


@pytest.mark.parametrize(
    ("at", "form", "value", "error"), BAD_HEADERS.values(), ids=BAD_HEADERS.keys()
)
def test_a_damaged_header_is_refused(at: int, form: str, value: int, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        read_header(io.BytesIO(changed(at, form, value)))


@pytest.mark.parametrize(
    ("stream", "attributes", "error"),
    [
        (STREAM._replace(width=0), {}, "width and height must be 1 to 32768 px, got 0"),
        (STREAM._replace(height=32769), {}, "width and height must be 1 to 32768 px, got 32769"),
        (STREAM._replace(source="a\0"), {}, "attribute 'source' must be a plain name and text"),
        (STREAM, {"two words": ""}, "attribute 'two words' must be a plain name and text, got ''"),
        (STREAM, {"sizeX": "3"}, r"attributes must not name \['sizeX'\]: these have own arguments"),
    ],
)
def test_what_no_header_could_hold_is_refused(
    stream: Stream, attributes: dict[str, str], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        describe(stream, "none", attributes)

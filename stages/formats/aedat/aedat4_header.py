"""What stands before an AEDAT4 file's packets: magic, compression, and an XML naming the streams.

Source: the AEDAT 4.0 file format specification, and the headers of recordings by DV and by
dv-processing. A FlatBuffer ``IOHE`` holds int32 compression, int64 position of the data table (-1
until the file is closed) and the XML.
"""

import re
import struct
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree

from pipeline.events import LARGEST_SIDE_PX
from stages.formats.aedat.compression import NAMES
from stages.formats.aedat.flatbuffer import root_table

__all__ = ["MAGIC", "Header", "Stream", "describe", "encode_header", "read_header"]

MAGIC = b"#!AER-DAT4.0\r\n"
_LARGEST_BYTES = 1 << 20
"""Real headers are below 4 kB; a larger one could only cost memory."""
"""Coordinates are int16."""
_OWN_KEYS = {"sizeX", "sizeY", "source"}


class Stream(NamedTuple):
    """A stream that the header declares."""

    number: int
    name: str
    kind: str
    """``EVTS``, ``FRME``, ``IMUS``, ``TRIG`` and others."""
    source: str
    width: int
    height: int
    """0 where the header gives no size."""


class Header(NamedTuple):
    """The header, decoded."""

    compression: str
    data_table: int
    """Byte position, -1 where the recording was never closed."""
    streams: dict[int, Stream]
    """By number, ascending; a file may list them in any order."""
    length: int
    """Bytes up to the first packet."""


def read_header(file: BinaryIO) -> Header:
    """Read the header from the beginning of a file.

    Raises:
        ValueError: it is damaged; the text says how.
    """
    magic = file.read(len(MAGIC))
    if magic != MAGIC:
        raise ValueError(f"it begins with {magic!r}, expected {MAGIC!r}")
    prefix = file.read(4)
    size = int.from_bytes(prefix, "little")
    if size > _LARGEST_BYTES:
        raise ValueError(f"it claims to be {size} bytes long, at most {_LARGEST_BYTES} are read")
    buffer = prefix + file.read(size)
    if len(prefix) < 4 or len(buffer) < 4 + size:
        raise ValueError(f"the file ends within it, after {len(MAGIC) + len(buffer)} bytes")
    table = root_table(buffer, b"IOHE")
    compression = table.number(0, "i", 0)
    if not 0 <= compression < len(NAMES):
        raise ValueError(f"its compression is {compression}, known are 0 to {len(NAMES) - 1}")
    data_table = table.number(1, "q", -1)
    length = len(MAGIC) + len(buffer)
    if data_table != -1 and data_table < length:
        raise ValueError(f"it puts the data table at byte {data_table}, within the header")
    return Header(NAMES[compression], data_table, _streams(table.text(2)), length)


def encode_header(compression: str, data_table: int, xml: str) -> bytes:
    """Return magic and header; their length does not depend on ``data_table``."""
    text = xml.encode()
    # With its size prefix: root offset at 4, identifier at 8, vtable of 10 bytes at 12, table at
    # 24 (compression at +4, offset of the text at +8, data table at +16, aligned), text at 48.
    body = struct.pack("<I4s", 20, b"IOHE")
    body += struct.pack("<5H2x", 10, 24, 4, 16, 8)
    body += struct.pack("<iiI4xq", 12, NAMES.index(compression), 16, data_table)
    body += struct.pack("<I", len(text)) + text + b"\0"
    body += bytes(-(4 + len(body)) % 8)
    return MAGIC + struct.pack("<I", len(body)) + body


def describe(stream: Stream, compression: str, attributes: Mapping[str, str]) -> str:
    """Return the XML of a file with one stream.

    Raises:
        ValueError: a text or a key cannot stand in it, or the sensor has no valid size.
    """
    for side in (stream.width, stream.height):
        if not 0 < side <= LARGEST_SIDE_PX:
            raise ValueError(f"width and height must be 1 to {LARGEST_SIDE_PX} px, got {side}")
    for key, text in {"source": stream.source, **attributes}.items():
        if not re.fullmatch(r"[A-Za-z][\w.-]*", key, re.ASCII) or not text.isprintable():
            raise ValueError(f"attribute {key!r} must be a plain name and text, got {text!r}")
    if taken := _OWN_KEYS & attributes.keys():
        raise ValueError(f"attributes must not name {sorted(taken)}: these have own arguments")
    path = f"/outInfo/{stream.number}/"
    root = ElementTree.Element("dv", version="2.0")
    streams = ElementTree.SubElement(root, "node", name="outInfo", path="/outInfo/")
    node = ElementTree.SubElement(streams, "node", name=str(stream.number), path=path)
    rows = [
        (node, "compression", "string", compression.upper()),
        (node, "originalModuleName", "string", "pipeline"),
        (node, "originalOutputName", "string", stream.name),
        (node, "typeDescription", "string", "Array of events (polarity ON/OFF)."),
        (node, "typeIdentifier", "string", stream.kind),
    ]
    info = ElementTree.Element("node", name="info", path=f"{path}info/")
    rows += [
        (info, "sizeX", "int", str(stream.width)),
        (info, "sizeY", "int", str(stream.height)),
        (info, "source", "string", stream.source),
    ]
    rows += [(info, key, "string", text) for key, text in attributes.items()]
    for parent, key, kind, text in rows:
        ElementTree.SubElement(parent, "attr", key=key, type=kind).text = text
    node.append(info)
    ElementTree.indent(root, "    ")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _streams(xml: str) -> dict[int, Stream]:
    if re.search("<!(DOCTYPE|ENTITY)", xml):
        # Entities could expand without end, and no camera's software declares any.
        raise ValueError("its XML declares entities")
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, UnicodeEncodeError) as error:
        raise ValueError(f"its XML cannot be read: {error}") from None
    streams = [_stream(node) for node in root.iterfind("./node[@name='outInfo']/node")]
    return {stream.number: stream for stream in sorted(streams)}


def _stream(node: ElementTree.Element) -> Stream:
    own = {a.get("key"): a.text or "" for a in node.iterfind("attr")}
    info = {a.get("key"): a.text or "" for a in node.iterfind("./node[@name='info']/attr")}
    number, width, height = node.get("name", ""), info.get("sizeX", "0"), info.get("sizeY", "0")
    if not re.fullmatch("[0-9]{1,9}", number):
        raise ValueError(f"its XML has a stream of number {number!r}")
    for side in (width, height):
        if not re.fullmatch("[0-9]{1,5}", side) or int(side) > LARGEST_SIDE_PX:
            raise ValueError(f"its XML has a sensor of {width!r} x {height!r} px")
    return Stream(
        number=int(number),
        name=own.get("originalOutputName", ""),
        kind=own.get("typeIdentifier", ""),
        source=info.get("source", ""),
        width=int(width),
        height=int(height),
    )

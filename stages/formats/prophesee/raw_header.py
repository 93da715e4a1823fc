"""The header of Prophesee's RAW and DAT recordings: lines of text that begin with "% ".

Source: Prophesee's descriptions of the RAW and DAT file formats, and headers of real recordings.
Each line is a name and a value. Newer headers end with a line ``% end``; in older ones the data
begins where lines end. The size of the sensor is in several places, or, in older ones, in none:
then the camera is named, and the cameras of the time are known here.
"""

import re
from typing import NamedTuple

from pipeline.events import LARGEST_SIDE_PX

__all__ = ["HEADER_BYTES", "RawHeader", "encode_header", "encode_raw_header", "read_header"]

HEADER_BYTES = 1 << 16
"""No header is longer."""

_LINE = re.compile(rb"% ([^\x00-\x08\x0a-\x1f\x7f]*)\r?\n")
"""Of text only: the data may begin with a percent sign too."""

_GEN3, _GEN4, _GENX320 = (480, 640), (720, 1280), (320, 320)
_CAMERAS = (("genx320", _GENX320), ("gen4", _GEN4), ("imx6", _GEN4), ("gen3", _GEN3))
"""(height, width) by a part of the plug-in's or the sensor's name."""
_SYSTEMS = {
    **dict.fromkeys((21, 23, 25, 28, 29, 33, 35, 151, 153, 161), _GEN3),
    **dict.fromkeys((26, 30, 32, 46, 48, 49), _GEN4),
}
"""(height, width) by ``system_ID``."""


class RawHeader(NamedTuple):
    """What a header says."""

    fields: dict[str, str]
    """Values by name, the names in lower case."""
    length: int
    """Bytes of the header; the data begins behind it."""

    @property
    def options(self) -> dict[str, str]:
        """What stands behind the name in ``format``, as in ``EVT3;height=720;width=1280``."""
        parts = self.fields.get("format", "").split(";")[1:]
        pairs = (part.partition("=") for part in parts)
        return {name.strip().lower(): value.strip() for name, _, value in pairs}

    def size(self) -> tuple[int, int] | None:
        """Return (height, width) of the sensor, None where nothing tells it.

        Raises:
            ValueError: what tells it makes no sense.
        """
        for said in (self.options, self.fields):
            if "width" in said and "height" in said:
                return _sides(said["height"], said["width"])
        if "geometry" in self.fields:
            width, _, height = self.fields["geometry"].partition("x")
            return _sides(height, width)
        for name in ("sensor_name", "plugin_name"):
            for part, camera in _CAMERAS:
                if part in self.fields.get(name, "").lower():
                    return camera
        generation = self.fields.get("sensor_generation") or self.fields.get("generation", "")
        size = {"3": _GEN3, "4": _GEN4, "320": _GENX320}.get(generation.partition(".")[0])
        system = self.fields.get("system_id", "")
        return size or (_SYSTEMS.get(int(system)) if system.isdecimal() else None)

    def source(self) -> str:
        """Return the camera's name, or an empty text."""
        number = self.fields.get("serial_number", "")
        return self.fields.get("source") or (f"Prophesee {number}" if number else "")

    def time_offset_us(self, multiple_of: int) -> int:
        """Return what is to be added to all times; our own writers make a header say it.

        Raises:
            ValueError: it is no multiple of the time after which the format's own times wrap.
        """
        text = self.fields.get("time_offset_us", "0")
        if not re.fullmatch(r"-?\d{1,18}", text) or int(text) % multiple_of:
            raise ValueError(f"time_offset_us must be a multiple of {multiple_of}, got {text!r}")
        return int(text)


def read_header(begin: bytes) -> RawHeader:
    """Read a header.

    Args:
        begin: the first `HEADER_BYTES` of the file.

    Raises:
        ValueError: it does not end.
    """
    fields: dict[str, str] = {}
    end = 0
    while (line := _LINE.match(begin, end)) is not None:
        end = line.end()
        name, _, value = line[1].decode("utf-8", "replace").strip().partition(" ")
        if name.lower() == "end" and not value:
            break
        fields[name.lower()] = value.strip()
    if end == HEADER_BYTES or (begin[end:].startswith(b"% ") and len(begin) == HEADER_BYTES):
        raise ValueError(f"it has more than {HEADER_BYTES} bytes")
    return RawHeader(fields, end)


def encode_header(fields: dict[str, str], last: str = "") -> bytes:
    """Return the bytes of a header, a line for each field, and ``last``."""
    lines = []
    for name, value in fields.items():
        printable = "".join(sign if sign.isprintable() else " " for sign in value)
        lines.append(f"% {name} {' '.join(printable.split())}\n")
    return ("".join(lines) + last).encode()


def encode_raw_header(version: str, width: int, height: int, source: str, offset_us: int) -> bytes:
    """Return the bytes of a RAW header as Prophesee's software of version 4 understands it.

    Args:
        version: of the encoding, such as ``3.0``.
        width: columns of the sensor.
        height: rows of the sensor.
        source: the camera's name.
        offset_us: what other readers do not know and ours adds to all times: words have room for
            times up to where they wrap only.
    """
    name = "EVT" + version.removesuffix(".0").replace(".", "")
    fields = {
        "evt": version,
        "format": f"{name};height={height};width={width}",
        "geometry": f"{width}x{height}",
        "integrator_name": "Prophesee",
        "plugin_integrator_name": "Prophesee",
        "plugin_name": "hal_plugin_prophesee",
        "source": source,
    }
    if offset_us:
        fields["time_offset_us"] = str(offset_us)
    return encode_header(fields, "% end\n")


def _sides(height: str, width: str) -> tuple[int, int]:
    for side in (height, width):
        if not (side.strip().isdecimal() and 0 < int(side) <= LARGEST_SIDE_PX):
            raise ValueError(
                f"the sensor has {width}×{height} px, must be 1 to {LARGEST_SIDE_PX} each"
            )
    return int(height), int(width)

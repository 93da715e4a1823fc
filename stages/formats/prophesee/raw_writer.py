"""What the writers of Prophesee's RAW recordings share: the header, and times that wrap."""

from typing import ClassVar

from stages.formats.prophesee.raw_header import encode_raw_header
from stages.formats.words_writer import WordWriter

__all__ = ["RawWriter"]


class RawWriter(WordWriter):
    """Writes words behind a RAW header."""

    largest_px = 2048
    wrap_us: ClassVar[int]
    """Times start again here."""
    version: ClassVar[str]
    """Of the encoding, such as ``3.0``."""

    def _header(self, first_us: int) -> bytes:
        offset_us = self._offset_us(first_us)
        return encode_raw_header(self.version, self.width, self.height, self.source, offset_us)

    def _offset_us(self, first_us: int) -> int:
        """What the header adds to all times, for the first event to be at ``first_us``."""
        return first_us // self.wrap_us * self.wrap_us

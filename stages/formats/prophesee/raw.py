"""What Prophesee's RAW and DAT recordings share: a header of text, and times that wrap."""

from typing import ClassVar

from stages.formats.prophesee.raw_header import HEADER_BYTES, RawHeader, read_header
from stages.formats.words import WordReader

__all__ = ["RawReader"]


class RawReader(WordReader):
    """An open recording of words behind a RAW header."""

    wrap_us: ClassVar[int]
    """Times start again here."""

    _header: RawHeader
    _offset_us: int
    """To be added to all times; a multiple of ``wrap_us``."""

    def _open(self, stream: str | None) -> None:
        self._header = header = read_header(self._read_at(0, HEADER_BYTES))
        self._begin = header.length
        self._offset_us = header.time_offset_us(self.wrap_us)
        self.declared_size = header.size()
        self.source = header.source()

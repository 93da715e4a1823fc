"""Text with a line an event: CSV, TSV and lines with spaces, by whomever they were written.

`csv_text_header` says how columns and units are told. Separators are commas,
semicolons, tabs and spaces, also mixed; lines that begin with # or % are comments. Lines end with
LF or CR LF and with nothing else, whatever Unicode calls a line end.

A last line without its end may have been cut within its last number, which nothing else would
tell: it is taken only where that is the polarity, or a column that is not used, and otherwise is a
truncated end.
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from pipeline.errors import RecordingError
from pipeline.events import EVENT, EventArray
from stages.formats.reader import Decoded, Place, Reader
from stages.formats.tables.csv_text_header import HEADER_BYTES, read_text_header

__all__ = ["CsvReader"]

_POLARITY, _UNUSED = 3, -1
"""Roles of columns."""
_SHOWN_BYTES = 40


class CsvReader(Reader):
    """An open text of events; it has one stream, without a name.

    A place is the byte where a line begins, and 1 where that is the inside of an overlong one.
    """

    format = "CSV"
    block_bytes: ClassVar[int] = 1 << 18
    """Bytes read at a time; a line may be as long."""
    block_rows: ClassVar[int] = 1 << 15
    """Events made at a time."""

    def _open(self, stream: str | None) -> None:
        begin = self._read_at(0, HEADER_BYTES)
        try:
            self._header = read_text_header(begin, len(begin) == self.file_bytes)
        except ValueError as error:
            raise RecordingError(
                f"{self.path}: {error}; name the columns in a first line, such as t,x,y,p"
            ) from None
        self.declared_size = self._header.size
        self.source = self._header.source

    def _decode(self, place: Place) -> Iterator[Decoded]:
        offset, inside = (*place, 0)[:2] if place else (self._header.begin, 0)
        if len(place) > 2 or not 0 <= offset <= self.file_bytes or inside not in (0, 1):
            raise self._no_such_place(place)
        return self._decode_lines(offset, bool(inside))

    def _decode_lines(self, offset: int, inside: bool) -> Iterator[Decoded]:
        from stages.formats.tables.csv_text_kernel import parse_rows

        roles = np.array(self._header.roles, np.int64)
        stop = self.policies.on_unknown == "raise"
        cuts_show = self._header.roles[-1] in (_POLARITY, _UNUSED)
        while block := self._read_at(offset, self.block_bytes):
            ends = offset + len(block) == self.file_bytes and not block.endswith(b"\n")
            if ends and not cuts_show and not inside:
                last = block.rfind(b"\n") + 1
                if not last and block.strip() and block.lstrip()[:1] not in b"#%":
                    self._damaged("is truncated", offset, len(block))
                    return
                # The last line comes alone, once all others are done.
                block, ends = block[:last] or block, not last
            if inside:
                used = block.find(b"\n") + 1
                inside = not used and not ends
                offset += used or len(block)
                continue
            text = np.frombuffer(block + b"\n" if ends else block, np.uint8)
            out = np.empty((self.block_rows, 2), np.int64)
            made, used, odd, odd_at = parse_rows(text, roles, self._header.scale, stop, out)
            if not used:
                used, odd, odd_at, inside = len(block), 1, 0, True
            begin = offset
            offset = min(begin + used, self.file_bytes)
            yield Decoded(_events(out[:made]), (offset, 1) if inside else (offset,))
            if odd and ends and b"\n" not in block[odd_at:]:
                odd -= 1
                self._damaged("is truncated", begin + odd_at, len(block) - odd_at)
            shown = block[max(odd_at, 0) :][:_SHOWN_BYTES].partition(b"\n")[0]
            self._unknown(odd, f"the line {shown!r}")


def _events(words: "np.ndarray[tuple[int, int], np.dtype[np.int64]]") -> EventArray:
    events: EventArray = words.view(EVENT).reshape(-1)
    return events

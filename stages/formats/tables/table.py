"""What the readers of tables share: a recording whose events are rows that are counted."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from stages.formats.reader import Decoded, Place, Reader

__all__ = ["TableReader"]


class TableReader(Reader):
    """An open recording that is a table; a place in it is the number of rows before it."""

    slice_rows: ClassVar[int] = 1 << 16
    """Rows read at a time."""

    _rows: int
    """Rows that are there; `_open` sets it."""

    @abstractmethod
    def _decode_from(self, row: int) -> Iterator[Decoded]:
        """Yield all events from a row on, as `_decode` does; places are ``(row,)``."""

    def _decode(self, place: Place) -> Iterator[Decoded]:
        row = place[0] if place else 0
        if len(place) > 1 or not 0 <= row <= self._rows:
            raise self._no_such_place(place)
        return self._decode_from(row)

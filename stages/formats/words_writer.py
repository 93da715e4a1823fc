"""Writers of formats that are a header and then words; the readers are `stages.formats.words`."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.events import EventArray
from stages.formats.writer import Writer, WriterPosition

__all__ = ["Encode", "WordWriter"]

Encode: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[Any]], tuple[int, int]]
"""(events as (n, 2) int64, state, out) → events used, words made: encodes until events, or room
for words, end; changes the state."""


class WordWriter(Writer):
    """Writes events as words; what differs is in the class attributes and three methods.

    The header is written with the first events, whose time it depends on, or at the end.
    """

    word: ClassVar[np.dtype[Any]]
    largest_px: ClassVar[int]
    """Columns or rows that the format has room for."""
    chunk_words: ClassVar[int] = 1 << 18
    """Words written at a time, at least a few."""

    @classmethod
    def size_problem(cls, width: int, height: int) -> str | None:
        """Return that the format has no room for the sensor, None if it has."""
        if max(width, height) > cls.largest_px:
            return (
                f"{cls.format} has room for {cls.largest_px}×{cls.largest_px} px, got"
                f" {width}×{height}; write another format"
            )
        return super().size_problem(width, height)

    def _prepare(self) -> None:
        self._state: NDArray[np.int64] | None = None

    @abstractmethod
    def _header(self, first_us: int) -> bytes:
        """Return the file's header; ``first_us`` is the first event's time."""

    @abstractmethod
    def _start_state(self, first_us: int) -> NDArray[np.int64]:
        """Return the encoder's state before the first event.

        Raises:
            RecordingError: the format cannot hold a recording that begins then.
        """

    @abstractmethod
    def _kernel(self) -> Encode:
        """Return the compiled encoder."""

    def _write(self, events: EventArray) -> None:
        first_us = int(events["t"][0])
        if self._state is None:
            state = self._start_state(first_us)
            self._file.begin(self._header(first_us))
            self._state = state
            self._out = np.empty(self.chunk_words, self.word)
        words = events.view(np.int64).reshape(-1, 2)
        encode, out = self._kernel(), self._out
        while len(words):
            used, made = encode(words, self._state, out)
            words = words[used:]
            self._file.append(out[:made].data.cast("B"))

    def _encoder(self) -> NDArray[np.int64] | None:
        return self._state

    def _resume(self, position: WriterPosition) -> None:
        assert position.encoder is not None
        self._state = position.encoder.copy()
        self._out = np.empty(self.chunk_words, self.word)

    def _finish(self) -> None:
        if self._state is None:
            self._file.begin(self._header(0))

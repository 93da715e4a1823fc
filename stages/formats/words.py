"""Readers of formats that are a header and then words, up to the end of the file.

A kernel turns words to events; the loop around it, which bounds the memory, carries the decoder's
state and reports what was skipped, is the same for all and is here.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.events import EVENT
from stages.formats.reader import Decoded, Place, Reader

__all__ = ["Decode", "Kernel", "WordReader"]

Decode: TypeAlias = Callable[
    [NDArray[Any], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], tuple[int, int]
]
"""(words, state, out, counts) → words used, events made: decodes until words, or room in the (n, 2)
int64 events ``out``, end; changes the state and adds to the counts: unknown words, an example of
them, and each of ``skipped``. An event that words end within is left for the next turn."""


class Kernel(NamedTuple):
    """A compiled decoder of one format's words."""

    decode: Decode
    room: int = 1
    """The most events that one word holds."""
    skipped: tuple[str, ...] = ()
    """Kinds of words that are known and hold no event; they are counted in ``notes``."""


class WordReader(Reader):
    """An open recording of words; what differs is in the class attributes and `_kernel`.

    A place is the byte of the next word and the decoder's state.
    """

    word: ClassVar[np.dtype[Any]]
    event_words: ClassVar[int] = 1
    """The fewest words of which an event is made."""
    chunk_words: ClassVar[int] = 1 << 16
    """Words read at a time; not fewer than the longest event has."""

    _begin: int
    """Byte of the first word; `_open` finds it."""

    @abstractmethod
    def _kernel(self) -> Kernel:
        """Return the decoder; imported where it is asked for, as a header needs no Numba."""

    @abstractmethod
    def _start_state(self) -> NDArray[np.int64]:
        """Return the decoder's state before the first word."""

    def _decode(self, place: Place) -> Iterator[Decoded]:
        state = self._start_state()
        offset, size = self._begin, self.word.itemsize
        if place:
            offset = place[0]
            fits = self._begin <= offset <= self.file_bytes
            if len(place) != 1 + len(state) or not fits or (offset - self._begin) % size:
                raise self._no_such_place(place)
            state[:] = place[1:]
        kernel = self._kernel()
        rows = self.chunk_words // self.event_words + kernel.room
        counts = np.zeros(2 + len(kernel.skipped), np.int64)
        while True:
            part = self._read_at(offset, self.chunk_words * size)
            words = np.frombuffer(part, self.word, len(part) // size)
            out = np.empty((rows, 2), np.int64)
            used, made = kernel.decode(words, state, out, counts)
            if not used:
                break
            offset += used * size
            # A part of an array keeps all of it in memory.
            out = out[:made] if 2 * made > rows else out[:made].copy()
            unknown, example = counts[:2].tolist()
            self._notes.update(
                {kind: n for kind, n in zip(kernel.skipped, counts[2:].tolist(), strict=True) if n}
            )
            counts[:] = 0
            if self.policies.on_unknown == "drop":
                self._unknown(unknown, f"the word {example:#x}")
            if made:
                yield Decoded(out.view(EVENT).reshape(-1), (offset, *state.tolist()))
            if self.policies.on_unknown == "raise":
                self._unknown(unknown, f"the word {example:#x}")
        if part:
            self._damaged("is truncated", offset, len(part))

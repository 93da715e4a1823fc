"""Doubles for spools: a spooler in a thread, and sources that go on from what a checkpoint kept."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from live import PATIENCE_S, Playing, Scripted, Sockets

from pipeline.checkpoint.snapshot import classes_of, pack, unpack
from pipeline.messages import Message, encode
from stages.sources.live_state import LiveState
from stages.sources.tally import Tally


def source_of(spool: Path, *devices: Scripted, tally: Tally | None = None, **options: Any) -> Any:
    """A source of scripted devices with a spool, as each process of a run has one."""
    source = Sockets(*devices, spool=spool, **options)
    source.resumes = tally is not None
    source.spool = source.beside()
    source._tally = tally or source._tally
    return source


@contextmanager
def spooling(source: Any) -> Iterator[threading.Event]:
    """The spooler of a source at work; set what is yielded to end it."""
    over = threading.Event()
    source.spool.__self__._tally = source._tally
    thread = threading.Thread(target=source.spool, args=(over,))
    thread.start()
    try:
        yield over
    finally:
        over.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def kept(playing: Playing) -> bytes:
    """What a checkpoint keeps of a source now."""
    return pack(playing.source.snapshot(playing.state))


def going_on(source: Any, saved: bytes) -> Playing:
    """A source that goes on from there, where another was killed; use it in a ``with``."""
    playing = _GoesOn(source)
    playing.saved = unpack(saved, classes_of(type(source)))
    return playing


class _GoesOn(Playing):
    saved: LiveState

    def __enter__(self) -> "Playing":
        super().__enter__()
        self.state = self.source.restore(self.saved)
        self._turns = self.source.play(self.state)
        return self


def as_bytes(messages: list[Message]) -> list[tuple[bytes, bytes]]:
    """Messages as they go over the wire."""
    return [(bytes(header), bytes(array)) for header, array in map(encode, messages)]

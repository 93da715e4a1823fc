"""What a run says, as JSON for programs that gather logs: one object a line on standard error.

All that this process and those it starts write to standard error becomes a line of it, also what
libraries say that know nothing of us, so that whoever reads need not understand anything else. A
line has

    time    when it was written, ISO 8601, UTC
    level   ``info``, ``warning`` or ``error``
    text    what was said
    run     which run it belongs to, once that has begun
    stage   of whom it speaks, if of one
    event_us  event time that this stage had come to, in µs, if it had
"""

import atexit
import os
import sys
import threading
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from pipeline.observe.status import RunStatus

__all__ = ["JsonLog", "line"]

_LEVELS = ("warning", "error")
_END_S = 2.0


def line(text: str, stages: Collection[str], at: datetime) -> dict[str, Any]:
    """Return what is logged of a line that was said.

    Args:
        text: as a person would read it, such as ``warning: queue a→b: refused: ...``.
        stages: the names of all.
        at: when it was said.
    """
    level, rest = "info", text
    head, colon, tail = text.partition(": ")
    if colon and head in _LEVELS:
        level, rest = head, tail
    told: dict[str, Any] = {"time": at.isoformat(timespec="milliseconds"), "level": level}
    head, colon, tail = rest.partition(": ")
    stage = head.removeprefix("stage ").strip("'")
    if colon and stage in stages:
        told["stage"], rest = stage, tail
    return {**told, "text": rest}


class JsonLog:
    """Takes standard error over until the process ends.

    Attributes:
        stages: names of those that may speak.
    """

    def __init__(self) -> None:
        self.stages: Collection[str] = ()
        self._status: RunStatus | None = None
        sys.stderr.flush()
        self._out = os.dup(2)
        read, write = os.pipe()
        os.dup2(write, 2)
        os.close(write)
        self._thread = threading.Thread(target=self._read, args=(read,), name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def watch(self, status: RunStatus) -> None:
        """Take note of how the run stands."""
        self._status = status

    def say(self, text: str, more: Mapping[str, Any], level: str = "info") -> None:
        """Log something that is more than a line of text."""
        told = {**line(text, (), datetime.now(UTC)), "level": level}
        self._write({**told, **self._where(""), **more})

    def close(self) -> None:
        """Log what is left, and give standard error back."""
        atexit.unregister(self.close)
        sys.stderr.flush()
        os.dup2(self._out, 2)
        # A worker that was left behind may hold its end for ever.
        self._thread.join(_END_S)

    def _read(self, read: int) -> None:
        with open(read, encoding="utf-8", errors="replace") as said:
            for text in said:
                if text := text.rstrip():
                    told = line(text, self.stages, datetime.now(UTC))
                    self._write({**told, **self._where(told.get("stage", ""))})

    def _where(self, name: str) -> Mapping[str, Any]:
        if (status := self._status) is None:
            return {}
        stage = next((each for each in status.stages if each.name == name), None)
        event_us = None if stage is None else stage.event_us
        return {"run": status.run_id} | ({} if event_us is None else {"event_us": event_us})

    def _write(self, told: Mapping[str, Any]) -> None:
        os.write(self._out, msgspec.json.encode(told) + b"\n")

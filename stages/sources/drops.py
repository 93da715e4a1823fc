"""Tells that events are dropped: when it begins, and now and then while it goes on."""

import math
import time

__all__ = ["Drops"]

_AGAIN_S = 5.0


class Drops:
    """Turns a count that grows into a line, not too often.

    Args:
        why: what is wrong, behind which the count is told.
        remedy: what a person can do.
    """

    def __init__(self, why: str, remedy: str) -> None:
        self._why, self._remedy = why, remedy
        self._told, self._told_s = 0, -math.inf

    def remark(self, dropped: int) -> str:
        """Return what is to be told, given how many were dropped so far; empty for nothing."""
        now_s = time.monotonic()
        if dropped <= self._told or now_s < self._told_s + _AGAIN_S:
            return ""
        self._told, self._told_s = dropped, now_s
        return f"{self._why}: {dropped:,} events dropped so far; {self._remedy}"

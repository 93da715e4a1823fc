"""The state that a recording was found in, when it was read."""

from collections import Counter
from typing import Literal

import msgspec

from stages.formats.reader import Reader

__all__ = ["Quality", "quality_of"]

_MISTAKES = (
    "damaged places",
    "events other than declared",
    "lost messages",
    "not closed",
    "outside the sensor",
    "time going back",
    "unknown words",
)
"""Kinds of findings that are; others are what a good recording may hold, such as triggers."""


class Quality(msgspec.Struct, frozen=True):
    """What is wrong with a recording."""

    verdict: Literal["good", "flawed", "damaged"]
    """``damaged``: a part cannot be read; ``flawed``: all can be read, but not all is right."""
    refused: dict[str, int]
    """Events that were left out, by reason."""
    flaws: dict[str, int]
    """What else was found, by kind, see `stages.formats.reader.Reader.quality`; not all of it is a
    mistake."""

    def __str__(self) -> str:
        lost = [f"{count:,} events {reason}" for reason, count in self.refused.items()]
        found = [f"{kind}: {count:,}" for kind, count in self.flaws.items()]
        return self.verdict + (": " if lost or found else "") + ", ".join(lost + found)


def quality_of(reader: Reader, events: int, whole: bool = True) -> Quality:
    """Return what a reader found.

    Args:
        reader: its packets were read.
        events: how many events they held.
        whole: whether the recording was read from its beginning to its end, so that the number of
            events that the file declares can be held against them.
    """
    refused, flaws = Counter(reader.refused), Counter(reader.quality)
    if whole and reader.event_count is not None:
        missing = reader.event_count - events - refused.total()
        if missing > 0 and "damaged bytes" in flaws:
            refused["in damaged packets"] = missing
        elif missing:
            flaws["events other than declared"] = abs(missing)
    wrong = refused or any(flaws[kind] for kind in _MISTAKES)
    return Quality(
        verdict="damaged" if "damaged places" in flaws else "flawed" if wrong else "good",
        refused=dict(sorted(refused.items())),
        flaws=dict(sorted(flaws.items())),
    )

"""The state that a recording was found in, when it was read."""

from collections import Counter
from typing import Literal

import msgspec

from stages.formats.notes import (
    DAMAGED_PLACES,
    IN_DAMAGED_PARTS,
    MISTAKES,
    NOT_AS_DECLARED,
    lost_to_damage,
)
from stages.formats.reader import Reader

__all__ = ["Quality", "quality_of"]


class Quality(msgspec.Struct, frozen=True):
    """What is wrong with a recording."""

    verdict: Literal["good", "flawed", "damaged"]
    """``damaged``: a part cannot be read; ``flawed``: all can be read, but not all is right."""
    refused: dict[str, int]
    """Events that were left out, by reason."""
    notes: dict[str, int]
    """What else was found, by kind, see `stages.formats.notes`; not all of it is a mistake."""

    def __str__(self) -> str:
        lost = [f"{count:,} events {reason}" for reason, count in self.refused.items()]
        found = [f"{kind}: {count:,}" for kind, count in self.notes.items()]
        return self.verdict + (": " if lost or found else "") + ", ".join(lost + found)


def quality_of(reader: Reader, events: int, whole: bool = True) -> Quality:
    """Return what a reader found.

    Args:
        reader: its packets were read.
        events: how many events they held.
        whole: whether the recording was read from its beginning to its end, so that the number of
            events that the file declares can be held against them.
    """
    # Of a part, too, it is told what else the file holds.
    refused, notes = Counter(reader.refused), Counter(reader.notes) | reader.beside
    if whole and reader.event_count is not None:
        missing = reader.event_count - events - refused.total()
        if lost := lost_to_damage(missing, notes):
            refused[IN_DAMAGED_PARTS] = lost
        elif missing:
            notes[NOT_AS_DECLARED] = abs(missing)
    wrong = refused or any(notes[kind] for kind in MISTAKES)
    return Quality(
        verdict="damaged" if DAMAGED_PLACES in notes else "flawed" if wrong else "good",
        refused=dict(sorted(refused.items())),
        notes=dict(sorted(notes.items())),
    )

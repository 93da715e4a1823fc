"""What may be found in recordings and in what cameras send: every kind of it by its one name.

Events that are left out are counted in ``refused``, by reason. All else is counted in ``notes``,
by kind, and is no loss of events. Some kinds of notes are mistakes (`MISTAKES`); others are what a
good recording may hold. What one kind counts it counts in every format and in every live source.
"""

from collections.abc import Mapping

__all__ = [
    "APS_WORDS",
    "BACK",
    "DAMAGED_BYTES",
    "DAMAGED_PLACES",
    "EXPOSURE_EVENTS",
    "FRAMES",
    "GAPS",
    "HANDED_OVER_LATE",
    "HIGHEST_FILL",
    "IMPOSSIBLE_TIME",
    "IMU_SAMPLES",
    "IMU_WORDS",
    "INVALID_EVENTS",
    "IN_DAMAGED_PARTS",
    "LOST_MESSAGES",
    "MISTAKES",
    "NOT_AS_DECLARED",
    "NOT_CLOSED",
    "OTHER_EVENTS",
    "OTHER_SOURCES",
    "OTHER_STREAMS",
    "OTHER_WORDS",
    "OUTSIDE",
    "OVERFLOW_WORDS",
    "RESET_BYTES",
    "SPECIAL_EVENTS",
    "TRIGGERS",
    "TRIGGER_WORDS",
    "UNKNOWN_POLARITY",
    "UNKNOWN_WORDS",
    "UNREAD_STREAMS",
    "lost_to_damage",
]

# Reasons, and kinds where the policy is that the event stays or that it ends the run.

OUTSIDE = "outside the sensor"
"""Events with coordinates outside the sensor; as a note, moved to the nearest pixel."""
BACK = "going back in time"
"""Events earlier than one before them; as a note, clamped or kept."""
UNKNOWN_POLARITY = "of unknown polarity"
"""Events whose polarity is neither 0 nor 1."""

# Reasons only.

IMPOSSIBLE_TIME = "of impossible time"
"""Events whose time is beyond ±2⁶² µs, or that stand before the file's first word of time."""
IN_DAMAGED_PARTS = "in damaged parts"
"""Events that the file says it holds, and that are lost to damage."""

# Kinds that are mistakes.

DAMAGED_PLACES = "damaged places"
"""How often a part was left out because it cannot be read, a truncated end too; of live sources
malformed datagrams, and packets that are damaged or cut off where a connection ended."""
DAMAGED_BYTES = "damaged bytes"
"""How many bytes were left out with them, as far as that can be told."""
UNKNOWN_WORDS = "unknown words"
"""Words, lines or messages that mean nothing in the format, skipped."""
LOST_MESSAGES = "lost messages"
"""Messages of a bag that the camera numbered and that are not there."""
NOT_CLOSED = "not closed"
"""1 if the recording was not ended properly."""
NOT_AS_DECLARED = "events other than declared"
"""By how many the events differ from what the file says it holds."""

# Kinds that are not.

GAPS = "gaps"
"""Silences longer than ``gap_us``."""
HANDED_OVER_LATE = "handed over late"
"""Live: events that came behind the time that had been passed on without them; they keep theirs."""
HIGHEST_FILL = "waiting in the ring at most"
"""Live: the most events that ever waited for the pipeline at a time."""
TRIGGER_WORDS = "trigger words"
"""Prophesee: signals at the camera's trigger input."""
OTHER_WORDS = "other words"
"""Prophesee: words that are known and of no use here, such as those of the camera's monitoring."""
SPECIAL_EVENTS = "special events"
"""AEDAT 1.0 to 3.1: triggers, resets of the clock and the like."""
APS_WORDS = "APS words"
"""AEDAT 2.0: words with a pixel of a frame."""
IMU_WORDS = "IMU words"
"""AEDAT 2.0: words with one of the seven values of an IMU's sample."""
IMU_SAMPLES = "IMU samples"
"""AEDAT 3.1 and AEDAT4: whole samples of the IMU."""
FRAMES = "frames"
"""AEDAT 3.1 and AEDAT4: frames."""
TRIGGERS = "triggers"
"""AEDAT4: signals at the camera's inputs, beginnings of exposures and the like."""
UNREAD_STREAMS = "streams left unread"
"""AEDAT4: streams of no events, where the file does not say how much is in them, or of what."""
INVALID_EVENTS = "invalid events"
"""AEDAT 3.1: events that the recorder's filters took out."""
OTHER_EVENTS = "other events"
"""AEDAT 3.1: events of other types."""
OTHER_SOURCES = "events of other sources"
"""AEDAT 3.1: events of cameras that were not asked for."""
OTHER_STREAMS = "other streams"
"""Streams of events, such as of a second camera, that were not asked for."""
EXPOSURE_EVENTS = "exposure events"
"""Event Stream: an ATIS' measurements of light."""
RESET_BYTES = "reset bytes"
"""Event Stream: resets, which mean nothing in a file."""
OVERFLOW_WORDS = "overflow words"
"""N-MNIST: words that carry time only."""

MISTAKES = frozenset(
    {
        OUTSIDE,
        BACK,
        UNKNOWN_POLARITY,
        DAMAGED_PLACES,
        DAMAGED_BYTES,
        UNKNOWN_WORDS,
        LOST_MESSAGES,
        NOT_CLOSED,
        NOT_AS_DECLARED,
    }
)
"""Kinds of notes that make a recording flawed."""


def lost_to_damage(missing: int, notes: Mapping[str, int]) -> int:
    """Return how many of the events that a file declares and that are missing, damage explains."""
    return missing if missing > 0 and DAMAGED_PLACES in notes else 0

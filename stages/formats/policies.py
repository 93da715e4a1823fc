"""What a reader does about each kind of mistake in a recording."""

from typing import Literal

from pydantic import Field

from pipeline.stage import StageConfig

__all__ = ["LENIENT", "Policies"]


class Policies(StageConfig):
    """One policy a violation; whatever is not raised is counted and reported."""

    on_damage: Literal["raise", "drop"] = "raise"
    """At damage or a truncated end: ``raise`` ends the run when all before it was worked on,
    ``drop`` leaves the damaged part out and goes on."""
    on_time_back: Literal["clamp", "drop", "keep", "raise"] = "clamp"
    """At an event earlier than one before it: ``clamp`` gives it that one's time, as long as the
    step is below a second (a longer one is a clock that was reset, and ends the run); ``drop``
    leaves it out; ``keep`` passes it on as it is, and bins may then find it late."""
    on_gap: Literal["keep", "raise"] = "keep"
    """At an event more than ``gap_us`` behind the one before it: ``keep`` only counts the gap. No
    policy leaves the event out: whether it is a glitch of the clock shows only behind it."""
    gap_us: int = Field(1_000_000, gt=0)
    """Longest silence that is not counted as a gap, in µs."""
    on_outside: Literal["drop", "clamp", "raise"] = "drop"
    """At coordinates outside the sensor: ``clamp`` moves the event to the nearest pixel."""
    on_unknown: Literal["drop", "raise"] = "drop"
    """At words that the format does not know, and at polarities other than 0 and 1."""


LENIENT = Policies(on_damage="drop", on_time_back="keep")
"""Reads all that can be read, as it is."""

"""Overload: the ladder of what is given up, and when a step of it is taken or left.

The ``[overload]`` table sets a limit to how far any stage may be behind events, which come live or
at a pace. While one is further behind, the run goes up the ladder, by as many steps as it is times
the limit behind, and each step stays in force with those above it:

    1 to 3   of the events that leave the sources one in 2, 4, 8 stays
    4 and 5  windows of counts that wait are merged, up to 2, 4 into one
    6        windows are dropped, the oldest first; of events that wait the fewer stay the more wait

When the worst stage has been below half of the limit for a while, and hardly anything was given up
meanwhile because something waited, it goes down again, step by step. A step that was left too early
is taken again, and then kept twice as long: where the load stays the run comes to rest on a step,
and where it does not it comes back.
"""

import msgspec

from pipeline.ports import EventsPort, FramesPort, Port
from pipeline.queue.backlog import Policy

__all__ = ["HIGHEST", "IN_FLIGHT", "Ladder", "Overload", "may_shed", "policy_at", "step_name"]

HIGHEST = 6
IN_FLIGHT = 2
"""Messages that a receiver may have at once where its queue may shed: one that it works on and one
that it finds when it has done so. All others wait where they can still be shed."""
_FIRST_MERGE, _DROP = 4, 6
_HOLD_S = 0.5
_LONGEST_HOLD_S = 10.0
_PRESSURE = 1 / 8
"""Share that may be given up because something waited, as it does now and then on any machine."""


class Overload(msgspec.Struct, frozen=True):
    """What overload did to a run."""

    highest: int = 0
    """The highest step that was taken."""
    risen: int = 0
    """How often it went up."""
    shed_s: float = 0.0
    """Time on any step."""
    recovered: bool = True
    """At the end none was in force."""


def may_shed(port: Port | None, from_source: bool) -> bool:
    """Return whether the ladder sheds from a queue that carries what ``port`` says."""
    return isinstance(port, FramesPort) or (from_source and isinstance(port, EventsPort))


def policy_at(level: int, own: Policy, port: Port | None) -> Policy:
    """Return what a queue that may shed does on a step of the ladder.

    Args:
        level: the step, 0 for none.
        own: what it does anyway.
        port: what it carries.
    """
    if not level:
        return own
    drop, when_full, room = level >= _DROP and own.when_full == "block", own.when_full, own.room
    if isinstance(port, EventsPort):
        # Never whole messages: windows without events would follow, which nobody saw.
        when_full = "thin" if drop else when_full
        return Policy(when_full, own.every * 2 ** min(level, _FIRST_MERGE - 1), 1, room)
    if drop:
        when_full, room = "drop_oldest", 1
    merge = 2 ** min(level - _FIRST_MERGE + 1, 2) if level >= _FIRST_MERGE else 1
    return Policy(when_full, own.every, merge, room)


def step_name(level: int) -> str:
    """Return what a step does, in words."""
    if level >= _DROP:
        return "windows are dropped"
    if level >= _FIRST_MERGE:
        return f"windows that wait are merged, up to {2 ** (level - _FIRST_MERGE + 1)} into one"
    return f"one event in {2**level} stays" if level else "nothing is shed"


class Ladder:
    """Decides on which step a run is.

    Args:
        latency_ms: how far behind a stage may be.
        now_s: the time.

    Attributes:
        level: the step that is in force, 0 for none.
        remark: what a person should know of the last step, "" for nothing: where it began, each
            time that it got worse, and where it was over.
    """

    def __init__(self, latency_ms: float, now_s: float) -> None:
        self._limit_s = latency_ms / 1000
        self.level = 0
        self._changed_s = self._heard_s = now_s
        self._calm_since_s: float | None = None
        self._hold_s = _HOLD_S
        self._left: int | None = None
        """The step that was left last."""
        self._highest = self._risen = 0
        self._shed_s = 0.0
        self._worst_s: dict[str, float] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._counts_then = self._counts
        """As of when all began to be well."""
        self.remark = ""
        self._told = 0
        """The highest level since it began."""

    def begin_anew(self, now_s: float) -> None:
        """All workers are new: they begin with nothing shed."""
        self._count(now_s)
        self.level, self._changed_s, self._calm_since_s = 0, now_s, None
        self._worst_s, self._counts = {}, {}

    def hear(self, stage: str, lag_s: float, offered: int, pressed: int) -> None:
        """Take note of what a stage says.

        Args:
            stage: its name.
            lag_s: how far it was behind at worst since it last said so.
            offered: units that it was to put into queues which the ladder steers, in all.
            pressed: what it gave up of them because something waited before its queues, in all.
        """
        self._worst_s[stage] = lag_s
        self._counts[stage] = offered, pressed

    def step(self, now_s: float) -> bool:
        """Take or leave a step if it is time to; return whether one was."""
        self._count(now_s)
        worst_s, before = max(self._worst_s.values(), default=0.0), self.level
        if worst_s > self._limit_s / 2:
            self._calm_since_s = None
        elif self._calm_since_s is None or (
            now_s - self._calm_since_s >= self._hold_s and self._pressure() > _PRESSURE
        ):
            self._calm_since_s, self._counts_then = now_s, dict(self._counts)
        # A step needs the time of the limit to show what it does.
        settled = now_s - self._changed_s >= self._limit_s
        if worst_s > self._limit_s and settled and self.level < HIGHEST:
            self.level = min(self.level + int(worst_s / self._limit_s), HIGHEST)
            self._risen += 1
            self._highest = max(self._highest, self.level)
            if self._left is not None and self.level >= self._left:
                self._hold_s, self._left = min(2 * self._hold_s, _LONGEST_HOLD_S), None
        elif (
            self.level
            and self._calm_since_s is not None
            and now_s - max(self._calm_since_s, self._changed_s) >= self._hold_s
        ):
            if self._left is not None:  # that was not too early
                self._hold_s = max(self._hold_s / 2, _HOLD_S)
            self._left, self.level = self.level, self.level - 1
            self._calm_since_s, self._counts_then = now_s, dict(self._counts)
        elif not self.level and now_s - self._changed_s > _LONGEST_HOLD_S:
            self._hold_s, self._left = _HOLD_S, None
        if self.level == before:
            return False
        self._changed_s = now_s
        self.remark = self._remark(worst_s)
        return True

    def _pressure(self) -> float:
        """Return the largest share of what a stage put out that was given up since all is well."""
        shares = [0.0]
        for stage, (offered, pressed) in self._counts.items():
            offered_then, pressed_then = self._counts_then.get(stage, (0, 0))
            if offered > offered_then:
                shares.append((pressed - pressed_then) / (offered - offered_then))
        return max(shares)

    def _remark(self, worst_s: float) -> str:
        told, self._told = self._told, max(self._told, self.level) if self.level else 0
        if not self.level:
            return "overload: over, nothing is shed any more"
        if self.level <= told:
            return ""
        return (
            f"overload: {worst_s * 1000:.0f} ms behind (overload.latency_ms ="
            f" {self._limit_s * 1000:g}); {step_name(self.level)}"
        )

    def result(self) -> Overload:
        """Return what it came to."""
        return Overload(self._highest, self._risen, round(self._shed_s, 3), not self.level)

    def _count(self, now_s: float) -> None:
        if self.level:
            self._shed_s += now_s - self._heard_s
        self._heard_s = now_s

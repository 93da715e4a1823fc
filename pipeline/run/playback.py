"""How a source plays: held to the clock, paused, stepped and stopped from outside.

`Playback` is what others tell the source's thread; `Pacer` holds its messages back until their
event time is due.
"""

import threading

import msgspec

from pipeline.clock import now_ns
from pipeline.messages import Clock, Message, Retime, Start, control
from pipeline.report import Pace

__all__ = ["Pacer", "Playback"]


class Playback:
    """Pause, step, resume and stop; told by one thread, obeyed by the source's."""

    def __init__(self) -> None:
        """Begin playing."""
        self._changed = threading.Condition()
        self._paused = False
        self._steps = 0
        self._stopped = False
        self._asked: int | None = None
        self.oldest = 0
        """The oldest checkpoint that is kept."""
        self._forgets = 0
        self._speed: float | None = None

    @property
    def stopped(self) -> bool:
        """Whether the source is to end its stream."""
        return self._stopped

    def pause(self) -> None:
        """Let nothing more leave, as soon as the turn under way has left."""
        with self._changed:
            self._paused = True
            self._changed.notify_all()

    def step(self, turns: int = 1) -> None:
        """Pause, and let ``turns`` further turns of the source leave."""
        with self._changed:
            self._paused = True
            self._steps += turns
            self._changed.notify_all()

    def resume(self) -> None:
        """Play on."""
        with self._changed:
            self._paused, self._steps = False, 0
            self._changed.notify_all()

    def stop(self) -> None:
        """End the stream; also what is paused ends."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def play_at(self, speed: float) -> None:
        """Play so many times faster than recorded from now on, where the source is paced."""
        with self._changed:
            self._speed = speed
            self._changed.notify_all()

    def speed(self) -> float | None:
        """Return the speed that was asked for since the last call, None if none was."""
        speed, self._speed = self._speed, None
        return speed

    def forget(self) -> None:
        """Let a Reset leave, between two turns of the source."""
        self._forgets += 1

    def forgets(self) -> bool:
        """Return whether a Reset is to leave; it has then."""
        wanted, self._forgets = self._forgets > 0, 0
        return wanted

    def checkpoint(self, number: int, oldest: int = 0) -> None:
        """Ask for the barrier of a checkpoint, between two turns of the source."""
        self.oldest = oldest
        self._asked = number

    def asked(self) -> int | None:
        """Return the checkpoint that was asked for since the last call, None if none was."""
        number = self._asked
        if number is not None:  # asked for meanwhile, it is found the next time
            self._asked = None
        return number

    def gate(self) -> bool:
        """Wait while paused, using up a step if there is one; return whether it was paused."""
        with self._changed:
            held = self._paused
            self._changed.wait_for(lambda: self._stopped or not self._paused or self._steps > 0)
            if self._paused and self._steps:
                self._steps -= 1
            return held

    def wait(self, seconds: float) -> bool:
        """Wait; return early, and True, when it is paused or stopped, or its speed changed."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._stopped or self._paused or self._speed is not None, seconds
            )


class Pacer:
    """Holds messages back until their event time is due on the wall clock."""

    def __init__(self, speed: float, playback: Playback) -> None:
        """``speed`` is how many times faster than recorded; 0 holds nothing back."""
        self._speed = speed
        self._playback = playback
        self._clock: Clock | None = None
        self._event_us = 0
        self._wall_ns = 0
        self._late_ns = 0
        self._last_us = 0
        self._last_ns = 0
        self._goes_on = False

    @property
    def speed(self) -> float:
        """How many times faster than recorded it plays now; 0 holds nothing back."""
        return self._speed

    def go_on(self) -> None:
        """Let the clock of a recording that is under way run on from the next turn that is due."""
        self._goes_on = self._speed > 0

    def anchor(self, start: Message) -> Message:
        """Let the recording's clock run from now on; return its Start with the clock in it."""
        header = start.header
        self._clock, self._goes_on = None, False
        if self._speed > 0 and isinstance(header, Start) and header.t_first_us is not None:
            self._set(header.t_first_us)
            header = msgspec.structs.replace(header, clock=self._clock)
        return Message(header, start.array)

    def wait(self, due_us: int | None, wait_s: float) -> tuple[bool, bool]:
        """Wait until due; return whether to go on, and whether the clock was set anew.

        A turn that was held by a pause is due when the pause ends, and the clock runs from there.
        """
        held = self._playback.gate()
        if held and self._playback.stopped:
            return False, False
        if self._goes_on and due_us is not None:
            self._goes_on, held = False, True
            self._set(due_us)
        clock = self._clock
        if clock is None or due_us is None:
            if wait_s > 0 and self._playback.wait(wait_s):
                self._playback.gate()
                return not self._playback.stopped, False
            return True, False
        held = self._change_speed() or held
        while not (held or self._playback.stopped):
            ahead_ns = clock.due_ns(due_us) - now_ns()
            if ahead_ns <= 0 or not self._playback.wait(min(ahead_ns / 1e9, threading.TIMEOUT_MAX)):
                break
            held = self._playback.gate()
            held = self._change_speed() or held
        if self._playback.stopped:
            return False, False
        if held:
            self._set(due_us)
            return True, True
        now = now_ns()
        self._event_us += due_us - self._last_us
        self._wall_ns += now - self._last_ns
        self._late_ns = max(self._late_ns, now - clock.due_ns(due_us))
        self._last_us, self._last_ns = due_us, now
        return True, False

    def ahead_s(self, due_us: int | None, wait_s: float) -> float:
        """Return for how long `wait` will wait, but for a pause."""
        if self._clock is None or due_us is None:
            return wait_s
        return max(0.0, (self._clock.due_ns(due_us) - now_ns()) / 1e9)

    def _change_speed(self) -> bool:
        """Take another speed, if one was asked for; return whether the clock runs anew."""
        if (speed := self._playback.speed()) is None:
            return False
        if speed != self._speed:
            self._event_us = self._wall_ns = self._late_ns = 0
        self._speed = speed
        return True

    def retime(self, recording: Message) -> Message:
        """Return the message that tells the stages of an open recording its new clock."""
        header = recording.header
        return control(Retime(stream=header.stream, epoch=header.epoch, clock=self._clock))

    def report(self) -> Pace | None:
        """Return how the clock was kept at the speed of last; time under a pause does not count."""
        if self._speed <= 0:
            return None
        return Pace(
            speed=self._speed,
            event_s=self._event_us / 1e6,
            wall_s=self._wall_ns / 1e9,
            late_max_ms=self._late_ns / 1e6,
        )

    def _set(self, t_us: int) -> None:
        self._clock = Clock(t_us, now_ns(), self._speed)
        self._last_us, self._last_ns = self._clock.t_us, self._clock.at_ns

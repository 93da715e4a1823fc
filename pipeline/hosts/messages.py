"""What the supervisor of a run and the agents on other hosts say to each other.

agent → supervisor   Joined until it is answered; then Said and Death of its workers, Alas when it
                     cannot go on with them, Left when it ends
supervisor → agent   Welcome or Refused; then Launch, Tell and Kill; Over; Forgotten to one that was
                     given up and does not know it

Both say Beat all the time. Joined, its answers, Forgotten and Beat may be lost; all others arrive
once and in order (`pipeline.hosts.conversation`).
"""

from typing import Any, TypeAlias

import msgspec

from pipeline.messages import MAX_BUFFER_BYTES

__all__ = [
    "BEAT_S",
    "LONGEST_BYTES",
    "Alas",
    "Beat",
    "Death",
    "Forgotten",
    "FromAgent",
    "Joined",
    "Kill",
    "Launch",
    "Left",
    "Over",
    "Refused",
    "Said",
    "Tell",
    "ToAgent",
    "Welcome",
]

BEAT_S = 0.25
"""How often both sides say that they are there."""
LONGEST_BYTES = MAX_BUFFER_BYTES
"""Of one message; the longest are checkpoints."""


class Joined(msgspec.Struct, frozen=True, tag="joined"):
    """An agent is there for the stages of one host."""

    host: str
    version: str
    tables: dict[str, Any]
    """What the run is known by there; see `pipeline.checkpoint.fingerprint`."""


class Said(msgspec.Struct, frozen=True, tag="said"):
    """A worker there has said something to the supervisor."""

    generation: int
    group: str
    body: bytes


class Death(msgspec.Struct, frozen=True, tag="death"):
    """A worker there has ended."""

    generation: int
    group: str
    code: int


class Alas(msgspec.Struct, frozen=True, tag="alas"):
    """The agent itself cannot go on with this generation."""

    generation: int
    text: str


class Left(msgspec.Struct, frozen=True, tag="left"):
    """The agent ends, and its workers with it."""

    why: str


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """The other side is there."""

    sent_ns: int
    """By its monotonic clock."""
    have: int
    """How many words of this conversation it has heard."""
    echo_ns: int = 0
    """Of the beat that it answers, 0 if it answers none."""


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """The agent has joined."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The agent may not join."""

    why: str
    ask_again: bool = False
    """Whether that may change by itself."""


class Forgotten(msgspec.Struct, frozen=True, tag="forgotten"):
    """The agent was given up, or never known: it has to join again."""


class Launch(msgspec.Struct, frozen=True, tag="launch"):
    """Fork the workers of this host."""

    generation: int
    plan: bytes
    checkpoint: bytes | None
    offset_ns: int
    """How far the run's clock is ahead of the host's."""
    groups: tuple[str, ...]
    """Those of this host; others of it may have moved there."""


class Tell(msgspec.Struct, frozen=True, tag="tell"):
    """Pass this on to a worker."""

    generation: int
    group: str
    body: bytes


class Kill(msgspec.Struct, frozen=True, tag="kill"):
    """Kill all workers that are left."""


class Over(msgspec.Struct, frozen=True, tag="over"):
    """The run has ended."""

    failure: str = ""
    """Why, if it failed."""


FromAgent: TypeAlias = Joined | Said | Death | Alas | Left | Beat
ToAgent: TypeAlias = Welcome | Refused | Forgotten | Launch | Tell | Kill | Over | Beat

"""The errors raised for a wrong request to `models`, and where processes train together."""

import re

__all__ = ["EchoError", "ModelError", "PeerError"]


class ModelError(Exception):
    """A model, card, weights file or recipe that cannot be used as asked.

    The message is one line: the rule, the value received, the remedy.

    Attributes:
        exit_code: What a command-line program exits with (2: the request was wrong).
    """

    exit_code = 2


class EchoError(ModelError):
    """The error of the first of several processes, met by another: not to be told twice."""


class PeerError(ModelError):
    """A process or host that trains together with others failed, or cannot be reached."""

    exit_code = 1

    @classmethod
    def lost(cls, rank: int, error: BaseException) -> "PeerError":
        """Return the error of a process whose peers are gone.

        Args:
            rank: Whose error it is.
            error: What torch said.
        """
        # Such as "[file:line] Connection closed by peer [address]:port. This is typically ..."
        said = re.sub(r"^\[\S+\] ", "", str(error)).partition("\n")[0].partition(". ")[0]
        return cls(
            f"training process {rank} lost its connection to another one ({said}); look there for "
            "the reason; the same command goes on from the last save"
        )

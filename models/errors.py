"""The error raised for a wrong request to `models`."""

__all__ = ["ModelError"]


class ModelError(Exception):
    """A model, card, weights file or recipe that cannot be used as asked.

    The message is one line: the rule, the value received, the remedy.

    Attributes:
        exit_code: What a command-line program exits with (2: the request was wrong).
    """

    exit_code = 2

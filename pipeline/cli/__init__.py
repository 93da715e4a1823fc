"""The command line: one file a command, each importing what it needs when it is called.

This file imports next to nothing, so that Ctrl-C ends the program quietly from its first moment on.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; Ctrl-C ends it with exit code 130, while it is still loading too."""
    try:
        from pipeline.cli.commands import call

        call()
    except KeyboardInterrupt:
        sys.exit(130)

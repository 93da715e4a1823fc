"""The command line, called within the test's own process."""

import sys
from typing import NamedTuple

import pytest

from pipeline.cli import main

__all__ = ["CommandLine", "Ended"]


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class CommandLine:
    """Calls ``pipeline`` with arguments, as a shell would."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: object, terminal_columns: int | None = None) -> Ended:
        """Call a command; its output goes to a terminal where columns are given, else to a file."""
        self._monkeypatch.setattr(sys, "argv", ["pipeline", *map(str, arguments)])
        self._monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "__all__")
        self._monkeypatch.setenv("COLUMNS", str(terminal_columns or 120))
        self._monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal_columns is not None)
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = self._capsys.readouterr()
        return Ended(caught.value.code or 0, out, err)

"""Makes the pictures of the dashboard: of a real terminal, while the run goes on and after its end.

``python docs/pictures.py [FOLDER]`` plays the embedded recording in real time in tmux, in a
terminal of 80×24 and one of 160×50, and draws what these show. Each takes about a minute.
``--light``, ``--no-color`` and ``--size 60x16`` are for looking at other terminals.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text
from terminal_svg import terminal_svg

__all__ = ["Tmux", "main"]

REPOSITORY = Path(__file__).resolve().parents[1]
_SIZES = {"": (80, 24), "-large": (160, 50)}
_SHOWN = "· 0:22 "
"""The moment of the run that is drawn: some gestures are over by then."""
_PROMPT = "$ "
_PATIENCE_S = 180.0
_LOOK_S = 0.1


class Tmux:
    """A terminal of its own server, with a shell in it; use it in a ``with``."""

    def __init__(self, columns: int, rows: int, environment: Mapping[str, str]) -> None:
        self._name = f"pictures-{os.getpid()}"
        self._size = ("-x", str(columns), "-y", str(rows))
        told = {"PS1": _PROMPT, "COLORTERM": "truecolor", **environment}
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
        settings = [f"{key}={value}" for key, value in {**told, "PATH": path}.items()]
        self._shell = ["env", *settings, "bash", "--norc", "--noprofile"]

    def __enter__(self) -> "Tmux":
        self._tmux("-f", "/dev/null", "new-session", "-d", *self._size, *self._shell)
        self._tmux("set", "-g", "status", "off")
        self._tmux("resize-window", *self._size)
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")

    def type(self, line: str) -> None:
        """Type a line and press enter."""
        self._tmux("send-keys", line, "Enter")

    def until(self, pattern: str) -> list[Text]:
        """Return the lines of the screen once a pattern is in them."""
        until_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until_s:
            # All in one: a colour may go on from line to line.
            lines = [*AnsiDecoder().decode(self._tmux("capture-pane", "-e", "-N", "-p"))]
            text = "\n".join(line.plain.rstrip() for line in lines).rstrip("\n")
            if re.search(pattern, text):
                return lines
            time.sleep(_LOOK_S)
        raise SystemExit(f"{pattern} was not shown in {_PATIENCE_S:g} s; there is\n{text}")

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._name, *arguments]
        done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
        return done.stdout


def _draw(lines: list[Text], size: tuple[int, int], theme: TerminalTheme, path: Path) -> None:
    columns, rows = size
    lines += [Text()] * (rows - len(lines))
    path.write_text(terminal_svg(lines, columns, theme), encoding="utf-8")
    print(path)


def _pictures(
    name: str, size: tuple[int, int], colour: bool, theme: TerminalTheme, folder: Path
) -> None:
    """Draw a run as it goes on and after its end, in a terminal of a size."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        Tmux(*size, {} if colour else {"NO_COLOR": "1"}) as terminal,
    ):
        sinks = f"--set file.path={scratch}/predictions.jsonl"
        terminal.type(f"clear; pipeline run --dashboard --set camera.speed=1 {sinks}")
        _draw(terminal.until(re.escape(_SHOWN)), size, theme, folder / f"dashboard{name}.svg")
        lines = terminal.until(rf"latency(?s:.*)\n{re.escape(_PROMPT.strip())}$")
        _draw(lines, size, theme, folder / f"dashboard-end{name}.svg")


def main() -> None:
    """Make the pictures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=REPOSITORY / "docs" / "images")
    parser.add_argument("--size", help="of one terminal, such as 60x16, instead of the usual two")
    parser.add_argument("--light", action="store_true", help="a light terminal")
    parser.add_argument("--no-color", action="store_true", help="a terminal without colour")
    asked = parser.parse_args()
    sizes = _SIZES
    if asked.size:
        columns, rows = map(int, asked.size.split("x"))
        sizes = {f"-{asked.size}": (columns, rows)}
    theme = DEFAULT_TERMINAL_THEME if asked.light else SVG_EXPORT_THEME
    for name, size in sizes.items():
        _pictures(name, size, not asked.no_color, theme, asked.folder)


if __name__ == "__main__":
    main()

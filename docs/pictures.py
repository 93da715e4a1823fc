"""Makes the pictures of what a person sees: of a real terminal, and of a real browser.

``python docs/pictures.py [FOLDER]`` plays the embedded recording in real time in tmux, in a
terminal of 80×24 and one of 160×50, and draws what these show, while the run goes on and after its
end. Each takes about a minute. ``--light``, ``--no-color`` and ``--size 60x16`` are for looking at
other terminals.

``--view`` makes the pictures of the page that ``pipeline view`` serves instead, and ``--report
FILE`` that of a report that ``pipeline evaluate`` has written; both need Chromium.
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

from PIL import Image
from rich.ansi import AnsiDecoder
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text
from terminal_svg import terminal_svg

__all__ = ["Tmux", "main"]

REPOSITORY = Path(__file__).resolve().parents[1]
_SIZES = {"": (80, 24), "-large": (160, 50)}
_SHOWN = "· 0:22 "
"""The moment of the run that is drawn: some gestures are over by then."""
_RUN = "gestures-shown"
_VIEW_PX = (1040, 1250)
_REPORT_PX = (1120, 1215)
_LOADED_MS = 5000
"""How long a page may load, ask and draw before it is taken."""
_COLOURS = 128
_PLAYED_S = 14
"""What of the run has been played when its page is taken."""
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


def _page(url: str, size: tuple[int, int], path: Path, dark: bool = False) -> None:
    """Draw a page as a browser shows it."""
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--blink-settings=preferredColorScheme=0"] if dark else []
    command += [f"--window-size={size[0]},{size[1]}", f"--virtual-time-budget={_LOADED_MS}"]
    subprocess.run([*command, f"--screenshot={path}", url], check=True, capture_output=True)
    with Image.open(path) as picture:
        fewer = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    fewer.save(path, optimize=True)
    print(path)


def _view(folder: Path) -> None:
    """Draw the page of a run that goes on, light and dark."""
    pipeline = Path(sys.executable).parent / "pipeline"
    with tempfile.TemporaryDirectory() as scratch:
        sets = ["camera.speed=1", f"file.path={scratch}/predictions.jsonl", f"run.name={_RUN}"]
        run = [pipeline, "run", "--quiet", *(word for each in sets for word in ("--set", each))]
        printed = {"stdout": subprocess.DEVNULL, "cwd": REPOSITORY}
        with subprocess.Popen(run, **printed) as playing:
            time.sleep(_PLAYED_S)
            view = [pipeline, "view", _RUN]
            with subprocess.Popen(view, stdout=subprocess.PIPE, text=True) as serving:
                assert serving.stdout is not None
                url = serving.stdout.readline().strip()
                for name, dark in (("view", False), ("view-dark", True)):
                    _page(url, _VIEW_PX, folder / f"{name}.png", dark)
                serving.terminate()
            playing.terminate()


def main() -> None:
    """Make the pictures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=REPOSITORY / "docs" / "images")
    parser.add_argument("--size", help="of one terminal, such as 60x16, instead of the usual two")
    parser.add_argument("--light", action="store_true", help="a light terminal")
    parser.add_argument("--no-color", action="store_true", help="a terminal without colour")
    parser.add_argument("--view", action="store_true", help="the page of `pipeline view`")
    parser.add_argument("--report", type=Path, help="a report.html of `pipeline evaluate`")
    asked = parser.parse_args()
    if asked.view:
        _view(asked.folder)
    if asked.report:
        _page(asked.report.resolve().as_uri(), _REPORT_PX, asked.folder / "report.png")
    if asked.view or asked.report:
        return
    sizes = _SIZES
    if asked.size:
        columns, rows = map(int, asked.size.split("x"))
        sizes = {f"-{asked.size}": (columns, rows)}
    theme = DEFAULT_TERMINAL_THEME if asked.light else SVG_EXPORT_THEME
    for name, size in sizes.items():
        _pictures(name, size, not asked.no_color, theme, asked.folder)


if __name__ == "__main__":
    main()

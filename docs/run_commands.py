"""Runs the commands that the documentation shows, in a clone of this repository.

``python docs/run_commands.py [PAGE...]`` takes the shell blocks of the pages named, or of all, and
runs them one after another, each page in a new clone of what is committed. ``--fresh`` lets each
clone make its environment by itself, as a reader does; else it borrows this one's. ``--long`` runs
also what takes many minutes, ``--list`` only says what would be done.

Comments in front of a block, which readers do not see, say what is special about it:

    <!-- not run: WHY -->      it needs a device, another host, a file that cannot be shipped
    <!-- long: WHAT -->        it takes many minutes
    <!-- first: COMMAND -->    what makes the files that the reader would have
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Block", "blocks_of", "main", "pages"]

REPOSITORY = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(
    r"(?P<marks>(?:^<!-- (?:not run|long|first): .*? -->\n)*)\n?"
    r"^```(?:sh|bash)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"<!-- (not run|long|first): (.*?) -->")
_LONGEST_S = 900
_LONGEST_LONG_S = 7200


class Block(NamedTuple):
    """The commands of one block."""

    page: str
    line: int
    code: str
    first: tuple[str, ...]
    """Commands that make what it needs."""
    not_run: str
    """Why it cannot be run; empty if it can."""
    long: str
    """What takes so long; empty if it does not."""

    def __str__(self) -> str:
        head, *rest = self.code.strip().splitlines()
        return f"{self.page}:{self.line}: {head}{' …' if rest else ''}"


def pages() -> list[str]:
    """Return the pages that show commands, tutorials first."""
    found = [path for path in sorted((REPOSITORY / "docs").rglob("*.md")) if blocks_of(path)]
    found.sort(key=lambda path: (not path.name.startswith("tutorial"), str(path)))
    return [str(path.relative_to(REPOSITORY)) for path in found]


def blocks_of(path: Path) -> list[Block]:
    """Return the shell blocks of a page."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(
            page=path.name,
            line=text.count("\n", 0, found.start("code")) + 1,
            code=found["code"],
            first=tuple(what for kind, what in marks if kind == "first"),
            not_run="; ".join(what for kind, what in marks if kind == "not run"),
            long="; ".join(what for kind, what in marks if kind == "long"),
        )
        for found in _BLOCK.finditer(text)
        for marks in [_MARK.findall(found["marks"])]
    ]


def _clone(folder: Path, fresh: bool) -> Path:
    clone = folder / "clone"
    command = ["git", "clone", "--quiet", "--no-hardlinks", str(REPOSITORY), str(clone)]
    subprocess.run(command, check=True)
    if not fresh:
        (clone / ".venv").symlink_to(Path(sys.prefix))
        for name in ("pyproject.toml", "constraints.txt"):
            os.utime(clone / name, (0, 0))  # `make` is not to install into what is borrowed
    return clone


def _run(code: str, clone: Path, longest_s: float) -> tuple[int | None, str]:
    """Run commands as a reader's shell would; return the exit code, None for too long."""
    home = clone.parent / "home"
    home.mkdir(exist_ok=True)
    path = f"{clone / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    left_out = ("VIRTUAL_ENV", "PYTHONPATH", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
    own = {name: value for name, value in os.environ.items() if name not in left_out}
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=clone,
        env=own | {"PATH": path, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=longest_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        out, _ = process.communicate()
        return None, out
    return process.returncode, out


def _follow(page: str, fresh: bool, long: bool) -> Iterator[tuple[Block, str, str]]:
    """Yield of each block what became of it, and what it printed if it failed."""
    with tempfile.TemporaryDirectory(prefix="docs-") as folder:
        clone = _clone(Path(folder), fresh)
        for block in blocks_of(clone / page):
            if block.not_run or (block.long and not long):
                yield block, f"not run: {block.not_run or block.long}", ""
                continue
            since = time.monotonic()
            code = "\n".join([*block.first, block.code])
            ended, out = _run(code, clone, _LONGEST_LONG_S if block.long else _LONGEST_S)
            said = "ok" if ended == 0 else "FAILED"
            yield block, f"{said} after {time.monotonic() - since:.0f} s", "" if ended == 0 else out


def main(arguments: Sequence[str]) -> int:
    """Run the pages; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="such as docs/tutorial.md")
    parser.add_argument("--fresh", action="store_true", help="let each clone make its environment")
    parser.add_argument("--long", action="store_true", help="run what takes many minutes too")
    parser.add_argument("--list", action="store_true", help="run nothing")
    asked = parser.parse_args(arguments)
    counts = {"ok": 0, "not run": 0, "FAILED": 0}
    for page in asked.pages or pages():
        if asked.list:
            for block in blocks_of(REPOSITORY / page):
                print(f"{block}  [{block.not_run or block.long or 'run'}]")
            continue
        for block, said, out in _follow(page, asked.fresh, asked.long):
            counts[next(each for each in counts if said.startswith(each))] += 1
            print(f"{block}  [{said}]\n{out}".rstrip(), flush=True)
    if not asked.list:
        print(", ".join(f"{count} {said}" for said, count in counts.items()))
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

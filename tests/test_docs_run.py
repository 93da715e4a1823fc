"""The commands of the documentation: they are understood, and a script can follow them.

All of them are run by ``python docs/run_commands.py``, which takes long; here each is held to the
command line, and a short page is followed in a clone.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import run_commands
import typer
from run_commands import REPOSITORY, Block, blocks_of, pages

from pipeline.cli.commands import app

TEXTS = ["README.md", *(str(p.relative_to(REPOSITORY)) for p in REPOSITORY.glob("docs/**/*.md"))]
PROGRAM = typer.main.get_command(app)


def commands(code: str) -> Iterator[list[str]]:
    """The calls of ``pipeline`` within shell code."""
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not re.fullmatch(r"[();<>|&]+", word):
                words.append(word)
                continue
            while words and words[0] != "pipeline":
                words.pop(0)
            if words and word.startswith(">"):
                words = [each for each in words if each != "2"]
            if words:
                yield words
            words = []


def parse(words: list[str]) -> None:
    """Parse a call without making it.

    Raises:
        UsageError: there is no such command or option, or something is missing.
    """
    found, rest = PROGRAM, words[1:]
    if rest[0].startswith("--install-completion"):
        return  # of Typer, which would do it at once
    while rest and hasattr(found, "commands"):
        assert rest[0] in found.commands, " ".join(words)
        found, rest = found.commands[rest[0]], rest[1:]
    found.make_context("pipeline", rest)


@pytest.mark.parametrize("page", pages())
def test_commands_are_understood(page: str) -> None:
    for block in blocks_of(REPOSITORY / page):
        for words in (*commands(block.code), *commands("\n".join(block.first))):
            try:
                parse(words)
            except Exception as error:
                raise AssertionError(f"{block}: {' '.join(words)}: {error}") from error


@pytest.mark.parametrize("page", TEXTS)
def test_commands_in_sentences_have_options_that_there_are(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", (REPOSITORY / page).read_text(), flags=re.DOTALL | re.M)
    for said in re.findall(r"`pipeline ([a-z][^`]*)`", text):
        found, words = PROGRAM, said.split()
        while words and hasattr(found, "commands") and words[0] != "…":
            assert words[0] in found.commands, said
            found = found.commands[words.pop(0)]
        known = {"--help", *(name for each in found.params for name in each.opts)}
        options = {word for word in words if word.startswith("-")}
        assert options <= known, said


def test_calls_are_found_in_what_a_shell_reads() -> None:
    code = "if pipeline check --set a.b='c d' >/dev/null; then\n"
    code += "  X=1 pipeline \\\n  run 2>l | jq .\nfi"
    found = [["pipeline", "check", "--set", "a.b=c d"], ["pipeline", "run"]]
    assert [*commands(code)] == found
    with pytest.raises(Exception, match="No such option"):
        parse(["pipeline", "run", "--no-such-option"])


@pytest.mark.parametrize("page", pages())
def test_tests_that_stand_in_for_commands_are_there(page: str) -> None:
    for block in blocks_of(REPOSITORY / page):
        for place in re.findall(r"tests/[\w/.]*\w", block.not_run):
            assert (REPOSITORY / place).exists(), f"{block}: {place}"


def test_marks_are_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\na\n```\n\n<!-- first: b -->\n<!-- long: c -->\n```bash\nd\n```\n"
        "<!-- not run: needs e -->\n\n```sh\nf\ng\n```\n```text\nh\n```\n"
    )
    assert blocks_of(page) == [
        Block("page.md", 2, "a\n", (), "", ""),
        Block("page.md", 8, "d\n", ("b",), "", "c"),
        Block("page.md", 13, "f\ng\n", (), "needs e", ""),
    ]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository of pages."""
    (tmp_path / "docs").mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    (tmp_path / "docs" / "good.md").write_text(
        "<!-- first: echo 1 > a -->\n```sh\ncat a > b\n```\n"
        "```sh\ntest -s b; command -v pipeline\n```\n"
        "<!-- not run: needs a camera -->\n```sh\nfalse\n```\n"
    )
    (tmp_path / "docs" / "bad.md").write_text("```sh\necho seen; false\necho unseen\n```\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "pages"], check=True)
    monkeypatch.setattr(run_commands, "REPOSITORY", tmp_path)
    return tmp_path


def test_a_page_is_followed_and_what_fails_is_shown(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_commands.main(["docs/good.md"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("[")[2].split(" after")[0] for line in lines] == [
        "ok",
        "ok",
        "not run: needs a camera]",
        "",
    ]
    assert lines[-1] == "2 ok, 1 not run, 0 FAILED"
    assert run_commands.main([]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "\nseen\n" in out
    assert "unseen" not in out
    # What they wrote is gone, and nothing of it is here.
    assert sorted(path.name for path in clone.iterdir() if path.name != ".git") == [
        "constraints.txt",
        "docs",
        "pyproject.toml",
    ]

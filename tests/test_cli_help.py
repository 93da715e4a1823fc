"""Help, completion, colour and quiet: what people expect of any command line."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from command_line import CommandLine
from rich.text import Text

from pipeline.cli.commands import app
from pipeline.cli.examples import EXAMPLES
from recordings import some_events, write_recording

REPOSITORY = Path(__file__).parents[1]
PROGRAM = typer.main.get_command(app)


def leaves() -> Iterator[str]:
    for name, command in PROGRAM.commands.items():  # type: ignore[attr-defined]
        yield from (f"{name} {each}" for each in getattr(command, "commands", {}))
        if not hasattr(command, "commands"):
            yield name


def test_every_command_has_an_example() -> None:
    assert set(EXAMPLES) == {*leaves()}


@pytest.mark.parametrize(
    ("command", "line"), [(name, line) for name, lines in EXAMPLES.items() for line in lines]
)
def test_examples_have_options_that_there_are(command: str, line: str) -> None:
    words = [word for word in shlex.split(line) if ">" not in word]
    parts = command.split()
    assert words[: 1 + len(parts)] == ["pipeline", *parts]
    found = PROGRAM
    for part in parts:
        found = found.commands[part]  # type: ignore[attr-defined]
    # Parsed, not called: every argument that is required is there, and every option known.
    found.make_context(command, words[1 + len(parts) :])


def test_help_shows_each_option_as_it_was_written() -> None:
    """What stands in brackets would be taken for markup, and left out."""
    for name in leaves():
        command = PROGRAM
        for part in name.split():
            command = command.commands[part]  # type: ignore[attr-defined]
        texts = [command.help, *(getattr(each, "help", None) for each in command.params)]
        for text in filter(None, texts):
            assert Text.from_markup(text).plain == text, name


def test_help_shows_no_type_of_a_flag(command_line: CommandLine) -> None:
    for command in ("doctor", "models show"):
        out = command_line(*command.split(), "--help").out
        assert "--help" in out
        assert "<bool>" not in out


def test_commands_stand_under_headings(command_line: CommandLine) -> None:
    out = command_line("--help").out
    assert "─ Run and watch ─" in out
    assert "─ Commands ─" not in out, "a command has no heading"


def test_help_ends_with_the_examples(command_line: CommandLine) -> None:
    _, out, _ = command_line("stages", "--help")
    assert "pipeline stages time_bin" in out


@pytest.fixture
def job(tmp_path: Path) -> Path:
    write_recording(tmp_path / "a.aedat4", some_events())
    (tmp_path / "job.toml").write_text(
        '[[stage]]\nname = "camera"\nuse = "replay"\npath = "a.aedat4"\n'
        '[[stage]]\nname = "tape"\nuse = "record"\npath = "b.aedat4"\n'
    )
    return tmp_path / "job.toml"


@pytest.fixture
def completed(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], set[str]]:
    """What bash is answered at the end of a line."""

    def ask(line: str) -> set[str]:
        monkeypatch.setenv("_PIPELINE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        _, out, err = command_line()
        assert err == ""
        return {*out.split("\n")} - {""}

    return ask


def test_stages_and_keys_are_completed(job: Path, completed: Callable[[str], set[str]]) -> None:
    assert completed("pipeline stages time") == {"time_bin", "time_shift"}
    assert completed(f"pipeline run {job} --set camera.sp") == {"camera.speed="}
    assert completed(f"pipeline check {job} --set supervision.si") == {"supervision.silent_s="}
    assert completed(f"pipeline run {job.parent}/missing.toml --set camera.sp") == set()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_what_is_installed_into_bash_answers_it() -> None:
    script = """
    eval "$(_PIPELINE_COMPLETE=source_bash pipeline)"
    COMP_WORDS=(pipeline stages time) COMP_CWORD=2
    _pipeline_completion pipeline
    printf '%s\\n' "${COMPREPLY[@]}"
    complete -p pipeline
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    *stages, installed = done.stdout.split("\n")[:-1]
    assert {*stages} == {"time_bin", "time_shift"}
    # Where nothing of ours fits, names of files are completed.
    assert installed == "complete -o default -F _pipeline_completion pipeline"


@pytest.mark.parametrize(
    ("arguments", "home", "error"),
    [
        (["--version"], ".", "standard output cannot be written: No space left on device"),
        (["schema"], ".", "standard output cannot be written: No space left on device"),
        (
            ["--install-completion", "bash"],
            os.devnull,
            "--install-completion: /dev/null: cannot be written: File exists; put what"
            " --show-completion prints where your shell reads it",
        ),
    ],
)
def test_what_cannot_be_written_is_no_bug(arguments: list[str], home: str, error: str) -> None:
    program = Path(sys.executable).parent / "pipeline"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [program, *arguments],
            env=os.environ | {"HOME": home},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (2, f"error: {error}\n")


def test_colour_can_be_switched_off(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "")
    coloured = command_line("stages", "roi", terminal_columns=100).out
    plain = command_line("--no-color", "stages", "roi", terminal_columns=100).out
    # Bold stays: that is no colour.
    assert "\x1b[36m" in coloured
    assert "\x1b[36m" not in plain


def test_check_says_more_or_less(job: Path, command_line: CommandLine) -> None:
    assert "speed = 0.0" in command_line("check", job, "--verbose").out
    assert command_line("check", job, "--quiet").out == ""
    code, out, err = command_line("check", job, "--quiet", "--set", "camera.speed=-1")
    assert (code, out) == (2, "")
    assert "camera.speed: must be >= 0" in err


@pytest.mark.parametrize("log", ["human", "json"])
def test_a_quiet_run_that_goes_well_says_nothing(job: Path, log: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "run", job, "--quiet", "--log", log],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (job.parent / "b.aedat4").exists()


def test_the_readme_names_every_command() -> None:
    text = (REPOSITORY / "README.md").read_text()
    missing = [name for name in PROGRAM.commands if f"`pipeline {name}" not in text]  # type: ignore[attr-defined]
    assert missing == []


def test_options_that_the_stages_of_one_host_have_no_use_for_are_refused(
    job: Path, command_line: CommandLine
) -> None:
    code, _, err = command_line("run", job, "--only", "roof", "--resume", "--metrics", "0")
    assert code == 2
    assert err == (
        "error: --resume, --metrics: not with --only; give it to the run that is started on the"
        " other host\n"
    )

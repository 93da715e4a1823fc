"""The command line as a user meets it: quiet when stopped, one line for what cannot be done."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import main

REPOSITORY = Path(__file__).parents[1]
RECIPE = REPOSITORY / "models" / "recipes" / "dvs_gesture.toml"

STOPPED = """
import runpy, sys

class Stop:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt  # what Ctrl-C does while this module is being imported

sys.meta_path.insert(0, Stop())
sys.argv = ["pipeline", "check", "pipeline.toml"]
{start}
"""
STARTS = {
    "pipeline": "from pipeline.cli import main; main()",
    "python -m pipeline.cli": "runpy.run_module('pipeline.cli', run_name='__main__')",
}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(
    "module", ["pipeline.cli.commands", "typer", "pydantic", "pipeline.config", "numpy"]
)
def test_ctrl_c_while_loading_is_quiet(module: str, start: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPED.format(module=module, start=STARTS[start])],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_entry_imports_nothing_heavy() -> None:
    """What is imported before `main` runs is not guarded against Ctrl-C."""
    program = "import sys, pipeline.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"typer", "pydantic", "numpy", "rich", "tempfile"}.intersection(done.stdout.split())


def refusal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str]:
    """Run the command line; return its exit code and what it prints to standard error."""
    monkeypatch.setattr(sys, "argv", ["pipeline", *arguments])
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int)
    return caught.value.code, capsys.readouterr().err


def test_a_folder_that_cannot_be_made_for_recordings_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "recordings"
    code, text = refusal(capsys, monkeypatch, "simulate", str(folder))
    assert code == 1
    (line,) = re.findall(r"^error: .*", text, re.MULTILINE)
    assert line.startswith(f"error: {folder}: cannot be written: Not a directory; ")
    assert "bug" not in text


def test_a_folder_that_cannot_be_made_for_weights_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "weights"
    code, text = refusal(capsys, monkeypatch, "train", str(RECIPE), "--out", str(folder / "a.st"))
    assert (code, text) == (
        2,
        f"error: --out: the folder {folder} cannot be made: Not a directory; name another\n",
    )

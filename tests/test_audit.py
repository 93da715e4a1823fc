"""The dependency audit: what it says, and that it fails only over what it knows."""

import json
import stat
import sys
from pathlib import Path

import pytest

from benchmarks import audit


@pytest.mark.parametrize(
    ("answer", "arguments", "code", "lines"),
    [
        ({"name": "numpy", "version": "2.0", "vulns": []}, [], 0, ["0 known vulnerabilities"]),
        (
            {"name": "torch", "version": "2.5", "vulns": [{"id": "X-1", "fix_versions": ["2.6"]}]},
            [],
            1,
            ["torch 2.5: X-1, mended in 2.6", "1 known vulnerabilities"],
        ),
        (None, [], 0, ["NOT DONE: no data base of vulnerabilities can be reached from here"]),
        (
            None,
            ["--must"],
            1,
            ["NOT DONE: no data base of vulnerabilities can be reached from here"],
        ),
    ],
    ids=["nothing", "something", "nobody to ask", "must"],
)
def test_what_is_known_fails_and_what_cannot_be_asked_is_said(
    answer: dict[str, object] | None,
    arguments: list[str],
    code: int,
    lines: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = tmp_path / "python"
    said = "" if answer is None else json.dumps({"dependencies": [answer]})
    program.write_text(f"#!/bin/sh\necho '{said}'\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(sys, "argv", ["audit", *arguments])
    assert audit.main() == code
    assert capsys.readouterr().out.splitlines() == [f"dependency audit: {line}" for line in lines]

"""`pipeline view`: the address on standard output, the page behind it, the end with the run."""

import os
import sys
import urllib.request
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from command_line import CommandLine
from shown_run import ShownRun, status

COMMAND = [sys.executable, "-m", "pipeline.cli", "view"]


@pytest.fixture(autouse=True)
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_it_prints_the_address_of_the_page_and_ends_with_the_run() -> None:
    with ShownRun(status, []) as run:
        command = [*COMMAND, "shown"]
        with Popen(command, stdout=PIPE, stderr=PIPE, text=True, env={**os.environ}) as view:
            assert view.stdout is not None
            assert view.stderr is not None
            url = view.stdout.readline().strip()
            with urllib.request.urlopen(url, timeout=30) as page:
                assert page.read().startswith(b"<!doctype html>")
            run.end()
            assert view.wait(60) == 0
            assert view.stderr.read() == (
                "shown-1234: shown there until it is over, or until Ctrl-C\n"
            )


def test_without_a_run_there_is_nothing_to_view(command_line: CommandLine) -> None:
    ended = command_line("view")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "error: no run is going on; start one with `pipeline run FILE`\n"

"""``pipeline runs``: columns within a terminal, whole lines where a program reads them."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.listing import aligned
from pipeline.observe.manifest import runs_folder

ERROR = "stage 'jsonl': out/a.jsonl: was shortened since the checkpoint, so the run cannot go on"
DEEP = "/home/somebody/experiments/of/this/winter/pipeline.toml"


@pytest.fixture
def two_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    runs_folder().mkdir(parents=True)
    told = {"began": "2026-03-01T10:00:00+00:00", "seconds": 3.25, "file": "p.toml"}
    runs = [
        told | {"run": "a-1", "state": "done"},
        told | {"run": "of-a-longer-name-2", "state": "failed", "file": DEEP, "error": ERROR},
    ]
    for run in runs:
        (runs_folder() / f"{run['run']}.json").write_text(json.dumps(run))


@pytest.mark.usefixtures("two_runs")
def test_in_a_terminal_the_file_is_cut_at_its_beginning_and_errors_go_on_in_lines(
    command_line: CommandLine,
) -> None:
    first, second, *error = command_line("runs", terminal_columns=80).out.splitlines()
    assert first.endswith("  a-1                 done        3.2 s  p.toml")
    assert second.endswith("  of-a-longer-name-2  failed      3.2 s  …inter/pipeline.toml")
    assert len(second) == 80
    assert " ".join(line.strip() for line in error) == ERROR
    assert len(error) == 2


@pytest.mark.usefixtures("two_runs")
def test_elsewhere_a_run_is_a_line(command_line: CommandLine) -> None:
    first, second = command_line("runs").out.splitlines()
    assert first.endswith("  p.toml")
    assert second.endswith(f"  {DEEP}: {ERROR}")


CELLS = st.text("abc-", max_size=12)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1), st.integers(50, 90))
def test_columns_stand_below_each_other_within_the_width(
    rows: list[tuple[str, ...]], width: int
) -> None:
    lines = aligned(rows, width)
    assert all(len(line) <= width for line in lines)
    begin = max(len(first) for first, *_ in rows) + 2
    for line, (first, second, _) in zip(lines, rows, strict=True):
        assert line.startswith(first)
        assert line[begin : begin + len(second)] == second

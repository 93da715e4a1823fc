"""Benchmarks work on tiny inputs: rows, JSON, tables, page and plots; nothing here is timed."""

import itertools
import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from command_line import CommandLine
from rich.console import Console

from benchmarks import measure, page
from benchmarks.measure import CannotMeasure, Options, Results, Row, compare, in_turns
from benchmarks.suite import GROUPS

QUICK = Options(quick=True)


def row(group: str = "path", what: str = "file to frames, ours", ratio: float = 2.0) -> Row:
    return Row(group, what, "Mev/s", 80.0, 70.0, 90.0, ratio, "file to frames, theirs")


def results(*rows: Row, load: float = 0.5) -> Results:
    facts = {
        **{"processor": "a processor", "cores": 2, "system": "Linux", "python": "3.11"},
        **{"versions": {"numpy": "2.0"}, "date": "2026-01-01", "load": [load], "quick": False},
    }
    return Results(list(rows), [], facts)


def test_a_ratio_above_one_is_better_whatever_the_unit() -> None:
    rates = compare("g", "Mev/s", {"theirs": [40.0], "ours": [70.0, 80.0, 90.0]}, "theirs")
    assert rates[0].ratio is None
    assert rates[1] == Row("g", "ours", "Mev/s", 80.0, 70.0, 90.0, 2.0, "theirs")
    times = compare("g", "ms", {"theirs": [40.0], "ours": [80.0]}, "theirs")
    assert times[1].ratio == 0.5


def test_the_first_round_does_not_count_and_turns_are_taken() -> None:
    numbers = itertools.count()
    work = {"a": lambda: next(numbers), "both": lambda: {"b": next(numbers), "c": -1}}
    assert in_turns(work, 2) == {"a": [2, 4], "b": [3, 5], "c": [-1, -1]}


def test_a_peer_that_fails_is_told_and_left_out() -> None:
    def fails() -> float:
        raise CannotMeasure("ImportError: no module")

    notes: list[str] = []
    assert in_turns({"ours": lambda: 1.0, "theirs": fails}, 1, notes) == {"ours": [1.0]}
    assert notes == ["not measured: theirs: ImportError: no module"]
    with pytest.raises(CannotMeasure):
        in_turns({"theirs": fails}, 1)


def test_a_script_that_prints_nothing_cannot_be_measured() -> None:
    with pytest.raises(CannotMeasure, match="exit code"):
        measure.call(sys.executable, "no_such_script.py")


def test_results_come_back_from_json(tmp_path: Path) -> None:
    found = results(row())
    found.save(tmp_path / "found.json")
    assert Results.load(tmp_path / "found.json") == found


def test_a_table_shows_median_spread_and_ratio() -> None:
    screen = Console(width=120)
    with screen.capture() as shown:
        measure.show([row(), "not measured: faery"], screen)
    text = shown.get()
    for part in ("80 Mev/s", "70 to 90", "2.00 ×", "file to frames, theirs", "faery"):
        assert part in text


def test_the_page_has_later_groups_and_keeps_what_is_written_by_hand(tmp_path: Path) -> None:
    cost = [
        Row("cost", f"events a second: {n}", "%", n / 10, n / 20, n / 5) for n in (10, 100, 1000)
    ]
    first, second = results(row(ratio=9.0), *cost), results(row(ratio=0.5), load=1.5)
    page.write([first], tmp_path)
    file = tmp_path / "performance.md"
    file.write_text(file.read_text().replace("has not been written yet", "is all good"))
    page.write([first, second], tmp_path)
    text = file.read_text()
    assert "is all good" in text
    assert "0.50 ×" in text
    assert "9.00 ×" not in text
    assert "## How the cost grows" in text
    for name in ("performance", "cost"):
        drawn = (tmp_path / "images" / f"{name}.svg").read_bytes()
        page.write([first, second], tmp_path)
        assert (tmp_path / "images" / f"{name}.svg").read_bytes() == drawn


def test_help_names_every_group(command_line: CommandLine) -> None:
    said = command_line("bench", "--help").out
    assert [name for name in GROUPS if not re.search(rf"\b{name}\b", said)] == []


def test_every_group_is_a_benchmark_with_a_title() -> None:
    for name, module in GROUPS.items():
        assert callable(import_module(module).rows)
        assert name in page._TITLES


def test_no_figures_are_left_out_of_the_page() -> None:
    def found(*groups: str) -> list[Results]:
        return [Results([Row(each, "a", "s", 1.0, 1.0, 1.0)], [], {}) for each in groups]

    together = page.together(found("watch, paced", "read"))
    assert [group for group, _, _ in together] == ["read", "watch, paced"]
    with pytest.raises(ValueError, match="no such group"):
        page.together(found("no such group"))


@pytest.mark.parametrize("group", ["filter", "bin", "memory", "cost"])
def test_a_group_yields_rows(group: str) -> None:
    found = list(import_module(GROUPS[group]).rows(QUICK))
    rows = [each for each in found if isinstance(each, Row)]
    assert {each.group for each in rows} == {group}
    assert all(each.low <= each.median <= each.high for each in rows)


def test_bench_writes_json_and_the_page(command_line: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    arguments = ["--only", "cost", "--quick", "--json", str(file), "--write", str(tmp_path)]
    done = command_line("bench", *arguments)
    assert done.code == 0, done.err
    assert json.loads(file.read_text())["rows"]
    assert "these figures say nothing of speed" in (tmp_path / "performance.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--only", "reed"], "--only: nothing is called 'reed'; did you mean 'read'?"),
        (["--peers", "nowhere"], "--peers nowhere: no such file; give a Python interpreter"),
        (["--recording", "nowhere"], "--recording nowhere: no such file"),
        (["--use", "mnist_dvs"], "--use mnist_dvs: must be NETWORK=WEIGHTS=RECORDING"),
    ],
)
def test_mistakes_are_told(command_line: CommandLine, arguments: list[str], error: str) -> None:
    done = command_line("bench", *arguments)
    assert done.code == 2
    assert error in done.err

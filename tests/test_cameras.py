"""Many cameras, one network: each camera's predictions are those it has alone, to the digit."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "cameras.toml"
CAMERAS = ("left", "middle", "right")
SHORT = [
    *(f"--set={name}.stop_us={3_000_000 + k * 250_000}" for k, name in enumerate(CAMERAS)),
    *(f"--set={name}.start_us={k * 300_000}" for k, name in enumerate(CAMERAS)),
    "--fresh",
    "--quiet",
]
FAST = [f"--set={name}.speed=0" for name in CAMERAS]


def predictions(folder: Path, command_line: CommandLine, *options: str) -> list[dict[str, Any]]:
    """Run the example with options; return the lines of its file."""
    path = folder / "cameras.jsonl"
    chosen = [f"--set=file.path={path}", f"--set=checkpoint.directory={folder / 'kept'}"]
    result = command_line("run", str(EXAMPLE), *SHORT, *chosen, *options)
    assert result.code == 0, result.err
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.unlink()
    return lines


def of_each(lines: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for line in lines:
        found[line["stream"]].append(line)
    return found


@pytest.mark.parametrize("engine", ["event", "torch"])
def test_copies_and_batches_change_no_prediction(
    tmp_path: Path, command_line: CommandLine, engine: str
) -> None:
    chosen = [*FAST, f'--set=network.engine="{engine}"']
    plain = predictions(
        tmp_path, command_line, *chosen, "--set=network.copies=1", "--set=network.batch=1"
    )
    streams = of_each(plain)
    assert {*streams} == {*CAMERAS}
    assert all(len(lines) > 3 for lines in streams.values())
    together = predictions(tmp_path, command_line, *chosen, "--set=network.copies=1")
    spread = predictions(tmp_path, command_line, *chosen)
    if engine == "torch":  # the last digits of a batch are its own
        for lines in (plain, together, spread):
            for line in lines:
                line["scores"] = [round(score, 3) for score in line["scores"]]
    # One network has its windows in the order of their times, batch or not. Copies keep each
    # stream's order.
    assert together == plain
    assert of_each(spread) == streams


def test_a_copy_that_dies_goes_on_with_its_streams(
    tmp_path: Path, command_line: CommandLine
) -> None:
    """What the file holds then is, to the byte, what an undisturbed run writes."""
    paced = [f"--set={name}.speed=4" for name in CAMERAS]
    chosen = [one for one in SHORT if one.startswith("--set")]
    files = [f"--set=file.path={tmp_path / 'f.jsonl'}"]
    result = command_line(
        "fault", str(EXAMPLE), *chosen, *paced, *files, "--kill", "network@2", "--times", "1"
    )
    assert result.code == 0, result.out + result.err
    assert "network@2" in result.out

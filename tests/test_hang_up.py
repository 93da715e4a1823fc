"""A terminal that is closed, or a connection that is lost, ends a run as Ctrl-C does."""

import json
from pathlib import Path

from screen import Screen

REPOSITORY = Path(__file__).parents[1]


def test_a_run_whose_terminal_is_closed_is_drained(tmp_path: Path) -> None:
    """What the sources had sent is in the file, whole, and the manifest says how it ended."""
    chosen = ["camera.speed=1", f"file.path={tmp_path / 'out.jsonl'}", "decision.every=1"]
    options = [word for one in chosen for word in ("--set", one)]
    with Screen(
        "-m",
        "pipeline.cli",
        "run",
        REPOSITORY / "pipeline.toml",
        *options,
        "--manifest",
        tmp_path / "run.json",
    ) as screen:
        screen.until("air drums")
        assert screen.hang_up() == 130
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    windows = [line["window"] for line in lines]
    assert windows == [*range(windows[0], windows[0] + len(windows))]
    manifest = json.loads((tmp_path / "run.json").read_text())
    assert manifest["state"] == "stopped"
    made = {each["name"]: each["account"]["made"] for each in manifest["outcome"]["reports"]}
    assert made["file"] == len(lines)

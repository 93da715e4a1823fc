"""`pipeline check --capacity`: what it says of costs that are known, and how it ends."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine

from pipeline.capacity.costs import Cost, Costs
from pipeline.capacity.trial import Trial
from pipeline.checkpoint.fingerprint import fingerprint
from pipeline.config import read_config
from pipeline.graph import build_graph

GRAPH = """
[[stage]]
name = "camera"
use = "udp"
port = 9
size = [24, 32]
[[stage]]
name = "tape"
use = "record"
path = "out.aedat4"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.toml"
    path.write_text(GRAPH)
    return path


@pytest.fixture
def costs(file: Path) -> Path:
    """A camera of 0.1 cores and 0.05 per Mev/s, a tape of 0.2 and 0.2; tried up to 4 Mev/s."""
    trial = Trial(8e6, 4e6, {"camera": 0.3, "tape": 1.0}, {}, {}, 0.0)
    processes = {"camera": Cost(0.1, 5e-8), "tape": Cost(0.2, 2e-7)}
    made = Costs(processes, 2, 1.0, 1e6, 5e6, [trial], fingerprint(build_graph(read_config(file))))
    made.write(file.with_name("costs.json"))
    return file.with_name("costs.json")


def test_it_says_what_each_process_takes_and_what_binds(
    command_line: CommandLine, file: Path, costs: Path
) -> None:
    code, out, err = command_line("check", file, "--capacity", "--costs", costs, "--rate", 2e6)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["camera", "20.0%", "100%", "10.0%", "0.0", "µs", "50.0", "ns", "18", "Mev/s"] in rows
    assert ["tape", "60.0%", "100%", "20.0%", "0.0", "µs", "200.0", "ns", "4", "Mev/s"] in rows
    assert ["all", "cores", "80.0%", "200%", "6.8", "Mev/s"] in rows
    assert f"{file}: keeps up with 2 Mev/s\nthe most is 4 Mev/s; what binds is tape\n" in out
    assert "not in it: the driver of a camera" in out


def test_what_it_cannot_keep_up_with_has_an_exit_code_of_its_own(
    command_line: CommandLine, file: Path, costs: Path
) -> None:
    code, out, _ = command_line("check", file, "--capacity", "--costs", costs, "--rate", 5e6)
    assert code == 3
    assert f"{file}: does not keep up with 5 Mev/s\n" in out


def test_without_a_rate_it_is_that_of_the_recording_and_its_bursts(
    command_line: CommandLine, file: Path, costs: Path
) -> None:
    code, out, _ = command_line("check", file, "--capacity", "--costs", costs)
    assert code == 0
    assert "keeps up with 1 Mev/s\n" in out
    assert "the busiest tenth of a second, 5 Mev/s, is more than that: events wait" in out


def test_it_says_how_many_hosts_cameras_need(
    command_line: CommandLine, file: Path, costs: Path
) -> None:
    arguments = ("--capacity", "--costs", costs, "--rate", 2e6, "--cameras", 5)
    code, out, _ = command_line("check", file, *arguments)
    assert (code, "hosts: 3, with up to 2 cameras on each\n" in out) == (3, True)
    code, out, _ = command_line("check", file, *arguments, "--cores", 4)
    assert (code, "hosts: 1, with up to 5 cameras on each\n" in out) == (0, True)
    assert "measured with 2 cores; others are taken to be as good\n" in out


def test_a_program_may_read_it(command_line: CommandLine, file: Path, costs: Path) -> None:
    out = command_line("check", file, "--capacity", "--costs", costs, "--json").out
    told = json.loads(out)
    assert told["forecast"]["binds"] == "tape"
    assert told["forecast"]["most_hz"] == pytest.approx(4e6)
    assert told["keeps_up_at_peak"] is False
    assert told["costs"]["processes"]["camera"]["event_s"] == 5e-8


def test_a_rate_that_is_none_is_refused(command_line: CommandLine, file: Path, costs: Path) -> None:
    code, _, err = command_line("check", file, "--capacity", "--costs", costs, "--rate", 0)
    assert (code, err) == (2, "error: --rate: must be > 0 events a second, got 0\n")


def test_its_options_are_refused_where_nothing_is_forecast(
    command_line: CommandLine, file: Path
) -> None:
    code, _, err = command_line("check", file, "--rate", 1e6)
    assert (code, err) == (2, "error: --rate: is for a forecast; give --capacity too\n")


def test_what_a_live_camera_gives_is_not_made_up(command_line: CommandLine, file: Path) -> None:
    code, _, err = command_line("check", file, "--capacity")
    assert code == 2
    assert err.endswith(
        "error: --rate: is required where a source is live, for what it gives is not known; or give"
        " --recording FILE of such a camera\n"
    )

"""Real recordings of all formats through the main job: every event read is accounted for."""

import json
from pathlib import Path

import pytest
from shared import SHARED
from streams import account

from pipeline.offline import play
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.sources.replay import Replay, ReplayConfig

EXPECTED = SHARED / "recordings" / "expected.json"
KNOWN = (
    {name: row for name, row in json.loads(EXPECTED.read_text()).items() if row.get("n")}
    if EXPECTED.is_file()
    else {}
)


@pytest.mark.shared
def test_the_recordings_are_there() -> None:
    assert len(KNOWN) >= 24


@pytest.mark.shared
@pytest.mark.parametrize("name", KNOWN, ids=lambda name: Path(name).name)
def test_events_read_are_binned_or_refused_and_windows_are_due(name: str) -> None:
    known = KNOWN[name]
    source = Replay("camera", ReplayConfig(path=SHARED / name))
    stage = TimeBin("bins", TimeBinConfig(window_us=25_000), [source.port()])
    result = account(stage, play(source))
    assert result.taken == known["n"]
    assert result.taken == result.used + sum(result.refused.values())
    span_us = known["t_last"] - known["t_first"]
    assert result.made == result.due == span_us // 25_000 + 1

"""Real recordings of all formats through the main job: every event read is accounted for."""

from pathlib import Path

import pytest
from known import KNOWN
from shared import SHARED
from streams import account

from pipeline.offline import play
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.sources.replay import Replay, ReplayConfig

READABLE = {name: row for name, row in KNOWN.items() if row.get("n")}


@pytest.mark.shared
def test_the_recordings_are_there() -> None:
    assert len(READABLE) >= 24


@pytest.mark.shared
@pytest.mark.parametrize("name", READABLE, ids=lambda name: Path(name).name)
def test_events_read_are_binned_or_refused_and_windows_are_due(name: str) -> None:
    known = KNOWN[name]
    source = Replay("camera", ReplayConfig(path=SHARED / name))
    stage = TimeBin("bins", TimeBinConfig(window_us=25_000), [source.port()])
    result = account(stage, play(source))
    assert result.taken == known["n"]
    assert result.taken == result.used + sum(result.refused.values())
    span_us = known["t_last"] - known["t_first"]
    assert result.made == result.due == span_us // 25_000 + 1

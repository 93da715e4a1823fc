"""Real recordings through the main job: every event read is accounted for."""

import json
from pathlib import Path

import pytest
from shared import SHARED
from streams import account

from pipeline.offline import play
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.sources.replay import Replay, ReplayConfig

RECORDINGS = sorted((SHARED / "recordings").rglob("*.aedat4")) if SHARED.is_dir() else []


@pytest.mark.shared
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_events_read_are_binned_or_refused_and_windows_are_due(path: Path) -> None:
    expected = json.loads((SHARED / "recordings" / "expected.json").read_text())
    known = expected[str(path.relative_to(SHARED))]
    source = Replay("camera", ReplayConfig(path=path))
    stage = TimeBin("bins", TimeBinConfig(window_us=25_000, size=(40, 40)), [source.port()])
    result = account(stage, play(source))
    assert result.taken == known["n"]
    assert result.taken == result.used + sum(result.refused.values())
    span_us = known["t_last"] - known["t_first"]
    assert result.made == result.due == span_us // 25_000 + 1

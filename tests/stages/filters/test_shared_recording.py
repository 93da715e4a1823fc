"""Filters on a real recording, whose camera has pixels that fire by themselves."""

from pathlib import Path

import numpy as np
import pytest
from streams import account, rows

from pipeline.offline import play, run_chain
from stages.filters.hot_pixel import HotPixel, HotPixelConfig
from stages.sources.replay import Replay, ReplayConfig

LEARN_US = 100_000


@pytest.mark.shared
def test_few_pixels_are_learned_that_make_many_events(shared: Path) -> None:
    source = Replay("camera", ReplayConfig(path=shared / "recordings/aedat4/tonic_sample.aedat4"))
    config = HotPixelConfig(learn_us=LEARN_US, min_rate_hz=100)
    messages = list(play(source))
    result = account(HotPixel("mask", config, [source.port()]), messages[:-1])
    assert 0 < result.notes["hot pixels found"] < 320 * 240 // 1000
    assert result.refused["from hot pixels"] > result.taken // 20
    # None of them fires again once the learning time is over.
    passed = rows(run_chain(messages, [HotPixel("mask", config, [source.port()])]))
    later = passed[passed["t"] >= passed["t"][0] + LEARN_US]
    first = passed[passed["t"] < passed["t"][0] + LEARN_US]
    fired_first, fired_later = (
        np.bincount(part["y"].astype(int) * 320 + part["x"], minlength=320 * 240)
        for part in (first, later)
    )
    silent = np.sort(fired_first[fired_later == 0])[-result.notes["hot pixels found"] :]
    assert silent.min() > LEARN_US * config.min_rate_hz // 1_000_000

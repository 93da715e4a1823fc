"""The filters that dv-processing has too let the same events pass."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from streams import recording, rows, through

from pipeline.events import EventArray, events_from_columns
from pipeline.ports import EventsPort
from pipeline.registry import load_stage

dv = pytest.importorskip("dv_processing")

WIDTH, HEIGHT = 40, 30
MASKED = [(3, 4), (39, 29), (20, 0)]


def some_events(count: int = 4000) -> EventArray:
    """Noise and a moving spot, long after time 0, when all of their pixels are taken to fire."""
    rng = np.random.default_rng(5)
    t = np.sort(rng.integers(1_000_000, 1_100_000, count))
    noise = rng.random(count) < 0.5
    x = np.where(noise, rng.integers(0, WIDTH, count), (t // 3000 + rng.integers(0, 3, count)) % 38)
    y = np.where(noise, rng.integers(0, HEIGHT, count), 12 + rng.integers(0, 3, count))
    return events_from_columns(t, x, y, rng.integers(0, 2, count))


def mask() -> Any:
    image = np.ones((HEIGHT, WIDTH), dtype=np.uint8)
    for x, y in MASKED:
        image[y, x] = 0
    return dv.EventMaskFilter(image)


def noise_filter() -> Any:
    # Theirs asks for less than the duration, ours for no more than tau.
    duration = timedelta(microseconds=1501)
    return dv.noise.BackgroundActivityNoiseFilter((WIDTH, HEIGHT), duration)


@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        (
            "roi",
            {"x": 5, "y": 4, "width": 20, "height": 11},
            lambda: dv.EventRegionFilter((5, 4, 20, 11)),
        ),
        ("polarity", {"mode": "on"}, lambda: dv.EventPolarityFilter(True)),
        ("polarity", {"mode": "off"}, lambda: dv.EventPolarityFilter(False)),
        ("hot_pixel", {"pixels": MASKED}, mask),
        ("background_activity", {"tau_us": 1500}, noise_filter),
    ],
    ids=["roi", "on", "off", "mask", "background_activity"],
)
def test_the_same_events_pass(name: str, options: dict[str, Any], theirs: Any) -> None:
    events = some_events()
    store = dv.EventStore()
    for t, x, y, p in events.tolist():
        store.push_back(t, x, y, bool(p))
    other = theirs()
    other.accept(store)
    expected = other.generateEvents().numpy()
    found = load_stage(name)
    stage: Any = found("filter", found.Config(**options), [EventsPort(WIDTH, HEIGHT)])
    ours = rows(through([stage], recording(events, [1000], WIDTH, HEIGHT)))
    assert 0 < len(ours) < len(events)
    for field, their_field in (("t", "timestamp"), ("x", "x"), ("y", "y"), ("p", "polarity")):
        np.testing.assert_array_equal(ours[field], expected[their_field])

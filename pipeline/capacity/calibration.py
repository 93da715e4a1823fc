"""Calibration: trials at a few rates, from the one that is asked about to more than can be done."""

import math
import os
from collections.abc import Callable, Mapping

from pipeline.capacity.costs import Costs, costs_of
from pipeline.capacity.forecast import forecast
from pipeline.capacity.scene import Scene
from pipeline.capacity.trial import Trial, try_at
from pipeline.checkpoint.fingerprint import fingerprint
from pipeline.config import PipelineConfig
from pipeline.graph import Graph

__all__ = ["calibrate", "climb"]

_STEP = 4.0
_MOST_TRIALS = 8
_HIGHEST_HZ = 2e8
_LOWEST_HZ = 8e3
"""What is asked about below that follows from the line; a trial needs some events."""
_BEYOND = 1.3
"""How far beyond what is taken to be possible the last trial is."""


def calibrate(
    config: PipelineConfig,
    graph: Graph,
    scenes: Mapping[str, Scene],
    rate_hz: float,
    told: Callable[[float], None] = lambda _: None,
) -> Costs:
    """Measure what a pipeline costs on this machine.

    Args:
        config: the file.
        graph: what was built from it.
        scenes: what is played in the place of each source.
        rate_hz: events a second of each, around which it should be right.
        told: how far it is, 0 to 1.

    Raises:
        PipelineError: a trial failed.
    """
    cores = os.cpu_count() or 1
    rate_hz = max(rate_hz, _LOWEST_HZ)
    known = [scene for scene in scenes.values() if not scene.is_random]
    mean_hz = max((scene.rate_hz for scene in known), default=None)
    peak_hz = max((scene.peak_hz for scene in known), default=None)
    # The first finds kernels compiled and files read.
    try_at(config, graph, scenes, rate_hz, seconds=0.2)

    def attempt(rate_hz: float) -> Trial:
        return try_at(config, graph, scenes, rate_hz)

    def of(trials: list[Trial]) -> Costs:
        told(len(trials) / _MOST_TRIALS)
        return costs_of(trials, cores, mean_hz, peak_hz, fingerprint(graph))

    return of(climb(attempt, rate_hz, lambda trials: _next(of(trials), trials)))


def climb(
    attempt: Callable[[float], Trial],
    rate_hz: float,
    next_hz: Callable[[list[Trial]], float | None],
) -> list[Trial]:
    """Try ever higher rates.

    Args:
        attempt: makes a trial at a rate.
        rate_hz: the second; what a process costs without any event needs one far below it.
        next_hz: says the next from all trials so far, None where there is enough.
    """
    trials = [attempt(rate_hz / _STEP)]
    if trials[0].is_behind:
        # What it got through tells what it can do.
        got_hz = trials[0].rate_hz
        return [attempt(got_hz / _STEP), attempt(got_hz / 2), *trials]
    following_hz: float | None = rate_hz
    while following_hz is not None and len(trials) < _MOST_TRIALS:
        trials.append(attempt(following_hz))
        following_hz = next_hz(trials)
    return trials


def _next(costs: Costs, trials: list[Trial]) -> float | None:
    """Return the rate of a further trial, beyond the last; None once more cannot be done."""
    most_hz = forecast(costs, trials[-1].offered_hz).most_hz
    last = trials[-1]
    # What is behind only because other programs are busy tells little of what it can do.
    if last.is_behind and most_hz is not None and last.offered_hz >= most_hz:
        return None
    beyond_hz = math.inf if most_hz is None else most_hz * _BEYOND
    following_hz = max(2 * last.offered_hz, min(_STEP * last.offered_hz, beyond_hz))
    return following_hz if following_hz < _HIGHEST_HZ else None

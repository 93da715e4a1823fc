"""What a pipeline costs: of each process, in any case, for each message and for each event.

For a second of what a camera sees a process needs ``idle + message_s · messages + event_s · rate``
seconds of a core. With the file, the sensor and the machine as they are, all else is one of these:
windows of time come so many times a second whatever the rate, what is counted in events grows with
it, and messages too, until there is one in each millisecond. It is a second of the camera's, which
takes longer to work on where the pipeline is behind. How well that fits what was measured is
kept too.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from pipeline.capacity.trial import Trial
from pipeline.checkpoint.fingerprint import difference
from pipeline.errors import ConfigError

__all__ = ["Cost", "Costs", "costs_of", "fit", "read_costs"]

_FULL = 0.9
"""From what share of the machine on it is the machine that binds."""
_AT_REST = 0.1
"""Up to what share of the machine other programs are taken to be at rest."""
_LEAST = 1e-6
"""The least load that is told of, in cores."""
_WORTH = 0.999
_EXACT = 1e-12
"""A further cost must leave less than this share of what was missed, by more than this."""
_TINY = 0.1
"""Below what share of a core a process does not count for how well costs fit."""


class Cost(msgspec.Struct, frozen=True):
    """What one process costs."""

    idle: float
    """Processor time a second without any event or message, in cores."""
    event_s: float
    """Processor time of each event that a camera gives, in s."""
    limit: float = 1.0
    """How many cores it can keep busy at most: its stages share one lock of Python's."""
    message_s: float = 0.0
    """Processor time of each message that it takes or puts out, in s."""
    rates_hz: tuple[float, ...] = (0.0,)
    """Rates of each camera, rising, at which messages were counted."""
    messages_hz: tuple[float, ...] = (0.0,)
    """How many a second there were."""

    def share(self, rate_hz: float) -> float:
        """Return the cores that it takes at a rate of each camera."""
        messages_hz = float(np.interp(rate_hz, self.rates_hz, self.messages_hz))
        return self.idle + self.event_s * rate_hz + self.message_s * messages_hz


class Costs(msgspec.Struct, frozen=True):
    """What was measured of one pipeline on one machine."""

    processes: dict[str, Cost]
    cores: int
    """Of the machine that it was measured on."""
    reach: float
    """What share of all cores a pipeline can have that needs them all."""
    mean_hz: float | None
    """Events a second of each camera in what was played, as it was recorded; None where that was
    random."""
    peak_hz: float | None
    """The same in its busiest tenth of a second."""
    trials: list[Trial]
    pipeline: dict[str, Any] = {}
    """What tells it from other pipelines, see `pipeline.checkpoint.fingerprint`."""

    @property
    def worst_fit(self) -> float:
        """By what share of what was measured the costs miss it, at worst; of larger processes."""
        misses = [
            abs(cost.share(trial.offered_hz) / trial.needs[name] - 1)
            for trial in self.trials
            for name, cost in self.processes.items()
            if trial.needs[name] >= _TINY
        ]
        return max(misses, default=0.0)

    @property
    def others(self) -> float:
        """How many cores other programs took, at worst, while it was measured."""
        return max((trial.others for trial in self.trials), default=0.0)

    def write(self, path: Path) -> None:
        """Write them to a file, as JSON.

        Raises:
            ConfigError: it cannot be written.
        """
        text = msgspec.json.format(msgspec.json.encode(self), indent=1)
        try:
            path.write_bytes(text + b"\n")
        except OSError as error:
            raise ConfigError(f"--costs {path}: cannot be written: {error.strerror}") from None


def read_costs(path: Path, pipeline: Mapping[str, Any]) -> Costs:
    """Read what `Costs.write` wrote.

    Args:
        path: the file.
        pipeline: what the costs should be of.

    Raises:
        ConfigError: it cannot be read, or the costs are of another pipeline.
    """
    try:
        costs = msgspec.json.decode(path.read_bytes(), type=Costs)
    except OSError as error:
        raise ConfigError(f"--costs {path}: cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"--costs {path}: holds no costs ({error}); name one that --costs wrote, or a new one"
        ) from None
    told = "{place} was {theirs}, and is {ours}"
    if found := difference(pipeline, costs.pipeline, told):
        raise ConfigError(
            f"--costs {path}: are of another pipeline: {found}; measure anew with --calibrate"
        )
    return costs


def costs_of(
    trials: Sequence[Trial],
    cores: int,
    mean_hz: float | None,
    peak_hz: float | None,
    pipeline: Mapping[str, Any],
) -> Costs:
    """Return what follows from trials at several rates.

    Args:
        trials: at least two, at different rates.
        cores: of this machine.
        mean_hz: see `Costs`, as the others.
        peak_hz: events a second at most.
        pipeline: what tells it from others.
    """
    limits, reach = _limits(trials, cores)
    rising = sorted(trials, key=lambda trial: trial.offered_hz)
    rates_hz = [trial.offered_hz for trial in rising]
    processes = {}
    for name in trials[0].needs:
        # More than before, or as many: what a count is out by must not look like a saving.
        counts = np.maximum.accumulate([trial.messages[name] for trial in rising]).tolist()
        needs = [trial.needs[name] for trial in rising]
        idle, message_s, event_s = fit([np.ones(len(needs)), counts, rates_hz], needs)
        processes[name] = Cost(
            idle, event_s, limits[name], message_s, tuple(rates_hz), tuple(counts)
        )
    return Costs(processes, cores, reach, mean_hz, peak_hz, list(trials), dict(pipeline))


def fit(parts: Sequence[ArrayLike], loads: ArrayLike) -> list[float]:
    """Return what each part costs, none less than 0, so that together they come nearest to loads.

    Least squares of what they miss each load by, as a share of it: small ones count as much as
    large ones. There are few parts, so every choice of those that cost anything is tried.

    Args:
        parts: how much there was of each, for every load.
        loads: what was measured.
    """
    target = np.maximum(np.asarray(loads, float), _LEAST)
    columns = np.stack([np.asarray(part, float) for part in parts], 1)
    scales = np.maximum(columns.max(0), _LEAST)
    rows = columns / scales / target[:, None]
    best, least = np.zeros(len(parts)), math.inf
    for count in range(1, len(parts) + 1):
        for chosen in map(list, combinations(range(len(parts)), count)):
            found = np.linalg.lstsq(rows[:, chosen], np.ones(len(target)), rcond=None)[0]
            missed = float(((rows[:, chosen] @ found - 1) ** 2).sum())
            # A further part has to be worth it; where two say the same the first does.
            if found.min() >= 0 and missed < _WORTH * least - _EXACT:
                best, least = np.zeros(len(parts)), missed
                best[chosen] = found
    return (best / scales).tolist()  # type: ignore[no-any-return]


def _limits(trials: Sequence[Trial], cores: int) -> tuple[dict[str, float], float]:
    """Return how many cores each process can keep busy, and the share of the machine to be had.

    Both are what a run reached that could not keep up. It tells of the machine where that was full,
    and else of the process that held the others up, whether it had a core or waited for a device.
    """
    names = trials[0].needs.keys()
    limits = {name: max(1.0, *(trial.had[name] for trial in trials)) for name in names}
    reach = 1.0
    for trial in trials:
        if not trial.is_behind:
            continue
        total = sum(trial.had.values())
        if total + trial.others >= _FULL * cores:
            reach = min(1.0, total / max(cores - trial.others, _FULL * total))
        elif trial.others < _AT_REST * cores:
            held = max(names, key=lambda name: max(trial.had[name], trial.busy[name]))
            limits[held] = trial.had[held]
    return limits, reach

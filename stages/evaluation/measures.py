"""Measures of an evaluation, from the results of its recordings."""

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.training.confusion import accuracy, confusion_matrix, recall
from pipeline.scores import share
from stages.evaluation.intervals import Interval, wilson
from stages.evaluation.results import Result

__all__ = [
    "Calibration",
    "CalibrationBin",
    "ClassScore",
    "Delays",
    "Measures",
    "Work",
    "confidence",
    "is_right",
    "measure",
]

_BINS = 10
_TOP = 5


class ClassScore(msgspec.Struct, frozen=True):
    """How well one class is told."""

    name: str
    recordings: int
    precision: float | None
    """Of the recordings taken for it, the share that was; None where none was taken for it."""
    recall: float | None
    """Of its recordings, the share taken for it; None where there are none."""
    f1: float | None
    """Harmonic mean of both; None where recall is."""


class CalibrationBin(msgspec.Struct, frozen=True):
    """Answers that were given with about the same confidence."""

    low: float
    high: float
    recordings: int
    confidence: float | None
    """Their mean; None where there are none, ``accuracy`` likewise."""
    accuracy: float | None


class Calibration(msgspec.Struct, frozen=True):
    """Whether confidence is the share that is right."""

    error: float
    """The expected calibration error: the mean distance of the two, weighed by recordings (Guo et
    al., "On calibration of modern neural networks", ICML 2017)."""
    bins: list[CalibrationBin]


class Delays(msgspec.Struct, frozen=True):
    """When something happens in a recording, counted from the start of its first step."""

    share: float
    """In how many of the recordings it happens."""
    median_ms: float | None
    p90_ms: float | None
    """Of those in which it happens; None where it never does."""


class Work(msgspec.Struct, frozen=True):
    """What it took.

    The first recording of each process is left out of times and rates, where there are others: it
    waits for libraries and kernels to be loaded.
    """

    recordings: int
    """How many were timed."""
    warm: bool
    """Whether the first of each process are not among them."""
    seconds: float
    """Time of all processes together, reading included, opening not."""
    recordings_a_second: float
    """Of one process; the other rates likewise."""
    events_a_second: float
    steps_a_second: float
    real_time: float
    """How many times faster than recorded one process is."""
    operations: float | None
    """Synaptic operations of a recording, on the average; None where nobody counted."""
    operations_by_layer: dict[str, float]


class Measures(msgspec.Struct, frozen=True):
    """All measures; shares are 0 to 1."""

    recordings: int
    right: int
    unanswered: int
    """Recordings without a prediction; they count as wrong."""
    top1: float
    top1_interval: Interval
    """Of 95 %, see `stages.evaluation.intervals`."""
    top5: float | None
    """Whether the right class is among the best five; None of five classes or fewer."""
    predictions: int
    predictions_right: int
    """Of all predictions, the last of a recording or not."""
    precision: float
    """Mean over the classes that were shown, as ``recall`` and ``f1``; one that nothing was taken
    for counts 0."""
    recall: float
    f1: float
    classes: list[ClassScore]
    confusion: list[list[int]]
    """Recordings: row = true class, column = answer."""
    calibration: Calibration
    accuracy_after: list[float]
    """Top-1 if the decision were made after 1, 2, ... steps, by all until then."""
    first_right: Delays
    """When that decision is first right."""
    stable: Delays
    """From when on it does not change any more and is right."""
    refused: dict[str, int]
    """What sources and stages refused, by reason."""
    work: Work


def is_right(result: Result) -> bool:
    """Tell whether a recording's answer is its class."""
    return result.scores is not None and int(np.argmax(result.scores)) == result.label


def confidence(kind: str, result: Result) -> float:
    """Return how sure an answer is, 0 to 1: what its bar shows, see `pipeline.scores`."""
    assert result.scores is not None
    return share(kind, result.scores, int(np.argmax(result.scores)))


def measure(results: Sequence[Result], classes: Sequence[str], kind: str) -> Measures:
    """Return the measures of at least one result.

    Args:
        results: in the order of the data.
        classes: names of the model's.
        kind: of the scores, see `pipeline.ports.PredictionsPort`.
    """
    answered = [result for result in results if result.scores is not None]
    unanswered, count = len(results) - len(answered), len(classes)
    scores = np.array([result.scores for result in answered], np.float64).reshape(-1, count)
    labels = np.array([result.label for result in answered], np.int64)
    confusion = confusion_matrix(scores, labels)
    shown = np.bincount([result.label for result in results], minlength=count)
    table = _class_scores(confusion, shown, classes)
    mean = {
        name: float(np.mean([getattr(one, name) or 0.0 for one in table if one.recordings]))
        for name in ("precision", "recall", "f1")
    }
    refused: Counter[str] = Counter()
    for result in results:
        refused.update(result.refused)
    return Measures(
        recordings=len(results),
        right=int(np.trace(confusion)),
        unanswered=unanswered,
        top1=accuracy(confusion, unanswered),
        top1_interval=wilson(int(np.trace(confusion)), len(results)),
        top5=_top(scores, labels) / len(results) if count > _TOP else None,
        predictions=sum(result.predictions for result in results),
        predictions_right=sum(result.right for result in results),
        **mean,
        classes=table,
        confusion=confusion.tolist(),
        calibration=_calibration(answered, kind),
        accuracy_after=_accuracy_after(results),
        first_right=_delays([_first_right(result) for result in results]),
        stable=_delays([_stable(result) for result in results]),
        refused=dict(refused),
        work=_work(results),
    )


def _top(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> int:
    """Count recordings whose class is among the best; of equal scores the first is better."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :_TOP]
    return int((order == labels[:, None]).any(1).sum())


def _class_scores(
    confusion: NDArray[np.int64], shown: NDArray[np.int64], classes: Sequence[str]
) -> list[ClassScore]:
    """Return the scores of each class; recordings without an answer are found by none."""
    right, taken = np.diag(confusion), confusion.sum(0)
    precisions = recall(confusion.T)  # of those taken for a class
    table = []
    for k, name in enumerate(classes):
        precision = float(precisions[k]) if taken[k] else None
        found = float(right[k] / shown[k]) if shown[k] else None
        f1 = float(2 * right[k] / (taken[k] + shown[k])) if shown[k] else None
        table.append(ClassScore(name, int(shown[k]), precision, found, f1))
    return table


def _calibration(answered: Sequence[Result], kind: str) -> Calibration:
    """Hold confidence against the share that is right, in bins of equal width."""
    sure = np.array([confidence(kind, result) for result in answered])
    right = np.array([is_right(result) for result in answered], np.float64)
    place = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    bins, error = [], 0.0
    for k in range(_BINS):
        here = place == k
        count = int(here.sum())
        means = (float(sure[here].mean()), float(right[here].mean())) if count else (None, None)
        if count:
            error += abs(float(sure[here].mean() - right[here].mean())) * count / len(answered)
        bins.append(CalibrationBin(k / _BINS, (k + 1) / _BINS, count, *means))
    return Calibration(error, bins)


def _accuracy_after(results: Sequence[Result]) -> list[float]:
    """Return the share right after each step; a shorter recording keeps its last decision."""
    most = max(len(result.decisions) for result in results)
    right = np.zeros(most)
    for result in results:
        if result.decisions:
            made = np.array(result.decisions)
            right += made[np.minimum(np.arange(most), len(made) - 1)] == result.label
    after: list[float] = (right / len(results)).tolist()
    return after


def _first_right(result: Result) -> int | None:
    for decision, end_us in zip(result.decisions, result.ends_us, strict=True):
        if decision == result.label:
            return end_us
    return None


def _stable(result: Result) -> int | None:
    since = None
    for decision, end_us in zip(result.decisions, result.ends_us, strict=True):
        if decision != result.label:
            since = None
        elif since is None:
            since = end_us
    return since


def _delays(times_us: Sequence[int | None]) -> Delays:
    happened = [time_us / 1e3 for time_us in times_us if time_us is not None]
    if not happened:
        return Delays(0.0, None, None)
    median, p90 = np.quantile(happened, [0.5, 0.9])
    return Delays(len(happened) / len(times_us), float(median), float(p90))


def _work(results: Sequence[Result]) -> Work:
    warm = [result for result in results if not result.first]
    timed = warm or results
    seconds = sum(result.seconds for result in timed)
    operations: Counter[str] = Counter()
    for result in results:
        for counts in result.counts.values():
            for name, count in counts.items():
                layer, _, what = name.rpartition(": ")
                if what == "operations":
                    operations[layer] += count
    rate = 1 / seconds if seconds else 0.0
    return Work(
        recordings=len(timed),
        warm=bool(warm),
        seconds=seconds,
        recordings_a_second=len(timed) * rate,
        events_a_second=sum(result.events for result in timed) * rate,
        steps_a_second=sum(len(result.decisions) for result in timed) * rate,
        real_time=sum(result.span_us for result in timed) / 1e6 * rate,
        operations=operations.total() / len(results) if operations else None,
        operations_by_layer={name: count / len(results) for name, count in operations.items()},
    )

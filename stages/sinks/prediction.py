"""One prediction as the sinks write it."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from pipeline.messages import Message, Predictions, Shed

__all__ = ["LOST", "SHED", "Prediction", "predictions_in"]


class Prediction(msgspec.Struct, frozen=True):
    """The record of one prediction; nothing in it depends on the wall clock."""

    stream: str
    """The source."""
    recording: str
    """What the source was playing: a file, or whatever else it names."""
    stage: str
    """The stage that made it."""
    epoch: int
    window: int
    """Index of the last window it was made from."""
    t_start_us: int
    t_end_us: int
    label: str
    class_: int = msgspec.field(name="class")
    scores: list[float]
    partial: bool
    """It was made of less than asked for: of fewer windows, or of a last one cut short."""
    truth: str | msgspec.UnsetType | None = msgspec.UNSET
    """The right label; None where nobody knows it. Only there if it was asked for."""
    shed_events: int | msgspec.UnsetType = msgspec.UNSET
    """Events that overload took from the stream since the prediction before; likewise below. Only
    there where it did."""
    shed_windows: int | msgspec.UnsetType = msgspec.UNSET
    """Windows that it dropped."""
    merged_windows: int | msgspec.UnsetType = msgspec.UNSET
    """Windows that it merged into others."""
    shed_predictions: int | msgspec.UnsetType = msgspec.UNSET
    """Predictions that it dropped."""
    lost_events: int | msgspec.UnsetType = msgspec.UNSET
    """Events of a device that a crash took before this recording began. This and the next are only
    there where one of them is not 0."""
    gap_us: int | msgspec.UnsetType = msgspec.UNSET
    """For how long before it nobody listened to the device."""


SHED = ("shed_events", "shed_windows", "merged_windows", "shed_predictions")
"""The fields that tell of overload."""

LOST = ("lost_events", "gap_us")
"""The fields that tell of an interruption, as the Start of a recording has them."""


def predictions_in(message: Message, recording: str) -> Iterator[Prediction]:
    """Yield the predictions of a message; of equal scores the first class wins.

    Args:
        message: of predictions.
        recording: what they are of, as its Start names it.
    """
    header = message.header
    assert isinstance(header, Predictions)
    shed = _told(header.shed)
    for span, scores in zip(header.spans, message.array, strict=True):
        best = int(np.argmax(scores))
        yield Prediction(
            stream=header.stream,
            recording=recording,
            stage=header.by,
            epoch=header.epoch,
            window=span.window,
            t_start_us=span.t_start_us,
            t_end_us=span.t_end_us,
            label=header.classes[best],
            class_=best,
            # The shortest decimal that is this float32, not the digits of its float64.
            scores=[float(str(score)) for score in scores],
            partial=span.partial,
            **shed,
        )
        shed = {}


def _told(shed: Shed | None) -> dict[str, Any]:
    """Return the fields that tell what was shed; what was not has none."""
    if shed is None:
        return {}
    counts = (shed.events, shed.windows, shed.merged, shed.predictions)
    return {name: count for name, count in zip(SHED, counts, strict=True) if count}

"""A source that plays one gesture out of tonic's copy of DVS128 Gesture.

tonic keeps each gesture as an ``.npy`` of its own, without a header and with times in ms; how it is
read, tonic knows. It is imported only when a gesture is played.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import FilePath
from pipeline.errors import RecordingError
from pipeline.events import EventArray, events_from_columns
from pipeline.ports import EventsPort
from pipeline.stage import Account, Played, Source, StageConfig
from stages.datasets.frames import replayed

__all__ = ["TonicGesture", "TonicGestureConfig"]

_SIZE = (128, 128)


class TonicGestureConfig(StageConfig):
    """Options of the source."""

    path: FilePath
    """``DVSGesture/ibmGestureTrain/userNN_LIGHT/CLASS.npy``"""


class TonicGesture(Source[TonicGestureConfig, int]):
    """Play one gesture; the state is how many events were sent."""

    Config = TonicGestureConfig

    def port(self) -> EventsPort:
        """A DVS128's."""
        return EventsPort(width=_SIZE[1], height=_SIZE[0])

    def initial_state(self) -> int:
        """Return the state before the first message."""
        return 0

    def play(self, state: int) -> Iterator[Played[int]]:
        """Yield the gesture."""
        events = _events(self.config.path)
        yield Played(replayed(events, _SIZE, str(self.config.path)), len(events))

    def account(self, state: int) -> Account:
        """Return the events read."""
        return Account.one_to_one(state, "events", "events")


def _events(path: Path) -> EventArray:
    from tonic.datasets import DVSGesture

    class Here(DVSGesture):  # type: ignore[misc]
        """The set as it lies on the disk: nothing is ever downloaded."""

        def _check_exists(self) -> bool:
            return True

    # tonic lists the whole set when it is made; only how a file is read is wanted here.
    one: Any = Here.__new__(Here)
    one.data, one.targets = [str(path)], [0]
    one.transform = one.target_transform = one.transforms = None
    try:
        events, _ = one[0]
    except (OSError, ValueError, IndexError) as error:
        raise RecordingError(f"{path}: is no gesture of tonic's ({error}); get it again") from None
    order = np.argsort(events["t"], kind="stable")
    return events_from_columns(*(events[name][order] for name in "txyp"))

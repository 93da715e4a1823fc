"""Time bins: events counted per pixel and polarity in the windows of a fixed grid.

Window k is ``[origin + k·window_us, origin + (k+1)·window_us)`` in event time. It closes for ever
when an event or the watermark reaches its end, or when the recording ends, and then it is marked
partial. An event of a closed window is late: refused and counted. A window without events is a
window like any other.
"""

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.errors import StageError
from pipeline.events import TIME_LIMIT_US, empty_events
from pipeline.messages import Events, Frames, Message, Start, Windows, data
from pipeline.ports import EventsPort, FramesPort
from pipeline.stage import Account, PortError, StageConfig, Transform

__all__ = ["TimeBin", "TimeBinConfig", "TimeBinState"]

_STACK_BYTES = 8 << 20
_STACK_WINDOWS = 64


class TimeBinConfig(StageConfig):
    """Options of `time_bin`."""

    window_us: int = Field(gt=0, le=3_600_000_000)
    """Length of a window in µs."""
    size: tuple[int, int] | None = None
    """(height, width) of a frame; the sensor's own size when left out."""
    origin_us: int | None = Field(None, gt=-TIME_LIMIT_US, lt=TIME_LIMIT_US)
    """Event time at which window 0 starts; the recording's first event when left out."""
    max_gap_us: int = Field(3_600_000_000, gt=0, le=TIME_LIMIT_US // 2)
    """A longer gap between two events is taken for a broken clock and ends the run."""


class TimeBinState(NamedTuple):
    """The grid and the windows that are not sent yet; ``stack`` is written to in place."""

    stream: str
    epoch: int
    columns: NDArray[np.int64]
    rows: NDArray[np.int64]
    stack: NDArray[np.uint16]
    """(windows, 2, height, width); all but the first are zero between messages."""
    origin_us: int | None
    window_start_us: int
    """Start of the open window, which is the first of the stack."""
    last_event_us: NDArray[np.int64]
    has_event: NDArray[np.bool_]
    tally: NDArray[np.int64]
    taken: int
    sent: int
    """Windows sent."""
    limit_us: int
    """No event may be later: the end of the window of the event before it, and max_gap_us."""
    latest_event_us: int | None
    """Time of the latest event in the windows sent."""
    watermark_us: int


class TimeBin(Transform[TimeBinConfig, TimeBinState]):
    """Count events per pixel and polarity in fixed windows of event time."""

    Config = TimeBinConfig
    takes = (EventsPort,)

    def port(self) -> FramesPort:
        """Return the frames' shape, from the size asked for or from the sensor."""
        (events,) = self.inputs
        assert isinstance(events, EventsPort)
        size = self.config.size
        height, width = (events.height, events.width) if size is None else size
        for name, target, sensor in (
            ("height", height, events.height),
            ("width", width, events.width),
        ):
            if target is not None and target < 1:
                raise PortError("size", f"{name} must be > 0, got {target}")
            if target is not None and sensor is not None and target > sensor:
                raise PortError(
                    "size",
                    f"{name} must be <= {sensor}, the sensor's, got {target};"
                    " bins can only be made coarser than the sensor",
                )
        window_us = self.config.window_us
        return FramesPort(2, height, width, window_us, window_us)

    def open(self) -> None:
        """Compile the kernel, or load it from Numba's cache."""
        from stages.binning import kernel

        self._kernel = kernel
        warm = self.start(Start(stream="", width=1, height=1, source=""), size=(1, 1))
        self._count(warm._replace(origin_us=0), _no_events(), 0)

    def start(self, header: Start, size: tuple[int, int] | None = None) -> TimeBinState:
        """Return the state in front of a recording's first event."""
        height, width = size or self.config.size or (header.height, header.width)
        if height > header.height or width > header.width:
            raise StageError(
                f"size ({height}, {width}) is finer than the sensor ({header.height},"
                f" {header.width}) of {header.source}; bins can only be made coarser"
            )
        frame_bytes = 2 * height * width * 2
        windows = max(2, min(_STACK_WINDOWS, _STACK_BYTES // frame_bytes))
        return TimeBinState(
            stream=header.stream,
            epoch=header.epoch,
            columns=self._kernel.scaling_table(header.width, width),
            rows=self._kernel.scaling_table(header.height, height),
            stack=np.zeros((windows, 2, height, width), dtype=np.uint16),
            origin_us=self.config.origin_us,
            window_start_us=self.config.origin_us or 0,
            last_event_us=np.zeros(windows, dtype=np.int64),
            has_event=np.zeros(windows, dtype=np.bool_),
            tally=np.zeros(4, dtype=np.int64),
            taken=0,
            sent=0,
            limit_us=(self.config.origin_us or 0) + self._reach_us,
            latest_event_us=None,
            watermark_us=np.iinfo(np.int64).min,
        )

    def process(
        self, state: TimeBinState, message: Message
    ) -> Generator[Message, None, TimeBinState]:
        """Count the events of a message; yield the windows that they close."""
        header, events = message.header, message.array
        assert isinstance(header, Events)
        state = state._replace(taken=state.taken + len(events))
        done = 0
        while done < len(events):
            if state.origin_us is None:
                first_us = int(events["t"][done])
                if abs(first_us) >= TIME_LIMIT_US:
                    state.tally[self._kernel.OVERFLOW] += 1
                    done += 1
                    continue
                state = state._replace(
                    origin_us=first_us,
                    window_start_us=first_us,
                    limit_us=first_us + self._reach_us,
                )
            done, used, start_us, why = self._count(state, events, done)
            if used:
                yield self._frames(state, used)
                state = self._advance(state, used)
            if state.has_event[0]:
                state = state._replace(limit_us=state.window_start_us + self._reach_us)
            if why == self._kernel.GAP:
                raise StageError(self._gap(int(events["t"][done]), start_us))
        if state.origin_us is not None:
            state = state._replace(watermark_us=max(state.watermark_us, header.watermark_us))
            if not self._live and header.watermark_us > state.limit_us:
                raise StageError(self._gap(header.watermark_us, state.window_start_us))
            while state.window_start_us + self.config.window_us <= header.watermark_us:
                behind_us = header.watermark_us - state.window_start_us
                used = min(behind_us // self.config.window_us, len(state.stack) - 1)
                yield self._frames(state, used)
                state = self._advance(state, used)
            if self._live:
                # A live source that is idle keeps its clock; a recording has none of its own.
                reach_us = state.window_start_us + self._reach_us
                state = state._replace(limit_us=max(state.limit_us, reach_us))
        return state

    def finish(self, state: TimeBinState) -> Generator[Message, None, TimeBinState]:
        """Close the window that holds the last event and mark it partial."""
        if state.origin_us is not None and state.has_event[0]:
            yield self._frames(state, 1, partial=True)
            state = self._advance(state, 1)
        return state

    def account(self, state: TimeBinState) -> Account:
        """Return events binned and refused, and windows sent and due."""
        kernel = self._kernel
        refused = {
            "late": int(state.tally[kernel.LATE]),
            "outside the sensor": int(state.tally[kernel.OUTSIDE]),
            "of impossible time": int(state.tally[kernel.OVERFLOW]),
        }
        return Account(
            taken=state.taken,
            used=state.taken - sum(refused.values()),
            made=state.sent,
            unit_in="events",
            unit_out="windows",
            refused=refused,
            due=self._due(state),
            notes={"counts cut at 65535": int(state.tally[kernel.SATURATED])},
        )

    @property
    def _reach_us(self) -> int:
        """How far behind the start of an event's window the next event may be."""
        return self.config.window_us + self.config.max_gap_us

    @property
    def _live(self) -> bool:
        (events,) = self.inputs
        return isinstance(events, EventsPort) and events.live

    def _due(self, state: TimeBinState) -> int:
        """Return how many windows the grid has up to the last event, or up to the watermark."""
        if state.origin_us is None:
            return 0
        window_us = self.config.window_us
        by_watermark = max(0, (state.watermark_us - state.origin_us) // window_us)
        if state.latest_event_us is None:
            return by_watermark
        return max(by_watermark, (state.latest_event_us - state.origin_us) // window_us + 1)

    def _count(
        self, state: TimeBinState, events: NDArray[Any], begin: int
    ) -> tuple[int, int, int, int]:
        """Run the kernel from event ``begin`` on."""
        result: tuple[int, int, int, int] = self._kernel.count_events(
            events,
            begin,
            state.window_start_us,
            self.config.window_us,
            self.config.max_gap_us,
            state.limit_us,
            state.columns,
            state.rows,
            state.stack,
            0,
            state.last_event_us,
            state.has_event,
            state.tally,
        )
        return result

    def _frames(self, state: TimeBinState, used: int, partial: bool = False) -> Message:
        """Make a message of the first ``used`` windows of the stack."""
        window_us = self.config.window_us
        last = state.last_event_us[:used].tolist()
        has = state.has_event[:used].tolist()
        windows = Windows(
            first=state.sent,
            start_us=state.window_start_us,
            length_us=window_us,
            step_us=window_us,
            last_event_us=tuple(t if held else None for t, held in zip(last, has, strict=True)),
            partial=partial,
        )
        return data(
            Frames,
            self._kernel.narrow(state.stack[:used]),
            stream=state.stream,
            epoch=state.epoch,
            t_first_us=windows.start_us,
            t_last_us=windows.span_us(used - 1)[1],
            windows=windows,
        )

    def _advance(self, state: TimeBinState, used: int) -> TimeBinState:
        """Drop the first ``used`` windows; the open one moves to the front."""
        latest_us = state.latest_event_us
        if state.has_event[:used].any():
            latest_us = int(state.last_event_us[:used][state.has_event[:used]][-1])
        for array in (state.stack, state.last_event_us, state.has_event):
            array[0] = array[used]
            array[1 : used + 1] = 0
        return state._replace(
            window_start_us=state.window_start_us + used * self.config.window_us,
            sent=state.sent + used,
            latest_event_us=latest_us,
        )

    def _gap(self, t_us: int, window_start_us: int) -> str:
        gap_s = (t_us - window_start_us) / 1e6
        return (
            f"event time jumps to {t_us} µs, {gap_s:.0f} s ahead; a gap must not exceed"
            f" max_gap_us = {self.config.max_gap_us}: raise it, or repair the recording's clock"
        )


def _no_events() -> NDArray[Any]:
    events = empty_events(0)
    events.setflags(write=False)
    return events

"""Video: the source that plays video files, and folders of pictures that are the frames of one.

Each clip is a recording of its own. A frame is due at its time, and stands for the length of one
frame from then on. To scale frames, put the stage `resize` behind, in the same ``group`` so that
they are not copied.
"""

from collections import Counter
from collections.abc import Generator, Iterator
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import FilePath
from pipeline.errors import RecordingError
from pipeline.messages import EndRecording, Frames, Message, Start, Windows, control, data
from pipeline.ports import FramesPort
from pipeline.stage import Account, Played, PortError, Source, StageConfig
from stages.sources.clip import Clip, Shot, open_clip
from stages.sources.clip_files import clips_in
from stages.sources.opencv import import_opencv, require_opencv
from stages.sources.spread import spread

__all__ = ["Video", "VideoConfig", "VideoState"]

_MESSAGE_BYTES = 4 << 20
_LOOKED_AT = 32
"""Clips that `pipeline check` opens; a set may have thousands."""


class VideoConfig(StageConfig):
    """Options of `video`."""

    path: FilePath | list[FilePath]
    """A video; a folder of pictures, which are the frames of one; a folder of such videos and
    folders, which are played by name; a pattern such as ``gestures/*/*.mp4``; or a list of
    these."""
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    """The channels of a frame, in their order; also what the frames are called further on."""
    rate_hz: float | None = Field(None, gt=0, le=10_000, allow_inf_nan=False)
    """Frames a second: required for pictures, which have no times; a video's own times when left
    out."""
    start_us: int = Field(0, ge=0)
    """Where to start in each clip, counted from its first frame, in µs."""
    stop_us: int | None = Field(None, gt=0)
    """Where to stop in each clip, counted from its first frame, in µs; that moment itself is not
    played. At its end when left out."""
    steps: int | None = Field(None, ge=1, le=100_000)
    """Frames to take of each clip, spread evenly; a clip of fewer repeats some of them. All when
    left out."""
    spacing: float | None = Field(None, ge=1, le=1000)
    """With ``steps``: how many frames it is from one that is taken to the next, at most; those that
    are taken then lie in the middle of a longer clip."""
    speed: float = Field(0.0, ge=0, allow_inf_nan=False)
    """1 is real time, 2 twice as fast, 0 as fast as the pipeline can."""
    on_damage: Literal["raise", "drop"] = "raise"
    """At a damaged frame or a truncated end: ``raise`` ends the run when all before it was worked
    on, ``drop`` leaves out what cannot be read and goes on."""


class VideoState(NamedTuple):
    """Where the source is: ``frame`` frames behind the start of clip ``turn``."""

    turn: int
    """The clip being played, or to be played next."""
    within: bool
    """Whether it was begun."""
    frame: int
    """Frames of it that are done with: sent, or damaged."""
    sent: int
    """Frames sent in all."""
    damaged: int
    """Frames that could not be read, as far as is known."""
    passed_over: int
    """Clips that could not be opened."""
    short: int
    """Clips that have one frame fewer than they announce; some containers only estimate."""


class Video(Source[VideoConfig, VideoState]):
    """Play videos and folders of pictures, frame by frame.

    Reads whatever container and codec OpenCV does; needs OpenCV.
    """

    Config = VideoConfig
    free = ("speed",)

    def port(self) -> FramesPort:
        """Open the clips for their size and rate; None where they differ."""
        config = self.config
        require_opencv("video")
        if config.stop_us is not None and config.stop_us <= config.start_us:
            raise PortError(
                "stop_us", f"must be > start_us = {config.start_us}, got {config.stop_us}"
            )
        if config.spacing is not None and config.steps is None:
            raise PortError("spacing", f"has no meaning without steps, got {config.spacing:g}")
        sizes, periods_us = set(), set()
        try:
            for path in self._playlist()[:_LOOKED_AT]:
                try:
                    with open_clip(path, config.rate_hz) as clip:
                        sizes.add(clip.size)
                        periods_us.add(clip.period_us)
                except RecordingError:
                    if config.on_damage == "raise":
                        raise
        except RecordingError as error:
            raise PortError("path", str(error)) from None
        height, width = sizes.pop() if len(sizes) == 1 else (None, None)
        period_us = periods_us.pop() if len(periods_us) == 1 and config.steps is None else None
        channels = 1 if config.colour == "grey" else 3
        return FramesPort(
            channels, height, width, period_us, period_us, config.colour, "video", config.steps
        )

    @property
    def speed(self) -> float:
        """How many times faster than recorded to play; 0 is as fast as possible."""
        return self.config.speed

    def recordings(self) -> list[Path]:
        """Return the clips of one time through."""
        return self._playlist()

    def initial_state(self) -> VideoState:
        """Return the place before the first clip."""
        return VideoState(0, False, 0, 0, 0, 0, 0)

    def play(self, state: VideoState) -> Iterator[Played[VideoState]]:
        """Yield the clips from ``state`` on."""
        for path in self._playlist()[state.turn :]:
            try:
                numbers, missing = self._plan(path)
                clip = open_clip(path, self.config.rate_hz)
            except RecordingError as error:
                if self.config.on_damage == "raise":
                    raise
                state = state._replace(turn=state.turn + 1, passed_over=state.passed_over + 1)
                yield Played([], state, remark=f"{error}; passed over")
                continue
            with clip:
                state = yield from self._play(state, clip, numbers, missing)

    def account(self, state: VideoState) -> Account:
        """Return frames played, and frames that could not be read."""
        due = None
        if self.config.steps is not None and not state.damaged:
            due = (state.turn - state.passed_over) * self.config.steps + state.frame
        return Account(
            taken=state.sent + state.damaged,
            used=state.sent,
            made=state.sent,
            unit_in="frames",
            unit_out="frames",
            refused={"damaged": state.damaged},
            due=due,
            notes={
                "clips passed over": state.passed_over,
                "clips one frame short": state.short,
            },
        )

    def _playlist(self) -> list[Path]:
        paths = self.config.path if isinstance(self.config.path, list) else [self.config.path]
        if not paths:
            raise RecordingError("the list is empty; name at least one video")
        return [clip for path in paths for clip in clips_in(path)]

    def _play(
        self, state: VideoState, clip: Clip, numbers: list[int] | None, missing: int
    ) -> Generator[Played[VideoState], None, VideoState]:
        """Play one clip from ``state`` on, see `_plan`; return the state behind it."""
        damage: RecordingError | None = None
        shots = self._shots(clip, numbers)
        if not state.within:
            first = next(shots, None)
            state = state._replace(within=True, frame=0)
            yield Played([self._start(clip, state.turn, first)], state)
            shots = chain([] if first is None else [first], shots)
        for run in self._runs(islice(shots, state.frame, None), clip):
            if run.times_us:
                message = self._message(run, state, clip.period_us)
                done = len(run.times_us)
                state = state._replace(frame=state.frame + done, sent=state.sent + done)
                yield Played([message], state, run.times_us[0])
            if run.damage is not None:
                state = state._replace(frame=state.frame + 1, damaged=state.damaged + 1)
                if self.config.on_damage == "raise":
                    damage = run.damage
                    break
                yield Played([], state, remark=f"{run.damage}; left out")
        missing = missing if clip.missing is None else clip.missing
        if damage is None and missing > 1:
            damage = RecordingError(
                f"{clip.path}: is truncated or damaged: of {clip.announced} frames that it"
                f" announces the last {missing} cannot be read; those before were played; copy it"
                ' again, or set on_damage = "drop"'
            )
            state = state._replace(damaged=state.damaged + missing)
        ending = EndRecording(stream=self.name, epoch=state.turn)
        state = state._replace(
            turn=state.turn + 1, within=False, frame=0, short=state.short + (missing == 1)
        )
        yield Played([control(ending)], state, remark=str(damage or ""))
        if damage is not None and self.config.on_damage == "raise":
            raise damage
        return state

    def _plan(self, path: Path) -> tuple[list[int] | None, int]:
        """Return the numbers of the ``steps`` frames to take, and how many frames are missing.

        Without ``steps`` nothing is counted beforehand: None, and 0.

        Raises:
            RecordingError: the clip cannot be read, or there is no frame to take.
        """
        if self.config.steps is None:
            return None, 0
        with open_clip(path, self.config.rate_hz) as clip:
            times_us = [shot.t_us for shot in clip.walk()]
        inside = [k for k, t_us in enumerate(times_us) if self._place(t_us - times_us[0]) == 0]
        if not inside:
            raise RecordingError(
                f"{path}: has no frame between start_us and stop_us, of {len(times_us)} in all"
            )
        taken = spread(len(inside), self.config.steps, self.config.spacing)
        return [inside[k] for k in taken], clip.missing or 0

    def _shots(self, clip: Clip, numbers: list[int] | None) -> Iterator[Shot]:
        """Yield the frames to play: those numbered, which may repeat, or all within the times."""
        if numbers is not None:
            repeats = Counter(numbers)
            for number, shot in enumerate(islice(clip.walk(), numbers[-1] + 1)):
                yield from repeat(shot, repeats[number])
            return
        origin_us: int | None = None
        for shot in clip.walk():
            origin_us = shot.t_us if origin_us is None else origin_us
            place = self._place(shot.t_us - origin_us)
            if place > 0:
                break
            if place == 0:
                yield shot

    def _place(self, t_us: int) -> int:
        """Return -1 before ``start_us``, 0 behind it, 1 from ``stop_us`` on."""
        stop_us = self.config.stop_us
        return -1 if t_us < self.config.start_us else int(stop_us is not None and t_us >= stop_us)

    def _runs(self, shots: Iterator[Shot], clip: Clip) -> Iterator["_Run"]:
        """Decode frames, and gather those of a message; a damaged one ends its run."""
        channels = 1 if self.config.colour == "grey" else 3
        frame_bytes = channels * clip.size[0] * clip.size[1]
        at_once = 1 if self.config.speed else max(1, _MESSAGE_BYTES // frame_bytes)
        run = _Run([], [], None)
        for shot in shots:
            try:
                run.frames.append(self._in_colour(shot.decode()))
            except RecordingError as error:
                yield run._replace(damage=error)
                run = _Run([], [], None)
                continue
            run.times_us.append(shot.t_us)
            if len(run.times_us) == at_once:
                yield run
                run = _Run([], [], None)
        if run.times_us:
            yield run

    def _in_colour(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn blue, green, red (height, width, 3) into a frame (channels, height, width)."""
        if self.config.colour == "grey":
            cv2 = import_opencv("video")
            grey: NDArray[np.uint8] = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            return grey[np.newaxis]
        channels = picture if self.config.colour == "bgr" else picture[..., ::-1]
        return channels.transpose(2, 0, 1)

    def _start(self, clip: Clip, epoch: int, first: Shot | None) -> Message:
        height, width = clip.size
        return control(
            Start(
                stream=self.name,
                epoch=epoch,
                width=width,
                height=height,
                source=str(clip.path),
                t_first_us=None if first is None else first.t_us,
            )
        )

    def _message(self, run: "_Run", state: VideoState, period_us: int) -> Message:
        spans_us = tuple((t_us, t_us + period_us) for t_us in run.times_us)
        windows = Windows(
            first=state.frame,
            start_us=run.times_us[0],
            length_us=0,
            step_us=0,
            # A frame is there when its time has come: that is what latency is counted from.
            last_event_us=tuple(run.times_us),
            spans_us=spans_us,
        )
        return data(
            Frames,
            np.stack(run.frames),
            stream=self.name,
            epoch=state.turn,
            t_first_us=run.times_us[0],
            t_last_us=spans_us[-1][1],
            windows=windows,
        )


class _Run(NamedTuple):
    """Consecutive frames, and the damage that ended them, if any."""

    times_us: list[int]
    frames: list[NDArray[np.uint8]]
    """(channels, height, width) each."""
    damage: RecordingError | None

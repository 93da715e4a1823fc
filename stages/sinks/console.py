"""Console: one line a prediction, and how many were right where the labels are known."""

import errno
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

import msgspec
from pydantic import Field

from pipeline.config import FilePath
from pipeline.errors import StageError
from pipeline.messages import Message, Predictions, Start
from pipeline.ports import PredictionsPort
from pipeline.scores import MEANINGS, share
from pipeline.stage import Account, PortError, Sink, StageConfig
from stages.sinks.prediction import SHED, Prediction, predictions_in
from stages.sinks.truth import LabelFile, Truth, check_beside, check_labels, truth_beside

__all__ = ["Console", "ConsoleConfig", "ConsoleState"]

_BAR = 20


_NO_READER = (errno.EPIPE, errno.EIO)
"""A pipe whose reader has left, a terminal that was closed."""


class ConsoleConfig(StageConfig):
    """Options of `console`."""

    judge: bool = True
    """Where a label file NAME_labels.csv lies beside the recording (class from 1, startTime_usec,
    endTime_usec, as DVS128 Gesture has it), or the recording lies in a folder that is named after a
    class, say of each prediction whether it is right, and at the end how many were."""
    labels: FilePath | None = None
    """A file that says it instead: a table of recordings as the data set ``recordings`` has it
    (tab-separated, the first line names file, label and if wanted start_us and end_us), or a label
    file as above, of the one recording that is played."""
    every: int = Field(1, ge=1)
    """Print every n-th prediction; all are counted."""


class ConsoleState(NamedTuple):
    """Predictions of this recording."""

    recording: str
    """What its source calls it: the file that is replayed."""
    truth: Truth
    taken: int
    judged: int
    """Those made wholly from windows within one label, or all where the folder tells."""
    right: int
    origin_us: int | None
    """Times are printed relative to the first prediction's start."""
    has_gap: bool = False
    """It begins behind an interruption of the run: its Start has ``lost_events`` or ``gap_us``."""


class Console(Sink[ConsoleConfig, ConsoleState]):
    """Print each prediction on a line of its own: time, bar, score and class.

    The score is that of the class. What it is says the first line:

    - of networks whose last layer has a neuron a class (dvs_gesture, rgb_gesture) the share of the
      steps in which the neuron fired, or, in analog mode, the mean of what it put out;
    - of imdb a probability;
    - of all others a logit: any number, of which only the differences between classes count;
    - with ``take = "vote"`` the share of the steps that the class won.

    The bar is the score itself where that goes from 0 to 1. Of logits it is the class's share by
    softmax, of mean outputs the class's share of all classes' sum. Scores of a stage that does not
    say what they are fill it at 1.

    ``(partial)`` behind the class: it was made of less than asked for, because the recording ended.
    ``(shed)``: overload took something from its windows or from those before them. ``(gap)``: it is
    the first of a recording that begins behind an interruption of the run, in which a device was
    not listened to.
    """

    Config = ConsoleConfig
    free = ("every",)
    takes = (PredictionsPort,)
    many_inputs = True
    delivers = "what was printed cannot be taken back"

    def port(self) -> None:
        """Look into the labels."""
        if self.config.labels is not None and not self.config.judge:
            raise PortError("labels", "has no meaning with judge = false; leave one of them out")
        check_labels(self.config.labels, self.inputs)

    def check_recordings(self, recordings: Sequence[Path]) -> None:
        """Look into the labels beside the recordings."""
        if self.config.judge and self.config.labels is None:
            check_beside(recordings, self.inputs)

    def open(self) -> None:
        """Prepare standard output."""
        path = self.config.labels
        self._labels = None if path is None else LabelFile(path, self.inputs)
        self._heard, self._begun = True, False
        self._recordings = self._judged = self._right = 0
        kinds = {port.scores for port in self.inputs if isinstance(port, PredictionsPort)}
        self._scores = kinds.pop() if len(kinds) == 1 else "score"
        if isinstance(sys.stdout, TextIOWrapper):
            # A terminal that lacks a sign shows another; that is no reason to end a run.
            sys.stdout.reconfigure(errors="replace")

    def close(self) -> None:
        """Say how many predictions of several recordings were right, or that none was judged."""
        if self._begun and self._labels is not None and not self._judged:
            self._print(
                "── nothing was judged: no prediction lies within a stretch of"
                f" {self.config.labels}; its files must be those played, its times the recordings'"
                " own, in µs"
            )
        if self._recordings > 1:
            self._print(
                f"── in {self._recordings} recordings {self._right} of {self._judged} predictions"
                f" right ({self._right / self._judged:.1%})"
            )

    def commit(self) -> tuple[bool, int, int, int]:
        """Return what was counted: the totals stay right though lines may come twice."""
        return self._begun, self._recordings, self._judged, self._right

    def rewind(self, position: tuple[bool, int, int, int]) -> None:
        """Go on counting."""
        self._begun, self._recordings, self._judged, self._right = position

    def restore(self, saved: ConsoleState | None) -> ConsoleState | None:
        """Return the state of the recording that is played on."""
        if saved is not None and self._labels is not None:
            self._labels.play_on(saved.recording)
        return saved

    def start(self, header: Start) -> ConsoleState:
        """Begin to count; name the recording and read its labels."""
        if not self._begun and self._scores in MEANINGS:
            score, bar = MEANINGS[self._scores]
            self._print(f"── a score is {score}; the bar shows {bar}")
        self._begun = True
        self._print(f"── {_near(header.source)} ({header.width}×{header.height})")
        truth = Truth((), by_folder=False)
        if self._labels is not None:
            truth = self._labels.of(header)
        elif self.config.judge:
            truth = truth_beside(header, self.inputs)
        has_gap = bool(header.lost_events or header.gap_us)
        return ConsoleState(header.source, truth, 0, 0, 0, header.t_first_us, has_gap)

    def write(self, state: ConsoleState, message: Message) -> ConsoleState:
        """Print the predictions of a message."""
        assert isinstance(message.header, Predictions)
        classes = message.header.classes
        for prediction in predictions_in(message, state.recording):
            truth = state.truth.of(prediction, classes)
            right = truth == prediction.label
            if state.taken % self.config.every == 0:
                gap = " (gap)" if state.has_gap and not state.taken else ""
                self._print(self._line(prediction, truth, state.origin_us) + gap)
            state = state._replace(
                taken=state.taken + 1,
                judged=state.judged + (truth is not None),
                right=state.right + right,
            )
        return state

    def end(self, state: ConsoleState) -> ConsoleState:
        """Say how many predictions were right, where there were several."""
        if state.judged:
            self._recordings += 1
            self._judged += state.judged
            self._right += state.right
        if state.truth.labels and state.judged:
            self._print(
                f"{_sum(state)}, of those made within one labelled stretch; {state.taken} in all"
            )
        elif state.judged > 1:
            self._print(f"{_sum(state)}, by the name of the folder")
        return state

    def account(self, state: ConsoleState) -> Account:
        """Return predictions taken."""
        return Account.one_to_one(state.taken, "predictions", "predictions")

    def _print(self, line: str) -> None:
        """Print, as long as there is a reader; the run and its other sinks go on without one."""
        if self._heard:
            try:
                print(line, flush=True)
            except OSError as error:
                # Python flushes standard output once more when the process ends.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                self._heard = False
                if error.errno in _NO_READER:
                    return
                raise StageError(f"standard output cannot be written: {error.strerror}") from None

    def _line(self, prediction: Prediction, truth: str | None, origin_us: int | None) -> str:
        score = prediction.scores[prediction.class_]
        filled = round(share(self._scores, prediction.scores, prediction.class_) * _BAR)
        bar = "█" * filled + "·" * (_BAR - filled)
        seconds = (prediction.t_end_us - (origin_us or 0)) / 1e6
        verdict = ""
        if truth is not None:
            verdict = " ✓" if truth == prediction.label else f" ✗ {truth}"
        shed = any(getattr(prediction, name) is not msgspec.UNSET for name in SHED)
        marks = f"{verdict}{' (partial)' if prediction.partial else ''}{' (shed)' if shed else ''}"
        return f"{seconds:9.3f} s  {bar} {score:5.2f}  {prediction.label}{marks}"


def _sum(state: ConsoleState) -> str:
    share = state.right / state.judged
    return f"── {state.right} of {state.judged} predictions right ({share:.1%})"


def _near(source: str) -> str:
    """Return a path as one would type it here, if it lies in the working directory."""
    return os.path.relpath(source) if Path(source).is_relative_to(Path.cwd()) else source

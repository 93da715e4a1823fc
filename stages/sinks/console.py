"""Console: one line a prediction, and how many were right where the labels are known."""

import os
import sys
from bisect import bisect_right
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from pipeline.errors import StageError
from pipeline.messages import Message, Predictions, Start
from pipeline.ports import PredictionsPort
from pipeline.stage import Account, Sink, StageConfig
from stages.datasets.labels import Label, LabelError, class_of_folder, labels_path, read_labels
from stages.sinks.prediction import Prediction, predictions_in
from stages.sinks.scores import MEANINGS, share

__all__ = ["Console", "ConsoleConfig", "ConsoleState"]

_BAR = 20


class ConsoleConfig(StageConfig):
    """Options of `console`."""

    judge: bool = True
    """Where a label file NAME_labels.csv lies beside the recording (class from 1, startTime_usec,
    endTime_usec, as DVS128 Gesture has it), or the recording lies in a folder that is named after a
    class, say of each prediction whether it is right, and at the end how many were."""
    every: int = Field(1, ge=1)
    """Print every n-th prediction; all are counted."""


class ConsoleState(NamedTuple):
    """Predictions of this recording."""

    recording: str
    """What its source calls it: the file that is replayed."""
    labels: tuple[Label, ...]
    by_folder: bool
    """Whether it has no labels, so that the folder it lies in may tell what it shows."""
    taken: int
    judged: int
    """Those made wholly from windows within one label, or all where the folder tells."""
    right: int
    origin_us: int | None
    """Times are printed relative to the first prediction's start."""


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
    """

    Config = ConsoleConfig
    takes = (PredictionsPort,)
    many_inputs = True

    def open(self) -> None:
        """Prepare standard output."""
        self._heard, self._begun = True, False
        self._recordings = self._judged = self._right = 0
        kinds = {port.scores for port in self.inputs if isinstance(port, PredictionsPort)}
        self._scores = kinds.pop() if len(kinds) == 1 else "score"
        if isinstance(sys.stdout, TextIOWrapper):
            # A terminal that lacks a sign shows another; that is no reason to end a run.
            sys.stdout.reconfigure(errors="replace")

    def close(self) -> None:
        """Say how many predictions of several recordings were right."""
        if self._recordings > 1:
            self._print(
                f"── in {self._recordings} recordings {self._right} of {self._judged} predictions"
                f" right ({self._right / self._judged:.1%})"
            )

    def start(self, header: Start) -> ConsoleState:
        """Begin to count; name the recording and read its labels."""
        if not self._begun and self._scores in MEANINGS:
            score, bar = MEANINGS[self._scores]
            self._print(f"── a score is {score}; the bar shows {bar}")
        self._begun = True
        self._print(f"── {_near(header.source)} ({header.width}×{header.height})")
        labels = tuple(
            Label(one.start_us + header.shift_us, one.end_us + header.shift_us, one.class_index)
            for one in self._labels_of(header)
        )
        by_folder = self.config.judge and not labels
        return ConsoleState(header.source, labels, by_folder, 0, 0, 0, header.t_first_us)

    def write(self, state: ConsoleState, message: Message) -> ConsoleState:
        """Print the predictions of a message."""
        assert isinstance(message.header, Predictions)
        classes = message.header.classes
        for prediction in predictions_in(message, state.recording):
            truth = _truth(prediction, state, classes)
            right = truth == prediction.label
            if state.taken % self.config.every == 0:
                self._print(self._line(prediction, truth, state.origin_us))
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
        if state.labels and state.judged:
            self._print(
                f"{_sum(state)}, of those made within one labelled stretch; {state.taken} in all"
            )
        elif state.judged > 1:
            self._print(f"{_sum(state)}, by the name of the folder")
        return state

    def account(self, state: ConsoleState) -> Account:
        """Return predictions taken."""
        return Account.one_to_one(state.taken, "predictions", "predictions")

    def _labels_of(self, header: Start) -> tuple[Label, ...]:
        """Read the labels beside a recording, if there are any.

        Raises:
            StageError: they cannot be read, or name a class that is not predicted.
        """
        path = labels_path(Path(header.source))
        if not self.config.judge or not path.is_file():
            return ()
        try:
            labels = read_labels(path)
        except LabelError as error:
            raise StageError(f"{error}; mend it, or set judge = false") from None
        known = min(len(port.classes) for port in self.inputs if isinstance(port, PredictionsPort))
        highest = max((label.class_index + 1 for label in labels), default=0)
        if highest > known:
            raise StageError(
                f"{path}: names class {highest}, the model has {known} classes; set judge = false"
            )
        return labels

    def _print(self, line: str) -> None:
        """Print, as long as there is a reader; the run and its other sinks go on without one."""
        if self._heard:
            try:
                print(line, flush=True)
            except BrokenPipeError:
                self._heard = False
                # Python flushes standard output once more when the process ends.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except OSError as error:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise StageError(f"standard output cannot be written: {error.strerror}") from None

    def _line(self, prediction: Prediction, truth: str | None, origin_us: int | None) -> str:
        score = prediction.scores[prediction.class_]
        filled = round(share(self._scores, prediction.scores, prediction.class_) * _BAR)
        bar = "█" * filled + "·" * (_BAR - filled)
        seconds = (prediction.t_end_us - (origin_us or 0)) / 1e6
        verdict = ""
        if truth is not None:
            verdict = " ✓" if truth == prediction.label else f" ✗ {truth}"
        partial = " (partial)" if prediction.partial else ""
        return f"{seconds:9.3f} s  {bar} {score:5.2f}  {prediction.label}{verdict}{partial}"


def _truth(prediction: Prediction, state: ConsoleState, classes: tuple[str, ...]) -> str | None:
    """Return the label of the stretch that the prediction's windows lie in, or of the folder."""
    if state.by_folder:
        found = class_of_folder(Path(prediction.recording), classes)
        return None if found is None else classes[found]
    k = bisect_right(state.labels, (prediction.t_start_us, sys.maxsize, 0)) - 1
    if k < 0 or prediction.t_end_us > state.labels[k].end_us:
        return None
    return classes[state.labels[k].class_index]


def _sum(state: ConsoleState) -> str:
    share = state.right / state.judged
    return f"── {state.right} of {state.judged} predictions right ({share:.1%})"


def _near(source: str) -> str:
    """Return a path as one would type it here, if it lies in the working directory."""
    return os.path.relpath(source) if Path(source).is_relative_to(Path.cwd()) else source

"""Console: one line a prediction, and how many were right where the labels are known."""

import os
import sys
from bisect import bisect_right
from io import TextIOWrapper
from typing import NamedTuple

from pydantic import Field

from pipeline.config import FilePath
from pipeline.errors import StageError
from pipeline.messages import Message, Predictions, Start
from pipeline.ports import PredictionsPort
from pipeline.stage import Account, PortError, Sink, StageConfig
from stages.datasets.labels import Label, LabelError, read_labels
from stages.sinks.prediction import Prediction, predictions_in

__all__ = ["Console", "ConsoleConfig", "ConsoleState"]

_BAR = 20


class ConsoleConfig(StageConfig):
    """Options of `console`."""

    labels: FilePath | None = None
    """A label file as DVS128 Gesture has it (class from 1, startTime_usec, endTime_usec): each line
    then says whether it is right, and the last one how many were."""
    every: int = Field(1, ge=1)
    """Print every n-th prediction; all are counted."""


class ConsoleState(NamedTuple):
    """Predictions of this recording."""

    taken: int
    judged: int
    """Those made wholly from windows within one label."""
    right: int
    origin_us: int | None
    """Times are printed relative to the first prediction's start."""


class Console(Sink[ConsoleConfig, ConsoleState]):
    """Print each prediction on a line of its own."""

    Config = ConsoleConfig
    takes = (PredictionsPort,)
    many_inputs = True

    def port(self) -> None:
        """Look whether the labels can be read, and name no class that is not predicted."""
        known = min(len(port.classes) for port in self.inputs if isinstance(port, PredictionsPort))
        highest = max((label.class_index for label in self._read_labels()), default=0)
        if highest >= known:
            raise PortError("labels", f"name class {highest + 1}, the model has {known} classes")

    def open(self) -> None:
        """Read the labels."""
        self._labels = self._read_labels()
        self._heard = True
        if isinstance(sys.stdout, TextIOWrapper):
            # A terminal that lacks a sign shows another; that is no reason to end a run.
            sys.stdout.reconfigure(errors="replace")

    def start(self, header: Start) -> ConsoleState:
        """Begin to count; name the recording."""
        self._print(f"── {header.source} ({header.width}×{header.height})")
        return ConsoleState(0, 0, 0, header.t_first_us)

    def write(self, state: ConsoleState, message: Message) -> ConsoleState:
        """Print the predictions of a message."""
        assert isinstance(message.header, Predictions)
        classes = message.header.classes
        for prediction in predictions_in(message):
            truth = self._truth(prediction, classes)
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
        """Say how many predictions were right."""
        if state.judged:
            self._print(
                f"── {state.right} of {state.judged} predictions right"
                f" ({state.right / state.judged:.1%}), of those made within one labelled stretch;"
                f" {state.taken} in all"
            )
        return state

    def account(self, state: ConsoleState) -> Account:
        """Return predictions taken."""
        return Account.one_to_one(state.taken, "predictions", "predictions")

    def _read_labels(self) -> tuple[Label, ...]:
        path = self.config.labels
        try:
            return () if path is None else read_labels(path)
        except LabelError as error:
            raise PortError("labels", str(error)) from None

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

    def _truth(self, prediction: Prediction, classes: tuple[str, ...]) -> str | None:
        """Return the label of the stretch that the prediction's windows lie in."""
        k = bisect_right(self._labels, (prediction.t_start_us, sys.maxsize, 0)) - 1
        if k < 0 or prediction.t_end_us > self._labels[k].end_us:
            return None
        return classes[self._labels[k].class_index]

    def _line(self, prediction: Prediction, truth: str | None, origin_us: int | None) -> str:
        score = prediction.scores[prediction.class_]
        filled = round(min(max(score, 0.0), 1.0) * _BAR)
        bar = "█" * filled + "·" * (_BAR - filled)
        seconds = (prediction.t_end_us - (origin_us or 0)) / 1e6
        verdict = ""
        if truth is not None:
            verdict = " ✓" if truth == prediction.label else f" ✗ {truth}"
        return f"{seconds:9.3f} s  {bar} {score:5.2f}  {prediction.label}{verdict}"

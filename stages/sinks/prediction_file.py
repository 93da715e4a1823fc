"""What the sinks that write predictions to a file share."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, Literal, NamedTuple, TypeVar

import msgspec

from pipeline.config import FilePath
from pipeline.errors import StageError
from pipeline.messages import Message, Predictions, Start
from pipeline.ports import PredictionsPort
from pipeline.stage import Account, ExactSink, PortError, StageConfig
from stages.record_file import explain
from stages.sinks.output_file import check_output
from stages.sinks.prediction import LOST, SHED, Prediction, predictions_in
from stages.sinks.truth import LabelFile, Truth, check_labels
from stages.stamp import new_owner

__all__ = ["PredictionFile", "PredictionFileConfig", "PredictionFileState"]


class PredictionFileConfig(StageConfig):
    """Options of every sink that writes predictions to a file."""

    path: FilePath
    """The file to write; its folder is made if need be."""
    if_exists: Literal["replace", "append", "refuse"] = "replace"
    """What to do with a file of that name."""
    labels: FilePath | None = None
    """A file that says what recordings show, as for `console`; each prediction then has ``truth``
    too."""


class PredictionFileState(NamedTuple):
    """What is written of this recording."""

    recording: str
    """What its source calls it: the file that is replayed."""
    truth: Truth | None
    """What it shows; None if nobody asked."""
    written: int
    """Predictions."""
    lost_events: int = 0
    """Of a device: events that a crash took before it."""
    gap_us: int = 0
    """Of a device: for how long before it nobody listened."""


C = TypeVar("C", bound=PredictionFileConfig)
P = TypeVar("P")


class PredictionFile(ExactSink[C, PredictionFileState, P], Generic[C, P]):
    """Writes each prediction as the record that `Prediction` is.

    The file is begun at the first recording, and later ones go on in it.
    """

    takes = (PredictionsPort,)
    writes = ("path",)
    many_inputs = True
    unit = "predictions"
    """What it makes of a prediction."""

    def port(self) -> None:
        """Look whether the file may be written, and look into the labels."""
        # Of a run that goes on the file is there, and is its own.
        check_output(self.config.path, "append" if self.resumes else self.config.if_exists)
        check_labels(self.config.labels, self.inputs)

    def open(self) -> None:
        """Prepare; the file itself is opened when the run starts."""
        self._owner = new_owner()
        path = self.config.labels
        self._labels = None if path is None else LabelFile(path, self.inputs)

    def restore(self, saved: PredictionFileState | None) -> PredictionFileState | None:
        """Return the state of the recording that is played on."""
        if saved is not None and self._labels is not None:
            self._labels.play_on(saved.recording)
        return saved

    def start(self, header: Start) -> PredictionFileState:
        """Begin the file at the first recording."""
        if not self._is_begun:
            # Not before the run starts: a run that cannot start leaves an old result alone.
            with self._explained():
                self.config.path.parent.mkdir(parents=True, exist_ok=True)
                self._begin()
        truth = None if self._labels is None else self._labels.of(header)
        return PredictionFileState(header.source, truth, 0, header.lost_events, header.gap_us)

    def write(self, state: PredictionFileState, message: Message) -> PredictionFileState:
        """Write the predictions of a message."""
        assert isinstance(message.header, Predictions)
        made = list(predictions_in(message, state.recording))
        if state.truth is not None:
            truth, classes = state.truth, message.header.classes
            made = [msgspec.structs.replace(one, truth=truth.of(one, classes)) for one in made]
        if state.lost_events or state.gap_us:
            lost = {"lost_events": state.lost_events, "gap_us": state.gap_us}
            made = [msgspec.structs.replace(one, **lost) for one in made]
        with self._explained():
            self._append(made)
        return state._replace(written=state.written + len(made))

    def account(self, state: PredictionFileState) -> Account:
        """Return predictions written."""
        return Account.one_to_one(state.written, "predictions", self.unit)

    @property
    @abstractmethod
    def _is_begun(self) -> bool:
        """Whether the file is open."""

    @abstractmethod
    def _begin(self) -> None:
        """Open the file as ``if_exists`` says.

        Raises:
            OSError: it cannot be written.
            StageError: what is to be appended to is no such file.
        """

    @abstractmethod
    def _append(self, predictions: Sequence[Prediction]) -> None:
        """Write predictions.

        Raises:
            OSError: they cannot be.
        """

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StageError(explain(self.config.path, error)) from None

    def _fields(self) -> list[str]:
        """Return the names of a prediction's fields, in their order."""
        names = [field.encode_name for field in msgspec.structs.fields(Prediction)]
        unasked = set[str]() if self.sheds else {*SHED}
        unasked |= set() if self.is_live else {*LOST}
        unasked |= {"truth"} if self.config.labels is None else set()
        return [name for name in names if name not in unasked]

    def _classes(self) -> tuple[str, ...]:
        """Return the classes that all inputs share, as a table with a column for each needs.

        Raises:
            PortError: they do not.
        """
        found = {port.classes for port in self.inputs if isinstance(port, PredictionsPort)}
        if len(found) != 1:
            raise PortError(
                "from",
                "its inputs predict different classes, and this file has a column for each class;"
                " give each a file of its own, or write jsonl",
            )
        return found.pop()

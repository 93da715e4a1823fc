"""JSON Lines: one object a prediction, in a file that can be followed while it grows."""

from typing import Literal, NamedTuple

import msgspec

from pipeline.config import FilePath
from pipeline.errors import StageError
from pipeline.messages import Message, Predictions, Start
from pipeline.ports import PredictionsPort
from pipeline.stage import Account, Sink, StageConfig
from stages.record_file import RecordFile, explain
from stages.sinks.output_file import check_output
from stages.sinks.prediction import predictions_in
from stages.sinks.truth import LabelFile, Truth, check_labels

__all__ = ["JsonLines", "JsonLinesConfig", "JsonLinesState"]


class JsonLinesConfig(StageConfig):
    """Options of `jsonl`."""

    path: FilePath
    """The file to write; its folder is made if need be."""
    if_exists: Literal["replace", "append", "refuse"] = "replace"
    """What to do with a file of that name."""
    labels: FilePath | None = None
    """A file that says what recordings show, as for `console`; each line then has ``truth`` too."""


class JsonLinesState(NamedTuple):
    """What is written of this recording."""

    recording: str
    """What its source calls it: the file that is replayed."""
    truth: Truth | None
    """What it shows; None if nobody asked."""
    written: int
    """Lines."""


class JsonLines(Sink[JsonLinesConfig, JsonLinesState]):
    """Write each prediction as one JSON object on a line of its own.

    ``scores`` has a number for each class, in the order of the model's classes, as the network and
    the aggregation give it, nothing is scaled: a spike rate, a mean output, a probability, a logit
    or a share of votes. Which it is depends on the model and on ``take`` alone, and is told under
    `console`. ``label`` and ``class`` are of the highest; of equal ones the first. With ``labels``
    there is ``truth`` too: the right label, null where the prediction's windows do not lie wholly
    within one labelled stretch.
    """

    Config = JsonLinesConfig
    takes = (PredictionsPort,)
    writes = ("path",)
    many_inputs = True

    def port(self) -> None:
        """Look whether the file may be written, and look into the labels."""
        check_output(self.config.path, self.config.if_exists)
        check_labels(self.config.labels, self.inputs)

    def open(self) -> None:
        """Prepare; the file itself is opened when the run starts."""
        self._file: RecordFile | None = None
        path = self.config.labels
        self._labels = None if path is None else LabelFile(path, self.inputs)
        self._encode = msgspec.json.Encoder().encode

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def start(self, header: Start) -> JsonLinesState:
        """Open the file at the first recording; later ones go on in it."""
        if self._file is None:
            # Not before the run starts: a run that cannot start leaves an old result alone.
            try:
                self.config.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = RecordFile(self.config.path, self.config.if_exists)
            except OSError as error:
                raise StageError(explain(self.config.path, error)) from None
        truth = None if self._labels is None else self._labels.of(header)
        return JsonLinesState(header.source, truth, 0)

    def write(self, state: JsonLinesState, message: Message) -> JsonLinesState:
        """Write the predictions of a message."""
        assert self._file is not None
        assert isinstance(message.header, Predictions)
        made = predictions_in(message, state.recording)
        if state.truth is not None:
            truth, classes = state.truth, message.header.classes
            made = (msgspec.structs.replace(p, truth=truth.of(p, classes)) for p in made)
        lines = [self._encode(p) + b"\n" for p in made]
        try:
            self._file.append(b"".join(lines))
        except OSError as error:
            raise StageError(explain(self.config.path, error)) from None
        return state._replace(written=state.written + len(lines))

    def account(self, state: JsonLinesState) -> Account:
        """Return predictions written."""
        return Account.one_to_one(state.written, "predictions", "lines")

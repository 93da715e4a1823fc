"""JSON Lines: one object a prediction, in a file that can be followed while it grows."""

import msgspec

from pipeline.messages import Message
from stages.sinks.line_file import LineFile
from stages.sinks.prediction import Prediction
from stages.sinks.prediction_file import PredictionFileConfig, PredictionFileState

__all__ = ["JsonLines", "JsonLinesConfig", "encode_line"]


class JsonLinesConfig(PredictionFileConfig):
    """Options of `jsonl`."""


class JsonLines(LineFile[JsonLinesConfig]):
    """Write each prediction as one JSON object on a line of its own.

    ``scores`` has a number for each class, in the order of the model's classes, as the network and
    the aggregation give it, nothing is scaled: a spike rate, a mean output, a probability, a logit
    or a share of votes. Which it is depends on the model and on ``take`` alone, and is told under
    `console`. ``label`` and ``class`` are of the highest; of equal ones the first. With ``labels``
    there is ``truth`` too: the right label, null where the prediction's windows do not lie wholly
    within one labelled stretch.
    """

    Config = JsonLinesConfig

    def _line(self, prediction: Prediction) -> bytes:
        if not any(self._gap.values()):
            return encode_line(prediction)
        return _encoder.encode(msgspec.to_builtins(prediction) | self._gap) + b"\n"


_encoder = msgspec.json.Encoder()


def encode_line(prediction: Prediction) -> bytes:
    """Return a prediction as a line of JSON."""
    return _encoder.encode(prediction) + b"\n"

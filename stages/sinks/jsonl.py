"""JSON Lines: one object a prediction, in a file that can be followed while it grows."""

import msgspec

from stages.sinks.line_file import LineFile
from stages.sinks.prediction import Prediction
from stages.sinks.prediction_file import PredictionFileConfig

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

    Where overload took something since the prediction before there are ``shed_events``,
    ``shed_windows``, ``merged_windows`` and ``shed_predictions``, those that are not 0.

    A recording that begins behind an interruption of the run, as where the process that listened to
    a camera was killed, has ``lost_events`` and ``gap_us`` in each line: how many events had come
    before it and are lost, and for how long nobody listened.
    """

    Config = JsonLinesConfig

    def _line(self, prediction: Prediction) -> bytes:
        return encode_line(prediction)


_encoder = msgspec.json.Encoder()


def encode_line(prediction: Prediction) -> bytes:
    """Return a prediction as a line of JSON."""
    return _encoder.encode(prediction) + b"\n"

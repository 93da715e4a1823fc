"""CSV: a table with a row for each prediction, for spreadsheets and data frames."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pipeline.errors import StageError
from pipeline.stage import PortError
from stages.sinks.line_file import LineFile
from stages.sinks.prediction import LOST, SHED, Prediction
from stages.sinks.prediction_file import PredictionFileConfig

__all__ = ["Csv", "CsvConfig"]

_SCORE = "score_"


class CsvConfig(PredictionFileConfig):
    """Options of `csv`."""


class Csv(LineFile[CsvConfig]):
    """Write each prediction as a row of a CSV file.

    The first line names the columns: those of `jsonl` under the same names, ``truth`` with
    ``labels`` only and empty where `jsonl` has null; and behind them ``score_CLASS`` for each
    class. In a pipeline that may shed, the columns that tell of it stand before these, and so do
    ``lost_events`` and ``gap_us`` in one of a live source. All inputs must predict the same
    classes. Text is UTF-8, and quoted where need be.
    """

    Config = CsvConfig

    def port(self) -> None:
        """Look at the classes too, and at the columns of a file that is appended to."""
        super().port()
        columns = self._columns()
        if self.config.if_exists == "append" and not self.resumes:
            try:
                _check_columns(self.config.path, columns)
            except StageError as error:
                raise PortError("path", str(error)) from None

    def _columns(self) -> bytes:
        fields = [name for name in self._fields() if name != "scores"]
        return _row([*fields, *(_SCORE + name for name in self._classes())])

    def _begin(self) -> None:
        columns = self._columns()
        super()._begin()
        assert self._file is not None
        if self._file.end:
            _check_columns(self._path, columns)
        else:
            self._file.append(columns)

    def _line(self, prediction: Prediction) -> bytes:
        values = msgspec.structs.asdict(prediction)
        scores, truth = values.pop("scores"), values.pop("truth")
        values["partial"] = "true" if prediction.partial else "false"
        known = [] if truth is msgspec.UNSET else [truth]
        shed = [values.pop(name) or 0 for name in SHED]
        lost = [values.pop(name) or 0 for name in LOST]
        shed, lost = shed if self.sheds else [], lost if self.is_live else []
        return _row([*values.values(), *known, *shed, *lost, *scores])


def _row(values: Sequence[object]) -> bytes:
    row = io.StringIO()
    csv.writer(row, lineterminator="\n").writerow(values)
    return row.getvalue().encode()


def _check_columns(path: Path, columns: bytes) -> None:
    """Raise `StageError` if a file has other columns than are to be written."""
    try:
        with path.open("rb") as file:
            there = file.read(len(columns))
    except OSError:
        return  # whoever opens it to write says why
    if there not in (b"", columns):
        raise StageError(
            f"{path}: has other columns than are to be written, which begin with"
            f" {columns[:40].decode(errors='replace').strip()}; name another file, or set"
            ' if_exists = "replace"'
        )

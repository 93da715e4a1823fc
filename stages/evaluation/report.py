"""The report of an evaluation: as JSON, as CSV, and as one page."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pipeline.errors import RecordingError
from stages.evaluation.compare import Comparison
from stages.evaluation.load import Load
from stages.evaluation.measures import Measures, confidence, is_right
from stages.evaluation.results import REPORT, Request, Result
from stages.evaluation.trained import Trained

__all__ = ["PAGE", "Report", "told", "write_report"]

PAGE = "report.html"


class Report(msgspec.Struct, frozen=True):
    """All that an evaluation found."""

    request: Request
    measures: Measures
    trained: list[Trained]
    load: Load | None
    comparison: Comparison | None
    version: str
    """Of the program."""


def told(report: Report) -> dict[str, Any]:
    """Return it as JSON values: what was asked for, then all measures, on one level."""
    table: dict[str, Any] = msgspec.to_builtins(report.request)
    table["names"] = table.pop("classes")
    table.pop("recordings")
    table |= msgspec.to_builtins(report.measures)
    table["trained"] = msgspec.to_builtins(report.trained)
    table["load"] = msgspec.to_builtins(report.load)
    table["comparison"] = msgspec.to_builtins(report.comparison)
    return {**table, "version": report.version}


def write_report(folder: Path, report: Report, results: Sequence[Result]) -> None:
    """Write ``report.html``, ``report.json``, and three tables as CSV.

    The tables are ``recordings``, ``classes`` and ``confusion``. ``report.json`` comes last: where
    it is, the evaluation is finished.

    Args:
        folder: where to.
        report: what was found.
        results: of the recordings, in the order of the data.

    Raises:
        RecordingError: a file cannot be written.
    """
    from stages.evaluation.page import page

    names = report.request.classes
    texts = {
        "recordings.csv": _csv(_recordings(report, results)),
        "classes.csv": _csv(_classes(report.measures)),
        "confusion.csv": _csv(
            [["shown", *names]]
            + [[name, *row] for name, row in zip(names, report.measures.confusion, strict=True)]
        ),
        PAGE: page(report, results),
        REPORT: msgspec.json.format(msgspec.json.encode(told(report)), indent=1).decode() + "\n",
    }
    for name, text in texts.items():
        draft = folder / f".{name}"
        try:
            draft.write_text(text, "utf-8")
            draft.replace(folder / name)
        except OSError as error:
            raise RecordingError(
                f"{folder / name}: cannot be written: {error.strerror}; check the folder, its"
                " permissions and the space on the disk"
            ) from None


def _recordings(report: Report, results: Sequence[Result]) -> list[list[Any]]:
    names = report.request.classes
    head = ["recording", "class", "answer", "right", "confidence", "predictions"]
    rows: list[list[Any]] = [[*head, "steps", "events", "span_us", "seconds"]]
    for one in results:
        answer = None if one.scores is None else names[int(np.argmax(one.scores))]
        sure = "" if one.scores is None else f"{confidence(report.request.scores, one):.6f}"
        did = [one.predictions, len(one.decisions), one.events, one.span_us, f"{one.seconds:.6f}"]
        rows.append([one.key, names[one.label], answer, int(is_right(one)), sure, *did])
    return rows


def _classes(measures: Measures) -> list[list[Any]]:
    rows: list[list[Any]] = [["class", "recordings", "precision", "recall", "f1"]]
    rows += [
        [one.name, one.recordings, one.precision, one.recall, one.f1] for one in measures.classes
    ]
    return rows


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()

"""Labelled sentences: a tab-separated file ``text<TAB>0|1``, 1 for a good mood.

As in the UCI set Sentiment Labelled Sentences: Kotzias et al., "From Group to Individual Labels
Using Deep Features", KDD 2015.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pipeline.errors import ConfigError
from pipeline.stage import StageConfig
from stages.datasets.data_set import Origin
from stages.datasets.reviews import ReviewOptions, Reviews
from stages.sources.text_file import read_rows

__all__ = ["SentenceOptions", "Sentences"]


class SentenceOptions(ReviewOptions):
    """Which file."""

    file: str = "imdb_labelled.txt"
    """Its name, in the set's folder."""


class Sentences(Reviews):
    """Sentences and their mood."""

    name = "sentences"
    Options: ClassVar[type[StageConfig]] = SentenceOptions
    layout = "tsv"
    column = 0
    origin: ClassVar[Origin] = Origin(
        title="Sentiment Labelled Sentences",
        publisher="the UCI Machine Learning Repository",
        licence="CC BY 4.0",
        layout="its file imdb_labelled.txt",
    )

    @property
    def file_name(self) -> str:  # type: ignore[override]
        """As the option says."""
        name: str = self.options.file
        return name

    @property
    def moods(self) -> dict[str, int]:
        """Written as numbers."""
        return {"0": 0, "1": 1}

    def rows(self, path: Path) -> Iterator[tuple[int, str, str]]:
        """Yield line, sentence and mood."""
        for line, fields in read_rows(path, "tsv"):
            if len(fields) != 2:
                raise ConfigError(
                    f"data.set: {path}: line {line} must be text, tab, 0 or 1; it has {len(fields)}"
                    " columns"
                )
            yield line, fields[0], fields[1].strip()

"""IMDB: film reviews, half of them good ones, as one CSV file ``review,sentiment``.

Quoted as RFC 4180 says; line breaks within a review are ``<br />``. Source: Maas et al., "Learning
Word Vectors for Sentiment Analysis", ACL 2011.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pipeline.errors import ConfigError
from stages.datasets.data_set import Origin
from stages.datasets.reviews import Reviews
from stages.sources.text_file import Row, read_rows

__all__ = ["Imdb"]

_COLUMNS = ("review", "sentiment")


class Imdb(Reviews):
    """IMDB's 50 000 reviews."""

    name = "imdb"
    file_name = "IMDB Dataset.csv"
    layout = "csv"
    column = "review"
    origin: ClassVar[Origin] = Origin(
        title="the Large Movie Review Dataset as one CSV file",
        publisher="Kaggle, as 'IMDB Dataset of 50K Movie Reviews'; it is Stanford AI Lab's",
        licence="none stated by its authors, who ask to be cited",
        layout="the file 'IMDB Dataset.csv'",
    )

    def rows(self, path: Path) -> Iterator[tuple[int, str, str]]:
        """Yield line, review and sentiment."""
        rows = read_rows(path, "csv")
        _, header = next(rows, Row(0, []))
        if not set(_COLUMNS) <= set(header):
            raise ConfigError(
                f"data.set: {path}: its first line must name {' and '.join(_COLUMNS)}, it is"
                f" {','.join(header)[:60]!r}"
            )
        places = [header.index(name) for name in _COLUMNS]
        for line, fields in rows:
            if len(fields) <= max(places):
                raise ConfigError(f"data.set: {path}: line {line} has {len(fields)} columns")
            yield line, fields[places[0]], fields[places[1]]

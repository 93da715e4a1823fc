"""Texts with a mood: what IMDB's reviews and other labelled sentences have in common."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from pipeline.errors import ConfigError, RecordingError
from pipeline.stage import StageConfig
from stages.datasets.data_set import STEPS, DataSet, Item
from stages.sources.text_file import Layout
from stages.sources.vocabulary import Vocabulary, read_vocabulary, tokenise

__all__ = ["ReviewOptions", "Reviews"]


class ReviewOptions(StageConfig):
    """Which words are known."""

    words: int = Field(999, ge=1, le=65_534)
    """Words of the vocabulary: the most frequent ones of the training part. With padding and the
    unknown word there are two ids more."""


class Reviews(DataSet):
    """Texts of one file, a row each. Texts of the same words are a group: none is in two parts."""

    Options: ClassVar[type[StageConfig]] = ReviewOptions
    classes = ("negative", "positive")
    file_name: ClassVar[str]
    layout: ClassVar[Layout]
    column: ClassVar[str | int]
    """Which column of the file is the text."""

    def rows(self, path: Path) -> Iterator[tuple[int, str, str]]:
        """Yield line, text and mood of each row.

        Raises:
            ConfigError: a row is not what it should be.
        """
        raise NotImplementedError

    @property
    def moods(self) -> dict[str, int]:
        """How the file calls each mood -> label."""
        return {name: label for label, name in enumerate(self.classes)}

    def items(self) -> list[Item]:
        """List the texts."""
        path = self.folder / self.file_name
        if not path.is_file():
            raise self.missing(path)
        items = []
        try:
            for number, (line, text, mood) in enumerate(self.rows(path)):
                if mood not in self.moods:
                    raise ConfigError(
                        f"data.set: {path}: line {line}: the mood must be"
                        f" {' or '.join(self.moods)}, got {mood[:40]!r}"
                    )
                words = " ".join(tokenise(text))
                items.append(
                    Item(
                        key=f"{self.file_name}#{number}",
                        source={
                            "use": "text",
                            "path": str(path),
                            "layout": self.layout,
                            "column": self.column,
                            "steps": STEPS,
                        },
                        label=self.moods[mood],
                        group=hashlib.sha256(words.encode()).hexdigest()[:16],
                        recording=number,
                    )
                )
        except RecordingError as error:
            raise ConfigError(f"data.set: {error}") from None
        return items

    def learn(self, training: Sequence[Item], folder: Path) -> dict[str, Any]:
        """Write the vocabulary of the training part to ``vocabulary.txt``."""
        wanted = {item.recording for item in training}
        rows = enumerate(self.rows(self.folder / self.file_name))
        texts = (text for number, (_, text, _) in rows if number in wanted)
        path = folder / "vocabulary.txt"
        try:
            vocabulary = Vocabulary.of(texts, self.options.words)
            # Left as it is where it is the same: a cache is made again when a file's time changes.
            if not path.exists() or read_vocabulary(path).words != vocabulary.words:
                vocabulary.write(path)
        except ValueError as error:
            raise ConfigError(f"data.set: {self.folder / self.file_name}: {error}") from None
        except OSError as error:
            raise RecordingError(
                f"{path}: cannot be written: {error.strerror}; check the path and its permissions"
            ) from None
        return {"vocabulary": str(path)}

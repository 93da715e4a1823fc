"""Words as numbers: how a text is cut into words, and a vocabulary that numbers them.

Id 0 is padding, 1 is the first word of the vocabulary, which is the most frequent one, and the id
behind the last word stands for every word that is not in it: 999 words make 1001 ids. The padding
comes before the text, so that the last step is a word, and a text that is too long loses its end;
both as in Lynxi's preparation of IMDB (LynxiTech/BIDL).
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from stages.filters.small_file import read_small_file

__all__ = ["PADDING", "Encoded", "Vocabulary", "read_vocabulary", "tokenise"]

PADDING = 0
"""The id of a step before the first word."""

_MOST_WORDS = 65_534
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


class Encoded(NamedTuple):
    """A text as ids, and what became of its words."""

    ids: NDArray[np.uint16]
    """(steps,)"""
    words: int
    """Words of the text."""
    cut: int
    """Words behind the last step, which are left out."""
    unknown: int
    """Words among those that stayed that are not in the vocabulary."""


def tokenise(text: str) -> list[str]:
    """Return the words of a text: in lower case, without ``<br />`` and punctuation.

    An apostrophe within a word belongs to it.

    Example:
        >>> tokenise("It WASN'T bad.<br /><br />8/10")
        ['it', "wasn't", 'bad', '8', '10']
    """
    return _WORD.findall(_BREAK.sub(" ", text).replace("\u2019", "'").lower())


class Vocabulary:
    """The words that a network knows, the most frequent first.

    Args:
        words: as `tokenise` gives them, each once.

    Raises:
        ValueError: there is none, one stands twice, one is no word, or they are too many.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        if not 1 <= len(self.words) <= _MOST_WORDS:
            raise ValueError(f"must have 1 to {_MOST_WORDS} words, got {len(self.words)}")
        self._ids: dict[str, int] = {}
        for number, word in enumerate(self.words, start=1):
            if tokenise(word) != [word]:
                raise ValueError(f"line {number} must be one word in lower case, got {word[:40]!r}")
            if word in self._ids:
                raise ValueError(f"line {number}: {word!r} stands in line {self._ids[word]} too")
            self._ids[word] = number

    @classmethod
    def of(cls, texts: Iterable[str], size: int = 999) -> "Vocabulary":
        """Return the ``size`` most frequent words of texts; of equally frequent ones the first.

        Raises:
            ValueError: the texts have no word.
        """
        counts = Counter(word for text in texts for word in tokenise(text))
        return cls(word for word, _ in counts.most_common(size))

    @property
    def unknown(self) -> int:
        """The id of a word that is not in the vocabulary; the highest one."""
        return len(self.words) + 1

    @property
    def ids(self) -> int:
        """How many ids there are, the padding and the unknown word among them."""
        return len(self.words) + 2

    @property
    def sha256(self) -> str:
        """The hash of the words, by which a model knows its vocabulary again."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    def encode(self, text: str, steps: int) -> Encoded:
        """Return the first ``steps`` words of a text as ids, padded in front to ``steps``."""
        words = tokenise(text)
        known = [self._ids.get(word, self.unknown) for word in words[:steps]]
        ids = np.full(steps, PADDING, dtype=np.uint16)
        ids[steps - len(known) :] = known
        return Encoded(ids, len(words), len(words) - len(known), known.count(self.unknown))

    def write(self, path: Path) -> None:
        """Write the words to a text file, one a line."""
        path.write_text(self._text, encoding="utf-8")

    @property
    def _text(self) -> str:
        return "".join(f"{word}\n" for word in self.words)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary that `Vocabulary.write` wrote, or anyone: one word a line.

    Raises:
        ConfigError: the file cannot be read or is no vocabulary.
    """
    lines = read_small_file(path).replace("\r\n", "\n").removesuffix("\n").split("\n")
    try:
        return Vocabulary([] if lines == [""] else lines)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; a vocabulary has one word a line") from None

"""Vocabularies: texts become words, and words numbers."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from stages.sources.vocabulary import PADDING, Vocabulary, read_vocabulary, tokenise


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A slow, aimless movie.", ["a", "slow", "aimless", "movie"]),
        ("Great!<br /><br/>Don't miss it", ["great", "don't", "miss", "it"]),
        ("It\u2019s 10/10 \u2013 na\u00efve", ["it's", "10", "10", "na\u00efve"]),
        ("'quoted' rock'n'roll snake_case", ["quoted", "rock'n'roll", "snake", "case"]),
        ("the past\u0085Then", ["the", "past", "then"]),
        (" <br /> ... ", []),
    ],
)
def test_a_text_is_cut_into_words(text: str, words: list[str]) -> None:
    assert tokenise(text) == words


@given(st.text())
def test_a_word_is_one_word(text: str) -> None:
    for word in tokenise(text):
        assert tokenise(word) == [word]


def test_the_most_frequent_word_is_number_one_and_the_first_of_equals_comes_first() -> None:
    vocabulary = Vocabulary.of(["b a b", "c a b"], size=2)
    assert vocabulary.words == ("b", "a")
    assert vocabulary.encode("a b c", 3).ids.tolist() == [2, 1, 3]
    assert vocabulary.unknown == 3
    assert vocabulary.ids == 4


def test_a_vocabulary_is_known_again_by_its_words_in_their_order(tmp_path: Path) -> None:
    vocabulary = Vocabulary(["a", "b"])
    vocabulary.write(tmp_path / "unix.txt")
    (tmp_path / "windows.txt").write_bytes(b"a\r\nb\r\n")
    for name in ("unix.txt", "windows.txt"):
        assert read_vocabulary(tmp_path / name).sha256 == vocabulary.sha256
    assert vocabulary.sha256 == hashlib.sha256((tmp_path / "unix.txt").read_bytes()).hexdigest()
    assert Vocabulary(["b", "a"]).sha256 != vocabulary.sha256


def test_999_words_make_1001_ids() -> None:
    vocabulary = Vocabulary(f"word{k}" for k in range(999))
    assert vocabulary.encode("never heard word998", 3).ids.tolist() == [1000, 1000, 999]


def test_a_short_text_is_padded_in_front_and_a_long_one_loses_its_end() -> None:
    vocabulary = Vocabulary(["good", "bad"])
    assert vocabulary.encode("bad good", 4).ids.tolist() == [PADDING, PADDING, 2, 1]
    ids, words, cut, unknown = vocabulary.encode("very bad, very good", 3)
    assert ids.tolist() == [3, 2, 3]
    assert ids.dtype == np.uint16
    assert (words, cut, unknown) == (4, 1, 2)
    assert vocabulary.encode("", 2).ids.tolist() == [PADDING, PADDING]


def test_a_vocabulary_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    Vocabulary(["the", "it's", "na\u00efve"]).write(path)
    assert read_vocabulary(path).words == ("the", "it's", "na\u00efve")
    path.write_bytes("\ufeffthe\r\nit's\r\n".encode())
    assert read_vocabulary(path).words == ("the", "it's")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "must have 1 to 65534 words, got 0"),
        ("good\n\nbad\n", "line 2 must be one word in lower case, got ''"),
        ("Good\n", "line 1 must be one word in lower case, got 'Good'"),
        ("good\nbad\ngood\n", "line 3: 'good' stands in line 1 too"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "words.txt"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_vocabulary(path)
    assert str(caught.value) == f"{path}: {problem}; a vocabulary has one word a line"

"""IMDB and other sentences: the vocabulary is learned from the training part alone."""

import csv
from pathlib import Path

import numpy as np
import pytest
from shared import SHARED
from trees import listed, prepared

from models.card import TrainedWords
from pipeline.errors import ConfigError
from stages.sources.vocabulary import read_vocabulary

REVIEWS = [
    ('It was "good", very good.<br /><br />See it!', "positive"),
    ("Bad, bad,\nbad film", "negative"),
    ("I liked\x85 the film", "positive"),
    ("Boring, 2/10", "negative"),
]


def write_reviews(folder: Path, reviews: list[tuple[str, str]]) -> Path:
    folder.mkdir(parents=True)
    with (folder / "IMDB Dataset.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "sentiment"])
        writer.writerows(reviews)
    return folder


def test_a_review_is_its_words_a_step_each(tmp_path: Path) -> None:
    folder = write_reviews(tmp_path / "set", REVIEWS)
    parts = prepared("imdb", folder, 6, validation=0.5)
    assert parts.train.classes == ("negative", "positive")
    assert (parts.train.frame, parts.train.window_us) == ("tokens", None)
    assert parts.train.example(0).shape == (6, 1, 1, 1)
    assert sorted([*parts.train.labels, *parts.validation.labels]) == [0, 0, 1, 1]


def test_the_vocabulary_has_words_of_the_training_part_only(tmp_path: Path) -> None:
    reviews = [(f"common word{k}", ("negative", "positive")[k % 2]) for k in range(20)]
    folder = write_reviews(tmp_path / "set", reviews)
    parts = prepared("imdb", folder, 4, validation=0.3, words=50)
    vocabulary = read_vocabulary(Path(parts.learnt["vocabulary"]))
    assert parts.train.vocabulary == TrainedWords(vocabulary.ids, vocabulary.sha256)
    words = vocabulary.words
    assert words[0] == "common"
    assert len(words) == 1 + len(parts.train)
    unknown = len(words) + 1
    for index in range(len(parts.validation)):
        assert parts.validation.example(index).ravel().tolist() == [0, 0, 1, unknown]


def test_what_was_learned_again_makes_no_other_cache(tmp_path: Path) -> None:
    folder = write_reviews(tmp_path / "set", REVIEWS)
    for _ in range(2):
        prepared("imdb", folder, 6, validation=0.5)
    assert len(list((tmp_path / "prepared" / "cache").glob("*.h5"))) == 1


def test_the_same_review_twice_is_in_one_part(tmp_path: Path) -> None:
    reviews = [(f"film {k // 2}!", "positive") for k in range(20)]
    reviews += [(f"Film, {k // 2}", "negative") for k in range(100, 120)]
    folder = write_reviews(tmp_path / "set", reviews)
    parts = prepared("imdb", folder, 4, validation=0.3)
    assert len(np.unique(parts.train.groups)) == 14
    assert not set(parts.train.groups) & set(parts.validation.groups)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,mood\nx,y\n", "its first line must name review and sentiment, it is 'text,mood'"),
        (
            "review,sentiment\nx,so-so\n",
            "line 2: the mood must be negative or positive, got 'so-so'",
        ),
        ("review,sentiment\nx\n", "line 2 has 1 columns"),
        ('review,sentiment\n"x,positive\n', "is no CSV"),
    ],
    ids=["header", "mood", "columns", "quotes"],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "IMDB Dataset.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        listed("imdb", tmp_path)


def test_a_set_that_is_not_there_says_what_to_get(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"get the Large Movie Review Dataset as one CSV file"):
        listed("imdb", tmp_path)
    with pytest.raises(ConfigError, match=r"get Sentiment Labelled Sentences from the UCI"):
        listed("sentences", tmp_path)


def test_sentences_are_text_tab_mood(tmp_path: Path) -> None:
    text = "So so\x85 good.  \t1\nBad \t 0\n\nA wide\tgap\t1\n"
    (tmp_path / "imdb_labelled.txt").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"line 4 must be text, tab, 0 or 1; it has 3 columns"):
        listed("sentences", tmp_path)
    (tmp_path / "mine.txt").write_text(text.replace("wide\tgap", "wide gap"), "utf-8")
    items = listed("sentences", tmp_path, file="mine.txt")
    assert [(item.label, item.recording) for item in items] == [(1, 0), (0, 1), (1, 2)]


@pytest.mark.shared
def test_the_real_sentences(tmp_path: Path) -> None:
    folder = SHARED / "other" / "sentiment"
    parts = prepared("sentences", folder, 50, beside=tmp_path, validation=0.1, test=0.2)
    assert parts.test is not None
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [560, 80, 160]
    assert np.bincount(parts.test.labels).tolist() == [80, 80]

"""Texts: each a recording, a word a step."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import rows

from pipeline.errors import RecordingError
from pipeline.messages import EndRecording, Frames, Message, Start
from pipeline.ports import FramesPort, Words
from pipeline.stage import PortError
from stages.sources.text import Text, TextConfig, TextState
from stages.sources.text_file import read_texts
from stages.sources.vocabulary import read_vocabulary


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text("good\nbad\nfilm\n")
    return path


@pytest.fixture(scope="module")
def reviews(words: Path) -> Path:
    path = words.with_name("reviews.txt")
    path.write_text("A good film!\n\nbad bad bad bad\n")
    return path


def text(path: Path | list[Path], vocabulary: Path, **options: Any) -> Text:
    options = {"path": path, "vocabulary": vocabulary, "steps": 3, **options}
    return Text("reviews", TextConfig(**options))


def messages_of(source: Text, state: TextState | None = None) -> list[Message]:
    played = source.play(source.initial_state() if state is None else state)
    return [message for turn in played for message in turn.messages]


def last_state(source: Text) -> TextState:
    return [turn.state for turn in source.play(source.initial_state())][-1]


def test_every_line_is_a_recording_and_every_word_a_step(reviews: Path, words: Path) -> None:
    messages = messages_of(text(reviews, words))
    assert [type(m.header) for m in messages] == [Start, Frames, EndRecording] * 3
    assert [m.header.epoch for m in messages] == [0] * 3 + [1] * 3 + [2] * 3
    named = [m.header.source for m in messages if isinstance(m.header, Start)]
    assert named == [f"{reviews}#{number}" for number in range(3)]
    frames = [m.array for m in messages if isinstance(m.header, Frames)]
    assert {array.shape for array in frames} == {(3, 1, 1, 1)}
    assert [a.ravel().tolist() for a in frames] == [[4, 1, 3], [0, 0, 0], [2, 2, 2]]


def test_its_account_tells_what_was_left_out(reviews: Path, words: Path) -> None:
    source = text(reviews, words)
    account = source.account(last_state(source))
    assert (account.taken, account.used, account.made, account.due) == (7, 6, 9, 9)
    assert account.refused == {"behind the last step": 1}
    assert account.notes == {"not in the vocabulary": 1, "texts without a word": 1}


def test_the_port_has_one_token_a_step_without_length_in_time(reviews: Path, words: Path) -> None:
    vocabulary = read_vocabulary(words)
    by = Words(words, vocabulary.ids, vocabulary.sha256)
    assert text(reviews, words).port() == FramesPort(1, 1, 1, None, None, "tokens", "text", 3, by)


@given(batch=st.integers(1, 4), stop=st.integers(0, 15))
def test_cut_and_resumed_in_any_place_it_says_the_same(
    reviews: Path, words: Path, batch: int, stop: int
) -> None:
    source = text(reviews, words, batch_steps=batch)
    before: list[Message] = []
    state = source.initial_state()
    for turn in list(source.play(state))[:stop]:
        before += turn.messages
        state = turn.state
    account = source.account(state)
    assert account.due == account.made == len(rows(before))
    assert account.taken == account.used + sum(account.refused.values())
    messages = before + messages_of(source, state)
    assert rows(messages).ravel().tolist() == [4, 1, 3, 0, 0, 0, 2, 2, 2]
    firsts = [m.header.windows.first for m in messages if isinstance(m.header, Frames)]
    assert firsts == [*range(0, 3, batch)] * 3
    assert [type(m.header) for m in messages].count(Start) == 3


def test_a_comma_separated_file_has_a_column_of_texts(tmp_path: Path) -> None:
    path = tmp_path / "IMDB.csv"
    path.write_text(
        'review,sentiment\n"One, ""two""\nthree",positive\n\nfour,negative\n', newline="\r\n"
    )
    assert list(read_texts(path, "csv", "review")) == ['One, "two"\r\nthree', "four"]
    assert list(read_texts(path, "csv", "sentiment")) == ["positive", "negative"]


def test_quotes_in_a_tab_separated_file_are_just_quotes(tmp_path: Path) -> None:
    path = tmp_path / "labelled.txt"
    path.write_text('"Fine\t1\nDull"\t0\n\n')
    assert list(read_texts(path, "tsv")) == ['"Fine', 'Dull"']
    assert list(read_texts(path, "tsv", 1)) == ["1", "0"]


@pytest.mark.parametrize("layout", ["lines", "tsv", "csv"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, layout: Any) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes("\ufeffx\none\u0085two\u2028three\x0bfour\r\nfive".encode())
    texts = list(read_texts(path, layout))
    assert texts[-2:] == ["one\u0085two\u2028three\x0bfour", "five"]
    assert texts[:-2] == ([] if layout == "csv" else ["x"])


def test_texts_before_a_broken_one_are_played(tmp_path: Path, words: Path) -> None:
    path = tmp_path / "broken.txt"
    path.write_bytes(b"good\nbad\n\xff\nfilm\n")
    source = text(path, words)
    messages: list[Message] = []
    turns = (turn.messages for turn in source.play(source.initial_state()))
    with pytest.raises(RecordingError) as caught:
        messages.extend(message for turn in turns for message in turn)
    assert str(caught.value) == f"{path}: line 3 is no text in UTF-8; convert the file"
    assert rows(messages).ravel().tolist() == [0, 0, 1, 0, 0, 2]
    assert isinstance(messages[-1].header, EndRecording)


@pytest.mark.parametrize(
    ("content", "options", "key", "problem"),
    [
        ("", {}, "path", "{path}: holds no word; name a file of texts"),
        ("\n \n...\n", {}, "path", "{path}: holds no word; name a file of texts"),
        ("a\n", {"column": 1}, "column", 'must be left out with layout = "lines", got 1'),
        (
            "review,stars\nfine,3\n",
            {"layout": "csv", "column": "text"},
            "path",
            "{path}: has no column 'text'; its first line names review, stars",
        ),
        (
            "fine\n",
            {"layout": "tsv", "column": 1},
            "path",
            "{path}: line 1 has 1 columns, column 1 (from 0 on) is the text",
        ),
        (
            'review\n"fine\n',
            {"layout": "csv"},
            "path",
            "{path}: line 2 is no CSV (unexpected end of data); quote texts that hold commas,"
            " quotes or line ends, and double the quotes within",
        ),
    ],
)
def test_what_cannot_be_read_is_said_by_check(
    tmp_path: Path, words: Path, content: str, options: dict[str, Any], key: str, problem: str
) -> None:
    path = tmp_path / "texts"
    path.write_text(content)
    with pytest.raises(PortError) as caught:
        text(path, words, **options).port()
    assert (caught.value.key, str(caught.value)) == (key, problem.format(path=path))


def test_files_that_are_not_there_are_named(tmp_path: Path, reviews: Path, words: Path) -> None:
    with pytest.raises(PortError, match=r"none\.txt: cannot be read: No such file") as caught:
        text([reviews, tmp_path / "none.txt"], words).port()
    assert caught.value.key == "path"
    with pytest.raises(PortError, match=r"none\.txt: cannot be read") as caught:
        text(reviews, tmp_path / "none.txt").port()
    assert caught.value.key == "vocabulary"


@pytest.mark.shared
def test_the_labelled_sentences_are_as_many_as_lines(shared: Path) -> None:
    path = shared / "other" / "sentiment" / "imdb_labelled.txt"
    count = path.read_bytes().count(b"\n")
    assert len(list(read_texts(path, "tsv"))) == count
    assert set(read_texts(path, "tsv", 1)) == {"0", "1"}

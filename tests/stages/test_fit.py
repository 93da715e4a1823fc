"""Frames that a model was not trained on: the message says what to do with such a source."""

import dataclasses
from pathlib import Path

import pytest
from msgspec.structs import replace

from models.card import ModelCard, TrainedWords
from pipeline.ports import FramesPort, Words
from pipeline.stage import PortError
from stages.inference.fit import check_expected, check_kind, check_shape, check_words

CARD = ModelCard(
    network="jester",
    options={"input_channels": 3},
    classes=("no", "yes"),
    sensor_size=(64, 64),
    input_size=(64, 64),
    window_us=40_000,
    steps=8,
    frame="bgr",
    data="none",
    accuracy="none",
    licence="none",
    created_by="tests",
)
EVENTS = replace(CARD, frame="counts", options={"input_channels": 2})
SLICES = replace(CARD, frame="slices", options={"input_channels": 1}, window_us=1000)
TIMES = (40_000, 40_000)


@pytest.mark.parametrize(
    ("frames", "card", "message"),
    [
        (
            FramesPort(3, 112, 112, *TIMES, "bgr", "video"),
            CARD,
            "a.st (jester) takes frames of (3, 64, 64), its input gives (3, 112, 112);"
            " bring it to size = [64, 64] with the stage resize",
        ),
        (
            FramesPort(1, 112, 112, *TIMES, "grey", "pictures"),
            CARD,
            'set size = [64, 64] of the stage images and set colour = "bgr"',
        ),
        (FramesPort(1, 32, 64, *TIMES, "slices", "slices"), SLICES, "size = [64, 64] of the stage"),
        (FramesPort(1, 1, 1, None, None, "tokens", "text"), CARD, "trained on tokens"),
        (FramesPort(2, 40, 40, *TIMES), CARD, "(2, 40, 40); take weights that were trained on cou"),
        (FramesPort(2, 40, 40, *TIMES), EVENTS, "(2, 40, 40); bin to size = [64, 64]"),
        (
            FramesPort(5, None, None, *TIMES, "voxel"),
            EVENTS,
            '(5, None, None); set frame = "counts"',
        ),
        (
            FramesPort(2, 40, 64, *TIMES, "binary", "video"),
            EVENTS,
            "bring it to size = [64, 64] with the stage resize and sum them with the stage resize,"
            ' method = "sum"',
        ),
        (FramesPort(3, 64, 64, *TIMES, "slices", "slices"), SLICES, "; give it 1 channels"),
        (
            FramesPort(1, 2, 3, *TIMES, "heat", "heat"),
            replace(SLICES, frame="heat"),
            "frames of si",
        ),
    ],
)
def test_another_shape(frames: FramesPort, card: ModelCard, message: str) -> None:
    with pytest.raises(PortError) as caught:
        check_shape(frames, card, "a.st (jester)")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("frames", "card", "message"),
    [
        (
            FramesPort(3, 64, 64, 33_333, 33_333, "bgr", "video"),
            CARD,
            "was trained on frames of 40000 µs, its input gives 33333 µs; play videos of 25 frames"
            ' a second, all frames of them, or mismatch = "allow" to run it all the same',
        ),
        (
            FramesPort(3, 64, 64, None, None, "bgr", "video", 8),
            CARD,
            "its input gives frames that are not evenly apart; play videos of 25 frames a second,",
        ),
        (FramesPort(3, 64, 64, *TIMES, "rgb", "video"), CARD, 'gives rgb; set colour = "bgr", or'),
        (FramesPort(1, 64, 64, 50, 50, "slices", "slices"), SLICES, "50 µs; set step_us = 1000"),
        (FramesPort(2, 64, 64, 50, 50), EVENTS, "bins of 40000 µs, its input gives 50 µs; set win"),
        (FramesPort(2, 64, 64, *TIMES, "binary", "video"), EVENTS, "binary; sum them with the sta"),
        (FramesPort(2, 64, 64, *TIMES, "binary"), EVENTS, 'binary; set frame = "counts"'),
    ],
)
def test_another_kind_or_time(frames: FramesPort, card: ModelCard, message: str) -> None:
    check_shape(frames, card, "a.st (jester)")
    with pytest.raises(PortError) as caught:
        check_kind(frames, card, "a.st (jester)")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("key", "wanted", "message"),
    [
        (
            "network",
            "imdb",
            '"imdb", but a.st (jester) has "jester"; name other weights, or another p',
        ),
        (
            "input_channels",
            1,
            "asks for 1, but a.st (jester) has 3; name other weights, or set"
            " expects.input_channels = 3",
        ),
        (
            "mean",
            [1.5],
            "asks for [1.5], but a.st (jester) has no mean; name other weights, or leav",
        ),
        (
            "netwrk",
            "jester",
            "has no netwrk; name other weights, or leave it out; did you mean 'ne",
        ),
    ],
)
def test_weights_of_something_else_than_expected(key: str, wanted: object, message: str) -> None:
    check_expected({"network": "jester", "input_channels": 3}, CARD, "a.st (jester)")
    with pytest.raises(PortError) as caught:
        check_expected({"network": "jester", key: wanted}, CARD, "a.st (jester)")
    assert message in str(caught.value)
    assert caught.value.key == f"expects.{key}"


WORDS = replace(CARD, network="imdb", frame="tokens", options={"vocabulary": 9}, window_us=None)


def test_another_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    frames = FramesPort(1, 1, 1, None, None, "tokens", "text", 8, Words(path, 7, "aa"))
    trained = replace(WORDS, vocabulary=TrainedWords(9, "bb"))
    with pytest.raises(PortError) as caught:
        check_words(frames, trained, "a.st (imdb)", allow=False)
    assert str(caught.value) == (
        f"a.st (imdb) was trained with another vocabulary (9 ids) than {path} (7 ids); name the one"
        ' that training wrote beside the weights, or mismatch = "allow" to run it all the same'
    )
    check_words(frames, trained, "a.st", allow=True)
    check_words(frames, replace(WORDS, vocabulary=TrainedWords(7, "aa")), "a.st", allow=False)
    check_words(dataclasses.replace(frames, words=None), trained, "a.st", allow=False)


def test_a_card_that_does_not_know_its_vocabulary_bounds_the_ids(tmp_path: Path) -> None:
    for ids in (7, 9):
        words = Words(tmp_path / "mine.txt", ids, "aa")
        check_words(FramesPort(1, 1, 1, None, None, words=words), WORDS, "a.st", allow=False)
    words = Words(tmp_path / "mine.txt", 10, "aa")
    with pytest.raises(PortError, match=r"a.st knows 9 ids of words, .*mine.txt gives 10; name"):
        check_words(FramesPort(1, 1, 1, None, None, words=words), WORDS, "a.st", allow=True)


def test_what_fits_passes() -> None:
    for frames, card in (
        (FramesPort(3, 64, None, *TIMES, "bgr", "video"), CARD),
        (FramesPort(3, 64, 64, None, None, "bgr", "video"), replace(CARD, window_us=None)),
        (FramesPort(2, 64, 64, *TIMES), EVENTS),
    ):
        check_shape(frames, card, "a.st")
        check_kind(frames, card, "a.st")

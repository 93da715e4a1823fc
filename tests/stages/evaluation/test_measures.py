"""Measures of a handful of results, by hand."""

import msgspec
import numpy as np
import pytest
from evaluations import result
from hypothesis import given
from hypothesis import strategies as st

from models.training.confusion import accuracy, confusion_matrix
from stages.evaluation.measures import Measures, measure
from stages.evaluation.results import Result

CLASSES = ("cat", "dog", "cow")
FOUR = [
    result(0, 0, [0.8, 0.1, 0.1], [1, 0, 1, 0]),
    result(1, 0, [0.1, 0.9, 0.0], [1, 1]),
    result(2, 1, [0.0, 0.7, 0.3], [1, 1, 1]),
    result(3, 2, None),
]


@pytest.fixture
def found() -> Measures:
    return measure(FOUR, CLASSES, "probability")


def test_right_wrong_and_unanswered(found: Measures) -> None:
    assert (found.recordings, found.right, found.unanswered) == (4, 2, 1)
    assert found.top1 == 2 / 4  # without an answer is wrong
    assert found.top5 is None  # of three classes it tells nothing
    assert found.confusion == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert found.top1_interval.low < 0.5 < found.top1_interval.high


def test_class_by_class(found: Measures) -> None:
    cat, dog, cow = found.classes
    assert (cat.recordings, cat.precision, cat.recall) == (2, 1.0, 0.5)
    assert (dog.recordings, dog.precision, dog.recall) == (1, 0.5, 1.0)
    assert (cow.recordings, cow.precision, cow.recall, cow.f1) == (1, None, 0.0, 0.0)
    assert cat.f1 == dog.f1 == pytest.approx(2 / 3)
    assert found.precision == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.recall == pytest.approx((0.5 + 1 + 0) / 3)


def test_a_class_that_was_not_shown_is_in_no_mean() -> None:
    found = measure(FOUR[:3], CLASSES, "probability")
    assert found.classes[2].recall is None
    assert found.recall == pytest.approx((0.5 + 1) / 2)


def test_confidence_against_accuracy(found: Measures) -> None:
    filled = {one.low: one for one in found.calibration.bins if one.recordings}
    assert {low: (one.confidence, one.accuracy) for low, one in filled.items()} == {
        0.7: (0.7, 1.0),
        0.8: (0.8, 1.0),
        0.9: (0.9, 0.0),
    }
    assert found.calibration.error == pytest.approx((0.3 + 0.2 + 0.9) / 3)


def test_logits_are_confident_by_softmax() -> None:
    (sure,) = [
        one.confidence
        for one in measure([result(0, 0, [1.0, 0.0, 0.0])], CLASSES, "logit").calibration.bins
        if one.recordings
    ]
    assert sure == pytest.approx(np.e / (np.e + 2))


def test_accuracy_after_each_step_and_when_it_is_right(found: Measures) -> None:
    # After one step only the third is right; the first is, is not, and is again.
    assert found.accuracy_after == [0.25, 0.5, 0.25, 0.5]
    assert (found.first_right.share, found.first_right.median_ms) == (0.5, 15.0)
    assert (found.stable.share, found.stable.median_ms) == (0.5, 25.0)


def test_work_is_added_up(found: Measures) -> None:
    work = found.work
    assert (work.seconds, work.recordings_a_second, work.events_a_second) == (2.0, 2.0, 2000.0)
    assert work.real_time == pytest.approx(4 * 0.02 / 2)
    assert (work.operations, work.operations_by_layer) == (300.0, {"conv1": 300.0})


def test_throughput_is_without_the_first_recording_of_each_process() -> None:
    slow = [msgspec.structs.replace(one, seconds=60.0, first=True) for one in FOUR[:2]]
    cold, warm = measure(slow, CLASSES, "rate").work, measure([*slow, *FOUR], CLASSES, "rate").work
    assert (cold.recordings, cold.warm, cold.seconds) == (2, False, 120.0)
    assert (warm.recordings, warm.warm, warm.seconds) == (4, True, 2.0)
    assert (warm.recordings_a_second, warm.events_a_second) == (2.0, 2000.0)
    assert warm.operations == 300.0  # of all recordings


def test_top_five_of_equal_scores_are_the_first() -> None:
    classes = [str(k) for k in range(7)]
    results = [result(k, label, [0.0] * 7) for k, label in enumerate([4, 5])]
    assert measure(results, classes, "rate").top5 == 0.5


answers = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3)),
    min_size=1,
    max_size=30,
)


@given(answers)
def test_accuracy_is_training_s_to_the_last_digit(given: list[tuple[int, list[float]]]) -> None:
    results: list[Result] = [result(k, *one) for k, one in enumerate(given)]
    scores = np.array([one for _, one in given], np.float32)
    labels = np.array([label for label, _ in given])
    confusion = confusion_matrix(scores, labels)
    found = measure(results, CLASSES, "probability")
    assert found.top1 == accuracy(confusion)
    assert found.confusion == confusion.tolist()
    assert found.accuracy_after[-1] == pytest.approx(found.top1)

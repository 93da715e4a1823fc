"""How a set's items are dealt out."""

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from stages.datasets.data_set import Item
from stages.datasets.split import PARTS, split


def item(label: int, group: str, part: str | None = None) -> Item:
    return Item(f"{group}/{label}", {"use": "replay"}, label, group, part)


def singles(each: int, classes: int = 4) -> list[Item]:
    """Items that each are a group of their own."""
    return [item(label, f"{label}-{k}") for label in range(classes) for k in range(each)]


def test_shares_hold_for_every_class_where_groups_allow() -> None:
    items = singles(20)
    parts = split(items, validation=0.1, test=0.2, seed=1)
    for name, each in (("train", 14), ("validation", 2), ("test", 4)):
        assert Counter(items[index].label for index in parts[name]) == dict.fromkeys(range(4), each)


def test_another_seed_is_another_split() -> None:
    splits = [split(singles(20), 0.2, None, seed) for seed in (1, 1, 2)]
    assert splits[0] == splits[1] != splits[2]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=2, max_size=60),
    st.floats(0.05, 0.6),
    st.integers(0, 99),
)
def test_every_item_is_in_one_part_and_no_group_in_two(
    drawn: list[tuple[int, int]], share: float, seed: int
) -> None:
    items = [item(label, str(group)) for label, group in drawn]
    with suppress(ConfigError):
        parts = split(items, share, None, seed)
        dealt = sorted(index for part in parts.values() for index in part)
        assert dealt == list(range(len(items)))
        trained, chosen = ({items[k].group for k in parts[name]} for name in PARTS[:2])
        assert trained
        assert chosen
        assert not trained & chosen


def test_people_who_show_every_class_are_drawn_whole() -> None:
    items = [item(label, f"person {person}") for person in range(10) for label in range(5)]
    parts = split(items, 0.2, None, 0)
    assert len(parts["validation"]) == 10
    assert len({items[index].group for index in parts["validation"]}) == 2


def test_a_class_of_one_recording_is_trained_on() -> None:
    items = [item(0, "a"), item(1, "b"), item(1, "c"), item(1, "d")]
    for seed in range(5):
        parts = split(items, 0.3, None, seed)
        assert 0 in parts["train"]
        assert len(parts["validation"]) == 1


def test_what_the_set_says_itself_holds() -> None:
    items = [item(0, "a", "train"), item(0, "b", "validation"), item(0, "c", "test")]
    assert split(items, None, None, 0) == {"train": [0], "validation": [1], "test": [2]}


def test_validation_is_drawn_from_what_the_set_trains_on() -> None:
    items = [item(0, f"{k}", "train" if k < 10 else "test") for k in range(20)]
    parts = split(items, 0.3, None, 0)
    assert parts["test"] == list(range(10, 20))
    assert len(parts["validation"]) == 3


def test_no_test_part_is_no_mistake() -> None:
    assert split(singles(10), 0.1, 0.0, 0)["test"] == []


@pytest.mark.parametrize(
    ("items", "validation", "test", "message"),
    [
        (
            singles(4),
            None,
            0.2,
            "data.validation: must be given, the set names no part for validation; 0.1 holds out a"
            " tenth",
        ),
        (
            [item(0, "a", "train"), item(0, "b", "test")],
            0.5,
            0.5,
            "data.test: the set names its test items itself, got 0.5; leave it out",
        ),
        (
            [item(0, "a"), item(0, "a")],
            0.4,
            None,
            "data.validation: a share of 0.4 of 2 items of 1 groups leaves a part empty; groups are"
            " never split: ask for another share, or get more groups",
        ),
        (
            [item(0, "a", "train"), item(1, "a", "test"), item(0, "b", "validation")],
            None,
            None,
            "data.set: group 'a' is in train and in test; nobody may be in two parts",
        ),
        (
            [item(0, "a", "test"), item(0, "b", "validation")],
            None,
            None,
            "data.set: no item is left to train on; are the training files there?",
        ),
    ],
    ids=["no validation", "twice", "one group", "in two parts", "no training"],
)
def test_a_split_that_cannot_be_is_refused(
    items: list[Item], validation: float | None, test: float | None, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        split(items, validation, test, 0)
    assert str(caught.value) == message

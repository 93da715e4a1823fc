"""Batches: each example once an epoch, and the same batches from wherever one begins."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_runs import moving_bars

from models import ModelError
from models.peers import Peers
from models.training.augment import Augmentation
from models.training.loader import Batch, Order, loader

BARS = moving_bars(11, 0, 1)


def batches(start: int, workers: int = 0, seed: int = 0) -> list[Batch]:
    order = Order(len(BARS), 4, seed, lambda: start)
    return list(loader(BARS, Augmentation(5, 1, True, 0.3), order, seed, workers))


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.frames, b.frames) and torch.equal(a.labels, b.labels)
        for a, b in zip(one, other, strict=True)
    )


def test_an_epoch_shows_each_example_at_most_once() -> None:
    order = Order(11, 4, 0, lambda: 0)
    drawn = [draw.example for batch in order for draw in batch]
    assert (len(order), len(drawn), len(set(drawn))) == (2, 8, 8)


@given(share=st.integers(1, 4), processes=st.integers(1, 5), done=st.integers(0, 3))
def test_a_batch_is_dealt_out(share: int, processes: int, done: int) -> None:
    size = share * processes
    whole = list(Order(2 * size, size, 0, lambda: done))
    parts = [Order(2 * size, size, 0, lambda: done, Peers(k, processes)) for k in range(processes)]
    dealt = zip(*parts, strict=True)
    assert [[draw for rows in batch for draw in rows] for batch in dealt] == whole


def test_a_batch_that_cannot_be_dealt_out_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^training.batch: 3 examples .* 2 processes; take 2"):
        Order(3, 16, 0, lambda: 0, Peers(1, 2))


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    order = Order(3, 16, 0, lambda: 0)
    assert (len(order), [len(batch) for batch in order]) == (1, [3])


def test_labels_stay_with_their_examples() -> None:
    order = Order(len(BARS), 4, 0, lambda: 0)
    drawn = [draw for batch in order for draw in batch]
    shown = loader(BARS, Augmentation(), order, 0)
    frames = torch.cat([batch.frames for batch in shown])
    labels = torch.cat([batch.labels for batch in shown])
    for draw, frame, label in zip(drawn, frames, labels, strict=True):
        np.testing.assert_array_equal(BARS.example(draw.example), frame)
        assert BARS.labels[draw.example] == label


def test_what_is_left_of_an_epoch_is_its_end() -> None:
    assert equal(batches(1), batches(0)[1:])
    assert equal(batches(3), batches(2)[1:])


@pytest.mark.parametrize("other", [{"start": 2}, {"start": 0, "seed": 1}])
def test_epochs_and_seeds_differ(other: dict[str, int]) -> None:
    assert not equal(batches(**other), batches(0))


def test_workers_change_nothing() -> None:
    assert equal(batches(0, workers=2), batches(0))

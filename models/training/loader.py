"""Batches of augmented examples, each a function of the seed, the epoch and its place in it.

Nothing is drawn from a generator that lives on, so a run that goes on from the middle of an epoch
meets the very examples that it would have met, and any number of worker processes gives the same.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from models.errors import ModelError
from models.peers import ALONE, Peers
from models.training.augment import Augmentation
from models.training.data import Examples, Frames

__all__ = ["Batch", "Order", "loader", "share"]


class Batch(NamedTuple):
    """Examples that are stepped through side by side."""

    frames: Tensor
    """(batch, steps, channels, height, width)."""
    labels: Tensor
    """(batch,), int64."""


class _Draw(NamedTuple):
    """One showing of one example."""

    epoch: int
    example: int


class Order(Sampler[list[_Draw]]):
    """Which examples are in which batch.

    Examples left over from whole batches are not used in an epoch, except when there is no whole
    batch: a batch of one would give BatchNorm nothing to normalise by.

    Args:
        count: How many examples there are.
        size: Examples a batch.
        seed: Of the order.
        position: Says how many steps are done when an epoch's batches are asked for.
        peers: The processes to which each batch is dealt out; this one gets its rows.

    Raises:
        ModelError: A batch cannot be dealt out evenly.
    """

    def __init__(
        self,
        count: int,
        size: int,
        seed: int,
        position: Callable[[], int],
        peers: Peers = ALONE,
    ) -> None:
        self._count, self._size, self._seed, self._position = count, size, seed, position
        self._share, self._rank = share(min(size, count), peers.count), peers.rank

    def __len__(self) -> int:
        """Return the batches of a whole epoch."""
        return max(1, self._count // self._size)

    def __iter__(self) -> Iterator[list[_Draw]]:
        """Yield the batches that are left of the epoch that is going on."""
        epoch, done = divmod(self._position(), len(self))
        order = np.random.default_rng([self._seed, epoch]).permutation(self._count)
        for batch in range(done, len(self)):
            first = batch * self._size + self._rank * self._share
            chosen = order[first : first + self._share]
            yield [_Draw(epoch, int(index)) for index in chosen]


def share(batch: int, processes: int) -> int:
    """Return how many examples of a batch each process gets.

    Raises:
        ModelError: They cannot be dealt out evenly.
    """
    if batch % processes:
        less, more = batch // processes * processes, -(-batch // processes) * processes
        near = f"{less} or {more}" if less else str(more)
        raise ModelError(
            f"training.batch: {batch} examples cannot be dealt out evenly to {processes} processes;"
            f" take {near}, or another number of processes"
        )
    return batch // processes


class _Showings(Dataset[tuple[Frames, int]]):
    """Examples as they are met, augmented."""

    def __init__(self, examples: Examples, augmentation: Augmentation, seed: int) -> None:
        self._examples, self._augmentation, self._seed = examples, augmentation, seed
        self._labels: NDArray[np.int64] = examples.labels

    def __getitem__(self, draw: _Draw) -> tuple[Frames, int]:
        rng = np.random.default_rng([self._seed, *draw])
        frames = self._augmentation(self._examples.example(draw.example, rng), rng)
        return frames, int(self._labels[draw.example])


def loader(
    examples: Examples, augmentation: Augmentation, order: Order, seed: int, workers: int = 0
) -> DataLoader[tuple[Frames, int]]:
    """Return an iterable of `Batch`, one epoch (or what is left of it) each time.

    Args:
        examples: What to train on.
        augmentation: How frames are changed.
        order: Which examples are in which batch.
        seed: Of the augmentation.
        workers: Processes that prepare batches ahead; 0: none.
    """
    return DataLoader(
        _Showings(examples, augmentation, seed),
        batch_sampler=order,
        collate_fn=_stack,
        num_workers=workers,
    )


def _stack(shown: list[tuple[Frames, int]]) -> Batch:
    frames, labels = zip(*shown, strict=True)
    return Batch(torch.from_numpy(np.stack(frames)), torch.tensor(labels))

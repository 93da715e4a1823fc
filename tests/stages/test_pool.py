"""The pool: memory is used again, and never while somebody looks at it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.pool import Pool

BYTES = np.dtype(np.uint8)


def place(array: NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def test_memory_is_used_again_once_nobody_looks_at_it() -> None:
    pool = Pool()
    first = pool.empty((4, 8), BYTES)
    at, view = place(first), first[1:3]
    del first
    second = pool.empty((4, 8), BYTES)
    assert place(second) != at
    del view
    third = pool.empty((4, 2), np.dtype(np.float32))
    assert place(third) == at


def test_no_two_arrays_share_memory() -> None:
    pool = Pool()
    held = [pool.empty((16,), BYTES) for _ in range(10)]
    for number, array in enumerate(held):
        array[:] = number
    assert [int(array.sum()) for array in held] == [16 * number for number in range(10)]


def test_memory_of_another_size_is_not_taken() -> None:
    pool = Pool()
    pool.empty((16,), BYTES)
    assert pool.empty((32,), BYTES).nbytes == 32

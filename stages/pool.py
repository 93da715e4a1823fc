"""Memory that is used again once nobody looks at what is in it."""

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pool"]

_BUFFER_BYTES = 16 << 20


class Pool:
    """Hands out arrays, on memory that nobody else has; it belongs to one thread.

    Whoever holds a view of an array holds the array, so its count of references tells. New memory
    would cost more than most kernels: the system clears it page by page, at each first touch; or it
    was freed by another thread, and lies in the cache of another core.

    Args:
        most: arrays to remember. Of more the oldest are forgotten, and freed by who has them.
    """

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._buffers: list[NDArray[np.uint8]] = []

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an array that nobody else has; what it holds is undefined."""
        size = math.prod(shape) * dtype.itemsize
        for buffer in self._buffers:
            # The list, the loop and the call hold it; a fourth reference is a view of it.
            if buffer.nbytes == size and sys.getrefcount(buffer) == 3:
                return buffer.view(dtype).reshape(shape)
        buffer = np.empty(size, dtype=np.uint8)
        if size <= _BUFFER_BYTES:
            self._buffers = [buffer, *self._buffers[: self._most - 1]]
        return buffer.view(dtype).reshape(shape)

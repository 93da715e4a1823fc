"""The one place where numba's untyped decorator meets strict typing."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])

_compile = numba.njit(cache=True, nogil=True)


def kernel(function: _Function) -> _Function:
    """Compile with numba in nopython mode, cached on disk and with the GIL released."""
    return cast(_Function, _compile(function))

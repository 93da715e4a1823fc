"""The four operators in which a network is written for the KA200, for the processor.

The chip runs one time step at a time, and what must survive to the next is kept in its memory by
name. Lynxi's ``libcustom_ops.so`` registers the operators in ``torch.ops.custom`` for its compiler;
these have the same names, arguments and meaning, so that the same module runs without it:

- ``load(data, flag, ...)``: what is kept as ``flag``; `data` the first time after a reset;
- ``save(data, flag, ...)``: keeps `data` as ``flag``;
- ``cmpandfire(v, theta)``: 1 where ``v > theta``, else 0;
- ``resetwithdecay(v, theta, v_0, alpha, beta)``: ``v_0`` where ``v > theta``, else ``v``; then
  ``alpha * v + beta``, each operation rounded to the type of ``v``.

What is kept is no hidden global: it lives in a `ChipMemory`, and the operators work on the one that
is in use in their thread.

Source: the documentation and ``layers/lif.py`` of LynxiTech/BIDL (Apache-2.0).
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from models.errors import ModelError

__all__ = ["OPERATORS", "ChipMemory", "cmpandfire", "load", "register", "resetwithdecay", "save"]

OPERATORS = ("load", "save", "cmpandfire", "resetwithdecay")
"""Their names in ``torch.ops.custom``."""

_SCHEMAS = {
    "load": "(Tensor data, str flag, bool is_init, int[] shape, str dtype, int offset, int step,"
    " bool uselookup, int mode, int group_id) -> Tensor",
    "save": "(Tensor data, str flag, int offset, int step, bool isOutput, bool uselookup,"
    " int mode, int group_id) -> Tensor",
    "cmpandfire": "(Tensor v, float theta) -> Tensor",
    "resetwithdecay": "(Tensor v, float theta, float v_0, float alpha, float beta) -> Tensor",
}

_in_use = threading.local()
_library: Any = None


class ChipMemory:
    """What a chip keeps from step to step, by its flag.

    Attributes:
        values: Flag -> what was saved under it; empty at first, as after a model reset.
    """

    def __init__(self, values: Mapping[str, Tensor] | None = None) -> None:
        self.values: dict[str, Tensor] = dict(values or {})

    def reset(self) -> None:
        """Forget everything: the next `load` of a flag gives its data."""
        self.values.clear()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the operators of this thread work on it."""
        before = getattr(_in_use, "memory", None)
        _in_use.memory = self
        try:
            yield
        finally:
            _in_use.memory = before


def register() -> None:
    """Register those of the operators that ``torch.ops.custom`` does not have; done only once.

    Where Lynxi's own library was loaded before, its operators stay.
    """
    global _library
    if _library is not None:
        return
    library: Any = torch.library  # its functions have no types
    _library = library.Library("custom", "FRAGMENT")
    doing = {
        "load": _load,
        "save": _save,
        "cmpandfire": _cmpandfire,
        "resetwithdecay": _resetwithdecay,
    }
    for name in OPERATORS:
        if not hasattr(torch.ops.custom, name):
            # Otherwise a trace leaves out what is saved, since nothing seems to come of it.
            _library.define(f"{name}{_SCHEMAS[name]}", "CONSERVATIVE")
            _library.impl(name, doing[name], "CompositeExplicitAutograd")


def load(data: Tensor, flag: str) -> Tensor:
    """Return what the chip keeps as `flag`; tensors of 4 axes go to it with channels last.

    Args:
        data: What there is after a reset, (batch, ...), on the shape and type of what is kept.
        flag: Name in the chip's memory, another for each thing that is kept.
    """
    register()
    kept = torch.ops.custom.load(_channels_last(data), flag, True, [], "float32", 0, 0, False, 0, 0)
    return _channels_first(kept)


def save(data: Tensor, flag: str) -> Tensor:
    """Keep `data` as `flag`, and return it.

    What it returns must be used on the way to the output: tracing leaves out what is not.
    """
    register()
    kept = torch.ops.custom.save(_channels_last(data), flag, 0, 0, False, False, 0, 0)
    return _channels_first(kept)


def cmpandfire(v: Tensor, theta: float) -> Tensor:
    """Return 1 where ``v > theta``, else 0, like `v`."""
    register()
    fire: Tensor = torch.ops.custom.cmpandfire(v, theta)
    return fire


def resetwithdecay(v: Tensor, theta: float, v_0: float, alpha: float, beta: float) -> Tensor:
    """Return the membrane after reset and leak, like `v`."""
    register()
    after: Tensor = torch.ops.custom.resetwithdecay(v, theta, v_0, alpha, beta)
    return after


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def _channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def _memory() -> ChipMemory:
    memory: ChipMemory | None = getattr(_in_use, "memory", None)
    if memory is None:
        raise ModelError(
            "the chip's operators need a memory to work on; run them in `ChipMemory.in_use`"
        )
    return memory


def _load(
    data: Tensor,
    flag: str,
    is_init: bool,
    shape: Sequence[int],
    dtype: str,
    offset: int,
    step: int,
    uselookup: bool,
    mode: int,
    group_id: int,
) -> Tensor:
    kept = _memory().values.get(flag)
    if kept is None:
        return data.clone()
    if kept.shape != data.shape:
        raise ModelError(
            f"{flag} is kept as {tuple(kept.shape)} and loaded as {tuple(data.shape)}; "
            "a flag names one thing, always of one shape"
        )
    return kept.clone()  # what an operator returns must share nothing


def _save(
    data: Tensor,
    flag: str,
    offset: int,
    step: int,
    is_output: bool,
    uselookup: bool,
    mode: int,
    group_id: int,
) -> Tensor:
    _memory().values[flag] = data.detach().clone()
    return data.clone()


def _cmpandfire(v: Tensor, theta: float) -> Tensor:
    return (v > _rounded(theta, v)).to(v.dtype)


def _resetwithdecay(v: Tensor, theta: float, v_0: float, alpha: float, beta: float) -> Tensor:
    reset = torch.where(v > _rounded(theta, v), _rounded(v_0, v), v)
    return _rounded(alpha, v) * reset + _rounded(beta, v)


def _rounded(constant: float, v: Tensor) -> Tensor:
    """Return a constant in the type of `v`, as the chip has it; torch would take it as it is."""
    return torch.tensor(constant, dtype=v.dtype, device=v.device)

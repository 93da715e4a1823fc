"""A double of Lynxi's compiler, ``lyngor``: it records every call, and leaves what that leaves.

Which calls there are, with which arguments, and the file that a network has, are as the public
sample makes and reads them. It traces the module, as the compiler does; nothing that runs comes of
it.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from models.ka200.operators import ChipMemory, register

IN_TYPES = ("uint8", "float32")
RUN_BATCHES = (2, 4, 7, 14, 28)


class Lyngor:
    """Stands for the module ``lyngor``.

    Args:
        fails: Raised by `Builder.build`.
        slices: ``n_slice`` of what is built; None: the batch, as it must be.
        makes: Whether a network is written.
    """

    def __init__(
        self, fails: Exception | None = None, slices: int | None = None, makes: bool = True
    ) -> None:
        register()  # as its libcustom_ops.so does
        self.calls: list[tuple[Any, ...]] = []
        self.graph = ""
        self.fails, self.slices, self.makes = fails, slices, makes

    def DLModel(self) -> "DLModel":
        self.calls.append(("DLModel",))
        return DLModel(self)

    def Builder(self, target: str, is_map: bool) -> "Builder":
        self.calls.append(("Builder", target, is_map))
        assert target == "apu"
        return Builder(self)


class DLModel:
    def __init__(self, lyngor: Lyngor) -> None:
        self._lyngor = lyngor
        self.mod: Any = None
        self.params: Any = None

    def load(
        self,
        module: torch.nn.Module,
        kind: str,
        inputs_dict: dict[str, tuple[int, ...]],
        in_type: str,
    ) -> None:
        self._lyngor.calls.append(("load", kind, inputs_dict, in_type))
        assert kind == "Pytorch"
        assert in_type in IN_TYPES
        assert not module.training
        ((name, shape),) = inputs_dict.items()
        assert name == "data_0"
        assert shape[0] == 1, "a batch is made by the builder"
        frame = torch.zeros(shape, dtype=getattr(torch, in_type))
        with ChipMemory().in_use(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(module, frame, check_trace=False)
        self._lyngor.graph = str(traced.inlined_graph)
        self.mod, self.params = object(), object()


class Builder:
    def __init__(self, lyngor: Lyngor) -> None:
        self._lyngor = lyngor

    def build(
        self,
        mod: object,
        params: object,
        level: int,
        out_path: str,
        version: int,
        run_batch: int = 1,
    ) -> str:
        self._lyngor.calls.append(("build", level, out_path, version, run_batch))
        assert mod is not None, "build before load"
        assert params is not None
        assert (version, run_batch) == (0, 1) or (version == 1 and run_batch in RUN_BATCHES)
        if self._lyngor.fails is not None:
            raise self._lyngor.fails
        if self._lyngor.makes:
            place = Path(out_path) / "Net_0" / "apu_0" / "apu_x"
            place.mkdir(parents=True)
            slices = run_batch if self._lyngor.slices is None else self._lyngor.slices
            told = {"apu_x": {"batch_size": run_batch, "n_slice": slices}}
            (place / "apu.json").write_text(json.dumps(told))
        return out_path

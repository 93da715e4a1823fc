"""The KA200 on the processor: a network in the chip's operators, in the chip's arithmetic.

Weights, membranes and what every operator puts out are float16, as on the chip; within a product
sums are as torch makes them, which the chip may order otherwise. So an emulated network tells what
float16 costs, and not the chip's very bits.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.ka200.chip_module import ChipModule
from models.ka200.compiled import Layout
from models.ka200.operators import ChipMemory
from models.network import Network

__all__ = ["Emulator"]


class Emulator:
    """One stream through a network as the chip runs it, a step at a time.

    Args:
        network: In evaluation mode; it is not written to.
        mean_steps: None: each step's output comes out; else the running mean of so many that the
            chip keeps.
        dtype: What is computed in; float32 gives the network's own numbers.
        layout: In which its module takes frames; `step` brings them there.

    Attributes:
        memory: What the chip keeps from step to step, by its flag.

    Raises:
        ModelError: The network cannot run on the chip.
    """

    def __init__(
        self,
        network: Network[Any],
        mean_steps: int | None = None,
        dtype: torch.dtype = torch.float16,
        layout: Layout = "nchw",
    ) -> None:
        self._module = ChipModule(network, mean_steps, dtype, layout).to(dtype).eval()
        self._layout = layout
        self._dtype = dtype
        self.memory = ChipMemory()

    def step(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """Advance one step: frame (channels, height, width), any real dtype -> (features,)."""
        x = torch.from_numpy(frame[None].astype(np.float32)).to(self._dtype)
        if self._layout == "nhwc":
            x = x.permute(0, 2, 3, 1)
        with torch.inference_mode(), self.memory.in_use():
            output: NDArray[np.float32] = self._module(x)[0].float().numpy()
        return output

    def reset(self) -> None:
        """Put every membrane to rest: a model reset."""
        self.memory.reset()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of all that is kept, by its flag."""
        return {flag: value.numpy().copy() for flag, value in self.memory.values.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep what `arrays` gave, and nothing else."""
        self.memory.values = {
            flag: torch.from_numpy(array.copy()) for flag, array in arrays.items()
        }

"""Layers that see the whole batch: halves of a batch give what the whole gives, back and forth.

The processes are threads here, which add up through memory.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier

import pytest
import torch
from torch import Tensor, nn

from models.layers import Conv2dLif, FcLif, Lif2d, LifLayer, StepNorm2d
from models.lif import Lif
from models.peers import Peers
from models.shared_batch import SharedDropout, share_batch

COUNT = 2


@dataclass(frozen=True)
class Threads(Peers):
    """Peers that are threads of this process."""

    barrier: Barrier = field(kw_only=True)
    sums: list[Tensor] = field(kw_only=True)

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up what all threads bring."""
        self.sums[self.rank] = tensor.clone()
        self.barrier.wait(10)
        tensor.copy_(sum(self.sums))
        self.barrier.wait(10)
        return tensor


def run(layer: nn.Module, x: Tensor, v: Tensor | None) -> dict[str, Tensor]:
    """Return outputs, gradients and running statistics."""
    x = x.clone().requires_grad_()
    given = (x,) if v is None else (x, v)
    outputs = layer(*given)
    y = outputs if isinstance(outputs, Tensor) else outputs[0]
    weight = torch.linspace(-1, 1, y[0].numel(), dtype=y.dtype).view(y.shape[1:])
    (y * y * weight).sum().backward()
    assert x.grad is not None
    found = {"y": y.detach(), "grad": x.grad}
    found |= {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
    return found | {n: b for n, b in layer.named_buffers() if "running" in n}


def norm_2d() -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(3))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: Conv2dLif(2, 3), (4, 5, 2, 4, 4)),
        (lambda: FcLif(6, 3, Lif("analog", emit="leak")), (4, 5, 6)),
        (lambda: Conv2dLif(2, 3, lif=Lif(learnable=True)), (4, 5, 2, 4, 4)),
        (lambda: FcLif(6, 3, Lif(learnable=True)), (4, 5, 6)),
        (lambda: Lif2d(3), (4, 5, 3, 2, 2)),
        (lambda: StepNorm2d(3), (4, 5, 3, 2, 2)),
        (norm_2d, (4, 3, 5, 5)),
    ],
    ids=["kernel, map", "kernel, linear", "loop, map", "loop, linear", "no norm", "steps", "plain"],
)
def test_halves_give_what_the_whole_gives(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(1)
    layer = make().double().train()
    x = torch.randn(shape, dtype=torch.float64)
    v = None
    if isinstance(layer, LifLayer):
        size = shape[3:] if len(shape) > 3 else ()
        v = layer.initial_state(len(x), *size)  # type: ignore[operator]
    state = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    whole = run(layer, x, v)

    barrier, sums = Barrier(COUNT), [torch.empty(0)] * COUNT

    def half(rank: int) -> dict[str, Tensor]:
        peers = Threads(rank, COUNT, barrier=barrier, sums=sums)
        twin = make().double().train()
        twin.load_state_dict(state)
        share_batch(twin, peers)
        return run(twin, peers.mine(x), None if v is None else peers.mine(v))

    with ThreadPoolExecutor(COUNT) as pool:
        halves = list(pool.map(half, range(COUNT)))
    for name, expected in whole.items():
        parts = [part[name] for part in halves]
        if name in ("y", "grad"):
            found = torch.cat(parts)
        else:
            found = parts[0] if "running" in name else sum(parts, torch.zeros_like(parts[0]))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11, msg=name)


def test_dropout_leaves_out_what_one_process_would() -> None:
    x = torch.randn(3, 4, 5, 2).transpose(0, 1)  # steps first in memory
    torch.manual_seed(3)
    whole = nn.Dropout(0.4)(x)
    parts = []
    for rank in range(2):
        torch.manual_seed(3)
        network = nn.Sequential(nn.Dropout(0.4))
        share_batch(network, Peers(rank, 2))
        assert isinstance(network[0], SharedDropout)
        parts.append(network(x[2 * rank : 2 * rank + 2]))
    torch.testing.assert_close(torch.cat(parts), whole)

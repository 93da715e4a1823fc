"""Layers that see the whole batch where several processes have a part of it each.

BatchNorm takes mean and variance over all processes, and on the way back the sums of the gradients.
Torch's SyncBatchNorm does so on GPUs alone, and not for neurons through time, whose membrane is
normalised at every step (`models.recurrence`). Dropout draws for the whole batch.
"""

from typing import Any

from torch import Tensor, nn

from models.layers import LifLayer, StepNorm2d, follow
from models.peers import ALONE, Peers
from models.shared_norm import shared_norm

__all__ = ["SharedDropout", "SharedNorm1d", "SharedNorm2d", "share_batch"]


class _SharedNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm whose batch is that of all processes; tensors have the same names."""

    peers: Peers = ALONE

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (batch, channels, ...)."""
        if not self.training:
            return super().forward(input)
        assert isinstance(self, nn.BatchNorm1d | nn.BatchNorm2d)
        y, mean, var = shared_norm(input, self.weight, self.bias, self.eps, self.peers)
        follow(self, mean[None], var[None])
        return y


class SharedNorm1d(_SharedNorm, nn.BatchNorm1d):
    """See `models.shared_batch`."""


class SharedNorm2d(_SharedNorm, nn.BatchNorm2d):
    """See `models.shared_batch`."""


class SharedDropout(nn.Dropout):
    """Dropout that leaves out what one process with the whole batch would."""

    peers: Peers = ALONE

    def forward(self, input: Tensor) -> Tensor:
        """Leave out a share of the input (batch, ...)."""
        if not self.training or self.p == 0:
            return input
        ones = self.peers.whole_like(input.detach()).fill_(1)
        kept: Tensor = input * self.peers.mine(nn.functional.dropout(ones, self.p))
        return kept


_SHARED: dict[type[nn.Module], type[Any]] = {
    nn.BatchNorm1d: SharedNorm1d,
    nn.BatchNorm2d: SharedNorm2d,
    nn.Dropout: SharedDropout,
}


def share_batch(network: nn.Module, peers: Peers) -> None:
    """Let the layers of a network see the whole batch, of which `peers` have a part each.

    Names and values of all tensors stay as they are. Called again, with `ALONE`, each process is by
    itself.
    """
    for module in network.modules():
        twin = _SHARED.get(type(module))
        if twin is not None:
            module.__class__ = twin  # it keeps its tensors and settings
        if isinstance(module, LifLayer | StepNorm2d | _SharedNorm | SharedDropout):
            module.peers = peers

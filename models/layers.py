"""Layers: neurons with a map before them, and maps without neurons.

A network is written once, over (batch, time, ...): one step is a stretch of one. What remembers
nothing runs over all steps at once, with time folded into the batch; only neurons go through time,
and take and give their membrane: ``layer(x, v) -> (y, v)``.

BatchNorm in training takes the statistics of each step by itself, in order, as the reference does,
whose networks see one step at a time.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.lif import Constants, Lif
from models.neurons import lif_step
from models.peers import ALONE, Peers
from models.shared_norm import shared_norm

__all__ = [
    "Conv2dLif",
    "FcLif",
    "Lif2d",
    "LifLayer",
    "Normalise",
    "StepNorm2d",
    "SumLayer",
    "each_step",
    "follow",
    "names_in_bidl",
]


def each_step(module: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a module without memory to every step of x (batch, time, ...).

    Steps are folded into the batch in the order that they have in memory: nothing is copied.
    """
    first, second = (1, 0) if _time_first(x) else (0, 1)
    y = module(x.transpose(0, first).flatten(0, 1))
    return y.view(x.shape[first], x.shape[second], *y.shape[1:]).transpose(0, first)


class StepNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over (batch, time, channels, height, width), each step by its own statistics.

    Attributes:
        peers: The processes that have the batch between them.
    """

    peers: Peers = ALONE

    def forward(self, input: Tensor) -> Tensor:
        """Normalise every step; in training the running statistics take the steps in order.

        Raises:
            ModelError: In training a channel has no spread in a step: there is one value, or none.
        """
        if not self.training:
            return each_step(super().forward, input)
        batch, steps, channels, *place = input.shape
        _refuse_no_spread(batch * self.peers.count, place)
        if self.peers.count > 1:
            scale, shift = self.weight.repeat(steps), self.bias.repeat(steps)
            y, mean, var = shared_norm(input.flatten(1, 2), scale, shift, self.eps, self.peers)
            follow(self, mean.view(steps, channels), var.view(steps, channels))
            return y.view(input.shape)
        if _has_kernels(self.weight) and _time_first(input):
            # Neurons that forget at once and put their membrane out: a norm and nothing else.
            from models.recurrence import through_time

            rest = self.weight.new_zeros(batch, channels, *place)
            y, _, statistics = through_time(input, rest, _FORGETFUL, None, self)
            follow(self, *statistics)
            return y
        # Every channel of every step is a channel of its own; momentum 1 gives its statistics.
        mean, var = self.weight.new_zeros(2, steps * channels).unbind()
        scale, shift = self.weight.repeat(steps), self.bias.repeat(steps)
        y = nn.functional.batch_norm(
            input.flatten(1, 2), mean, var, scale, shift, True, 1.0, self.eps
        )
        follow(self, mean.view(steps, channels), var.view(steps, channels))
        return y.view(input.shape)


_FORGETFUL = Lif("analog", alpha=0.0, beta=0.0, emit="membrane", activation="none")


def _time_first(x: Tensor) -> bool:
    """Tell whether the steps of x (batch, time, ...) lie one after the other in memory."""
    return x.stride(1) > x.stride(0)


def _has_kernels(tensor: Tensor) -> bool:
    """Tell whether `models.recurrence` can compute in the dtype of a tensor and where it is."""
    return tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64)


def _refuse_no_spread(batch: int, place: Sequence[int]) -> None:
    if batch * math.prod(place) < 2:
        raise ModelError(
            "training needs more than one value a channel in each step, to tell their spread, got "
            f"a batch of {batch} of size {list(place)}; train in larger batches"
        )


def follow(norm: nn.BatchNorm1d | nn.BatchNorm2d, mean: Tensor, var: Tensor) -> None:
    """Bring the running statistics of a norm up to date with those of some steps, in their order.

    Args:
        norm: Tracks running statistics; with momentum None it takes the mean of all it ever saw.
        mean: Mean of each step, (steps, channels).
        var: Unbiased variance likewise.
    """
    running_mean, running_var, count = norm.running_mean, norm.running_var, norm.num_batches_tracked
    assert running_mean is not None
    assert running_var is not None
    assert count is not None
    with torch.no_grad():
        for now_mean, now_var in zip(mean, var, strict=True):
            count += 1
            share = 1 / int(count) if norm.momentum is None else norm.momentum
            running_mean.lerp_(now_mean, share)
            running_var.lerp_(now_var, share)


class Normalise(nn.Module):
    """Fixed scaling of the input: (x - mean) / std for each channel.

    Args:
        mean: One value a channel, in the unit of the input (0 to 255 for pictures of bytes).
        std: Likewise; not 0.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        # No buffers: made in float32 and turned to float64 they would keep float32's rounding.
        self._scale = [[*mean], [*std]]

    def forward(self, x: Tensor) -> Tensor:
        """Scale x (..., channels, height, width)."""
        mean, std = x.new_tensor(self._scale)[..., None, None]
        scaled: Tensor = (x - mean) / std
        return scaled


class SumLayer(nn.Module):
    """The sum over the steps of (batch, time, ...), divided by their number: (batch, ...).

    `models.network.Network` does it itself; this is for networks put together from layers.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Take the steps together."""
        return x.mean(1)


class LifLayer(nn.Module):
    """What the layers of neurons share. Alone: neurons fed directly, without normalisation.

    Args:
        lif: The kind of neuron.
        shape: Shape of a constant that each channel has for itself: (channels,) or
            (channels, 1, 1). Read only with ``sharing = "channel"``.

    Attributes:
        norm: Normalises the membrane; its output is what is held against the threshold.
        peers: The processes that have the batch between them, see `models.shared_batch`.
    """

    peers: Peers = ALONE

    alpha: Tensor
    beta: Tensor
    theta: Tensor
    v_0: Tensor

    def __init__(self, lif: Lif | None = None, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.lif = lif or Lif()
        self.norm: nn.Module | None = None
        for name, value in self.lif.constants._asdict().items():
            tensor = torch.full(shape if self.lif.sharing == "channel" else (), value)
            if self.lif.learnable:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                # Not in the weights file: the network's options tell it, unrounded.
                self.register_buffer(name, tensor, persistent=False)

    @property
    def constants(self) -> Constants:
        """Leak, offset, threshold and reset, broadcasting against (batch, channels, ...).

        Where nothing is learned they are the options' own numbers: a buffer made in float32 and
        turned to float64 would keep float32's rounding.
        """
        if not self.lif.learnable:
            return self.lif.constants
        return Constants(self.alpha, self.beta, self.theta, self.v_0)

    @property
    def product(self) -> nn.Module | None:
        """What turns a step's input into current; None where the input is the current."""
        return None

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Advance over x (batch, time, ...), at least one step.

        Training over many steps is one operation that keeps little (`models.recurrence`), where it
        can be: on the processor, without noise, with constants that are not learned.

        Args:
            x: Input of the steps.
            v: Membrane left by the step before, (batch, ...); not written to.

        Returns:
            The outputs (batch, time, ...) and the membrane after the last step.

        Raises:
            ModelError: In training a channel has one value or none, and so no spread.
        """
        if isinstance(self.norm, nn.BatchNorm1d | nn.BatchNorm2d) and self.norm.training:
            _refuse_no_spread(len(v) * self.peers.count, v.shape[2:])
        if self._fits(x, v):
            return self._through_time(x, v)
        return self.loop(x, v)

    def loop(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Do what `forward` does, step by step: its plain twin."""
        product = self.product
        outputs = []
        for now in (x if product is None else each_step(product, x)).unbind(1):
            y, v = lif_step(now, v, self.lif, self.constants, self.norm, self.training, self.peers)
            outputs.append(y)
        return torch.stack(outputs, 1), v

    def _fits(self, x: Tensor, v: Tensor) -> bool:
        """Tell whether `models.recurrence` has all that this layer needs."""
        norm, product = self.norm, self.product
        plain_product = (
            product is None
            or type(product) is nn.Linear
            or (type(product) is nn.Conv2d and product.padding_mode == "zeros")
        )
        plain_norm = norm is None or (
            isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
            and norm.training
            and norm.affine
            and norm.track_running_stats
        )
        plain_neurons = not self.lif.learnable and self.lif.noise == 0
        return (
            self.training
            and x.shape[1] > 1
            and v.numel() > 0
            and plain_product
            and plain_norm
            and plain_neurons
            and _has_kernels(v)
        )

    def _through_time(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        from models.recurrence import through_time  # Numba, which inference does without

        norm, product = self.norm, self.product
        assert norm is None or isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
        assert product is None or isinstance(product, nn.Conv2d | nn.Linear)
        y, v, statistics = through_time(x, v, self.lif, product, norm, self.peers)
        if norm is not None:
            follow(norm, *statistics)
        return y, v


class Lif2d(LifLayer):
    """Neurons on a map (batch, time, channels, height, width), without weights or norm.

    Args:
        channels: Channels of the map.
        lif: The kind of neuron.
    """

    def __init__(self, channels: int, lif: Lif | None = None) -> None:
        super().__init__(lif, (channels, 1, 1))
        self.channels = channels

    def initial_state(self, batch: int, height: int, width: int) -> Tensor:
        """Return a resting membrane: zeros (batch, channels, height, width)."""
        return self.alpha.new_zeros(batch, self.channels, height, width)


class Conv2dLif(LifLayer):
    """Conv2d with bias, then LIF with BatchNorm2d on the membrane.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Kernel size, pixels.
        stride: Stride, pixels.
        padding: Zero padding, pixels.
        lif: The kind of neuron.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int = 1,
        lif: Lif | None = None,
    ) -> None:
        super().__init__(lif, (outputs, 1, 1))
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        self.norm = nn.BatchNorm2d(outputs)
        self._kernel, self._stride, self._padding = kernel, stride, padding

    @property
    def product(self) -> nn.Module:
        """The convolution of (batch, inputs, height, width)."""
        return self.conv

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) that an input of this size gives, pixels."""
        reach = 2 * self._padding - self._kernel
        return (height + reach) // self._stride + 1, (width + reach) // self._stride + 1

    def initial_state(self, batch: int, height: int, width: int) -> Tensor:
        """Return a resting membrane for *inputs* of (height, width): zeros, like the weights."""
        return self.conv.weight.new_zeros(
            batch, self.conv.out_channels, *self.output_size(height, width)
        )


class FcLif(LifLayer):
    """Linear with bias, then LIF with BatchNorm1d on the membrane.

    Args:
        inputs: Input features.
        outputs: Output features.
        lif: The kind of neuron.
    """

    def __init__(self, inputs: int, outputs: int, lif: Lif | None = None) -> None:
        super().__init__(lif, (outputs,))
        self.fc = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)

    @property
    def product(self) -> nn.Module:
        """The linear map of (batch, inputs)."""
        return self.fc

    def initial_state(self, batch: int) -> Tensor:
        """Return a resting membrane: zeros (batch, outputs), like the weights."""
        return self.fc.weight.new_zeros(batch, self.fc.out_features)


def names_in_bidl(**layers: str) -> dict[str, str]:
    """Return what the parts of `Conv2dLif` and `FcLif` are called in BIDL's checkpoints.

    Args:
        **layers: BIDL's name of a layer -> its name here, which is that of its map and a number.

    Returns:
        BIDL's name of a part -> its name here.
    """
    names = {}
    for theirs, ours in layers.items():
        names[f"{theirs}.p0"] = f"{ours}.{ours.rstrip('0123456789')}"
        names[f"{theirs}.lif"] = ours
        names[f"{theirs}.lif.norm"] = f"{ours}.norm"
    return names

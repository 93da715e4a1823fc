"""The maps before neurons, forward and back, on a stretch of steps at a time."""

import torch
from torch import Tensor, nn

__all__ = ["Product"]


class Product:
    """A convolution, a linear map, or none, with its backward written out.

    Args:
        module: Whose options are used; its weights are given at each call.
    """

    def __init__(self, module: nn.Conv2d | nn.Linear | None) -> None:
        self.module = module

    def forward(
        self,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        dtype: torch.dtype,
        autocast: torch.dtype | None,
    ) -> Tensor:
        """Map x (n, channels, ...).

        Args:
            x: Input.
            weight: Weight of the module.
            bias: Bias of the module, if it has one.
            dtype: Type of the result.
            autocast: Type to multiply in; None: that of the result.
        """
        module = self.module
        if module is None or weight is None:
            return x.to(dtype)
        within = autocast or dtype
        x, weight = x.to(within), weight.to(within)
        bias = None if bias is None else bias.to(within)
        if isinstance(module, nn.Linear):
            return nn.functional.linear(x, weight, bias).to(dtype)
        x, weight = _channels_last(x), _channels_last(weight)
        return torch.conv2d(
            x, weight, bias, module.stride, module.padding, module.dilation, module.groups
        ).to(dtype)

    def backward(
        self,
        g: Tensor,
        x: Tensor,
        weight: Tensor | None,
        autocast: torch.dtype | None,
        g_x: Tensor | None,
        g_weight: Tensor | None,
        g_bias: Tensor | None,
    ) -> None:
        """Take gradients back.

        Args:
            g: Of the result, (steps * batch, channels, ...).
            x: The input, (steps, batch, channels, ...).
            weight: Weight of the module.
            autocast: Type to multiply in; None: that of the result.
            g_x: Receives the gradient of x; None: not wanted.
            g_weight: The gradient of the weight is added to it; None: not wanted.
            g_bias: Likewise of the bias.
        """
        module = self.module
        if module is None or weight is None:
            if g_x is not None:
                g_x.copy_(g.view(g_x.shape))
            return
        within = autocast or g.dtype
        g, weight, flat = g.to(within), weight.to(within), x.flatten(0, 1).to(within)
        if isinstance(module, nn.Linear):
            if g_x is not None:
                g_x.copy_((g @ weight).view(g_x.shape))
            if g_weight is not None:
                g_weight += g.T @ flat
            if g_bias is not None:
                g_bias += g.sum(0)
            return
        wants = [g_x is not None, g_weight is not None, g_bias is not None]
        results = torch.ops.aten.convolution_backward(
            _channels_last(g),
            _channels_last(flat),
            _channels_last(weight),
            None if g_bias is None else [len(g_bias)],
            module.stride,
            module.padding,
            module.dilation,
            False,
            [0, 0],
            module.groups,
            wants,
        )
        if g_x is not None:
            g_x.copy_(results[0].unflatten(0, x.shape[:2]))
        for total, part in zip((g_weight, g_bias), results[1:], strict=True):
            if total is not None:
                total += part


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)

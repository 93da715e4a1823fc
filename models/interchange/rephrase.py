"""How a neuron that is stepped in another way is said in NIR's own: by other numbers.

NIR's neurons, by forward Euler with steps of ``dt``, go the share ``dt / tau`` of their way, take
what comes in as a rate, and fire above their threshold. A share that is an exponential is that of
another ``tau``; what comes in whole is a rate with another ``r`` or ``w_in``; and to fire at a
threshold is to fire above the number below it. Nothing is approximated but by rounding.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from models.interchange.scheme import Scheme

__all__ = ["said_as_nir"]


def said_as_nir(
    kind: str, arrays: Mapping[str, Tensor], scheme: Scheme, dt_s: float
) -> dict[str, Tensor]:
    """Return those arrays of a node that are others in NIR, in their own types.

    Args:
        kind: The node's type.
        arrays: All that it has.
        scheme: How it is stepped here.
        dt_s: Length of a step in the file, s.
    """
    made: dict[str, Tensor] = {}
    shares = {}
    for name in {"tau", "tau_mem", "tau_syn"} & {*arrays}:
        steps = scheme.dt_s / arrays[name].double()
        shares[name] = steps if scheme.decay == "euler" else -torch.expm1(-steps)
        made[name] = dt_s / shares[name]
    if "delay" in arrays:
        made["delay"] = arrays["delay"].double() * (dt_s / scheme.dt_s)
    if kind in ("I", "IF"):
        made["r"] = arrays["r"].double() * (1 if scheme.inflow == "jump" else scheme.dt_s) / dt_s
    if kind == "LI" and scheme.inflow == "li_jump":
        made["r"] = arrays["r"].double() / shares["tau"]
    if kind.startswith("Cuba") and scheme.inflow == "jump":
        made["w_in"] = arrays["w_in"].double() / shares["tau_syn"]
    rounded = {name: tensor.to(arrays[name].dtype) for name, tensor in made.items()}
    for name in {"threshold", "v_threshold"} & {*arrays}:
        if scheme.fires == "at":
            below = torch.full_like(arrays[name], -math.inf)
            rounded[name] = torch.nextafter(arrays[name], below)
    return rounded

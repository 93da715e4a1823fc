"""What is asked for: found wrong before any data are made for it, and the weights to start from."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

import models
from models.choices import offer
from models.errors import ModelError
from models.network import Network
from models.training.recipe import NetworkSection, Recipe
from models.weights import load

__all__ = ["check_request", "start_from"]


def check_request(recipe: Recipe, out: Path) -> None:
    """Find out what is wrong with a request before any data are made for it.

    Raises:
        ModelError: A package is missing, the network cannot be built, the weights to start from
            do not fit it, or the weights file has no ending.
    """
    for package in ("lightning", "tensorboard", "matplotlib"):
        if find_spec(package) is None:
            raise ModelError(
                f'training needs the package {package}: pip install "event-pipeline[train]"'
            )
    if not out.suffix:
        raise ModelError(
            f"{out}: a weights file must have an ending, such as {out}.safetensors; the folder "
            "without it is where the run is kept"
        )
    if recipe.training.precision == "16-mixed" and not torch.cuda.is_available():
        raise ModelError('training.precision = "16-mixed" needs a GPU; use "bf16-mixed" or "32"')
    with torch.random.fork_rng():
        network = models.build(recipe.network.name, **recipe.network.options)
    start_from(network, recipe.network)


def start_from(network: Network[Any], section: NetworkSection) -> None:
    """Fill the network from trained weights, but for the modules that are to start fresh.

    Raises:
        ModelError: The file cannot be used, or a tensor is missing, unknown or of another shape.
    """
    if section.start_from is None:
        return
    place = section.start_from
    given = load(place).state_dict()
    wanted = network.state_dict()
    for module in section.start_without:
        if not any(name.startswith(f"{module}.") for name in wanted):
            modules = {name.partition(".")[0] for name in wanted}
            raise ModelError(
                f"network.start_without: no module {module!r}; {offer(module, modules)}"
            )
    fresh = tuple(f"{module}." for module in section.start_without)
    for name, tensor in wanted.items():
        if name.startswith(fresh) or name.endswith("num_batches_tracked"):
            continue
        if name not in given or given[name].shape != tensor.shape:
            found = tuple(given[name].shape) if name in given else "nothing"
            raise ModelError(
                f"network.start_from: {place}: {name} must be {tuple(tensor.shape)}, got {found}; "
                f'start it fresh with start_without = ["{name.partition(".")[0]}"]'
            )
        tensor.copy_(given[name])

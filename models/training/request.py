"""What is asked for: found wrong before any data are made for it, and the weights to start from."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

import models
from models.choices import offer
from models.errors import ModelError
from models.network import Network
from models.training.loader import share
from models.training.recipe import NetworkSection, Recipe
from models.weights import load

__all__ = ["check_request", "start_from"]


def check_request(recipe: Recipe, out: Path, processes: int = 1) -> tuple[int, int, int]:
    """Find out what is wrong with a request before any data are made for it.

    Args:
        recipe: What is to be trained.
        out: The weights file.
        processes: How many train it together.

    Returns:
        What the network takes: channels, height and width of a frame.

    Raises:
        ModelError: A package is missing, the network cannot be built, the weights to start from
            do not fit it, the weights file has no ending, or the processes cannot share a batch.
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
    share(recipe.training.batch, processes)
    if recipe.training.precision == "16-mixed" and not torch.cuda.is_available():
        raise ModelError('training.precision: "16-mixed" needs a GPU; use "bf16-mixed" or "32"')
    with torch.random.fork_rng():
        try:
            network = models.build(recipe.network.name, **recipe.network.options)
        except ModelError as error:
            raise ModelError(f"network.options: {error}") from None
    start_from(network, recipe.network)
    return network.input_shape


def start_from(network: Network[Any], section: NetworkSection) -> None:
    """Fill the network from trained weights, but for the modules that are to start fresh.

    Raises:
        ModelError: The file cannot be used, or a tensor is missing, unknown or of another shape.
    """
    if section.start_from is None:
        return
    place, wanted = section.start_from, network.state_dict()
    for module in section.start_without:
        if not any(name.startswith(f"{module}.") for name in wanted):
            modules = {name.partition(".")[0] for name in wanted}
            raise ModelError(
                f"network.start_without: no module {module!r}; {offer(module, modules)}"
            )
    try:
        before = load(place)
    except ModelError as error:
        raise ModelError(f"network.start_from: {error}") from None
    given, fresh = before.state_dict(), tuple(f"{module}." for module in section.start_without)
    taken = [
        name
        for name in wanted
        if not name.startswith(fresh) and not name.endswith("num_batches_tracked")
    ]
    wrong = [n for n in taken if n not in given or given[n].shape != wanted[n].shape]
    if wrong:
        found = tuple(given[wrong[0]].shape) if wrong[0] in given else "nothing"
        more = f", and {len(wrong) - 1} more differ" if len(wrong) > 1 else ""
        remedy = f"take weights of {network.name}"
        if len(wrong) < len(taken):
            differing = dict.fromkeys(name.partition(".")[0] for name in wrong)
            without = json.dumps([*section.start_without, *differing])
            remedy = f"start what differs fresh with start_without = {without}"
        raise ModelError(
            f"network.start_from: {place} has weights of {before.name}, they must fit "
            f"{network.name}, but {wrong[0]} must be {tuple(wanted[wrong[0]].shape)}, got {found}"
            f"{more}; {remedy}"
        )
    for name in taken:
        wanted[name].copy_(given[name])

"""Training of a network on labelled frames: one plain loop."""

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import nn

import models
from models.card import ModelCard
from models.errors import ModelError
from models.network import Network
from models.training.data import Augmentation, LabelledFrames, batches
from models.training.metrics import accuracy, evaluate, firing_rates, recall
from models.training.recipe import Recipe, TrainingSection
from models.weights import save

__all__ = ["Epoch", "TrainingResult", "train"]


@dataclass(frozen=True)
class Epoch:
    """One pass over the training recordings.

    Attributes:
        number: From 1.
        loss: Mean training loss.
        training_accuracy: Share right while training, on augmented recordings, 0 to 1.
        accuracy: Share of the validation recordings right after it, 0 to 1.
        seconds: How long it took, validation included.
    """

    number: int
    loss: float
    training_accuracy: float
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class TrainingResult:
    """What training gave; all but `history` is of the weights in the file, as rounded there.

    Attributes:
        path: The weights file.
        card: Its card.
        confusion: Validation confusion matrix, (classes, classes), int64, row = true class.
        accuracy: Share of the validation recordings right, 0 to 1.
        recall: Share found of each class, (classes,), float64; NaN for a class without any.
        history: Every epoch.
        warnings: What looked wrong on the way (dead or saturated layers).
    """

    path: Path
    card: ModelCard
    confusion: NDArray[np.int64]
    accuracy: float
    recall: NDArray[np.float64]
    history: tuple[Epoch, ...]
    warnings: tuple[str, ...]


def train(
    recipe: Recipe,
    train: LabelledFrames,
    validation: LabelledFrames,
    out: Path,
    progress: Console | None = None,
    created_by: str = "models.training",
) -> TrainingResult:
    """Train the recipe's network, keep the best epoch, write it with its card.

    A GPU is used when torch finds one. The number of CPU threads is the caller's to set. The same
    recipe, data, machine and number of threads give the same weights.

    Args:
        recipe: What to build and how to train it.
        train: Recordings to learn from.
        validation: Recordings of other people, to choose the epoch by.
        out: The weights file.
        progress: Where to show a progress bar and a line an epoch; None is quiet.
        created_by: Program and version, for the card.

    Raises:
        ModelError: The data and the recipe do not fit, or the loss is no longer finite.
    """
    _check(recipe, train, validation)
    section = recipe.training
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    console = progress or Console(quiet=True)
    with torch.random.fork_rng():  # the caller's generator is left as it was
        torch.manual_seed(section.seed)
        network = models.build(recipe.network.name, **recipe.network.options).to(device)
        history, warnings = _fit(network, section, train, validation, console)

    card = _card(recipe, network, train, f"not yet measured; {created_by}", created_by)
    save(network, card, out)
    # What counts is the network as it is in the file, rounded to float16.
    stored = models.load(out, device)
    confusion = evaluate(stored, validation.frames, validation.labels, section.batch)
    people = len(np.unique(validation.groups))
    card = _card(
        recipe,
        network,
        train,
        f"{accuracy(confusion):.1%} of {confusion.sum()} validation recordings of {people} "
        f"people not trained on (the epoch was chosen by them)",
        created_by,
    )
    save(stored, card, out)
    return TrainingResult(
        out, card, confusion, accuracy(confusion), recall(confusion), history, warnings
    )


def _check(recipe: Recipe, train: LabelledFrames, validation: LabelledFrames) -> None:
    """Refuse splits that differ in kind or share people."""
    for fact in ("classes", "sensor_size", "window_us", "frame"):
        if getattr(train, fact) != getattr(validation, fact):
            raise ModelError(
                f"{fact} must be the same for training and validation, got "
                f"{getattr(train, fact)} and {getattr(validation, fact)}"
            )
    shared = np.intersect1d(train.groups, validation.groups)
    if len(shared):
        raise ModelError(
            f"nobody may be in both training and validation, got groups {shared.tolist()}; "
            "split the recordings by person"
        )
    classes = recipe.network.options.get("classes")
    if classes is not None and classes != len(train.classes):
        raise ModelError(
            f"network.options.classes must be {len(train.classes)}, the data's, got {classes}"
        )


def _card(
    recipe: Recipe, network: Network[Any], data: LabelledFrames, accuracy: str, created_by: str
) -> ModelCard:
    return ModelCard(
        network=network.name,
        options=network.options,
        classes=data.classes,
        sensor_size=data.sensor_size,
        input_size=network.input_shape[1:],
        window_us=data.window_us,
        steps=network.options["steps"],
        data=recipe.card.data,
        accuracy=accuracy,
        licence=recipe.card.licence,
        created_by=created_by,
        frame=data.frame,
    )


def _fit(
    network: Network[Any],
    section: TrainingSection,
    train: LabelledFrames,
    validation: LabelledFrames,
    console: Console,
) -> tuple[tuple[Epoch, ...], tuple[str, ...]]:
    """Train in place; the network ends with the weights of its best epoch."""
    rng = np.random.default_rng(section.seed)
    augmentation = Augmentation(section.crop_steps, section.shift_px, section.drop_probability)
    optimiser = torch.optim.Adam(network.parameters(), weight_decay=section.weight_decay)
    step = 0
    best: tuple[float, float] = (-1.0, 0.0)
    history: list[Epoch] = []
    warnings: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        steps_an_epoch = max(1, len(train.labels) // section.batch)
        task = bar.add_task("training", total=section.epochs * steps_an_epoch)
        for epoch in range(section.epochs):
            started = time.monotonic()
            network.train()
            losses, right, seen = [], 0, 0
            with firing_rates(network) as rates:
                for frames, labels in batches(train, section.batch, augmentation, rng):
                    rate = section.learning_rate_at(step, epoch)
                    loss, found = _step(network, section, optimiser, rate, frames, labels)
                    losses.append(loss)
                    right, seen, step = right + found, seen + len(labels), step + 1
                    bar.advance(task)
            confusion = evaluate(network, validation.frames, validation.labels, section.batch)
            done = Epoch(
                epoch + 1,
                float(np.mean(losses)),
                right / seen,
                accuracy(confusion),
                time.monotonic() - started,
            )
            history.append(done)
            console.print(
                f"epoch {done.number}/{section.epochs}: loss {done.loss:.3f}, training "
                f"{done.training_accuracy:.1%}, validation {done.accuracy:.1%}, "
                f"{done.seconds:.0f} s"
            )
            if epoch == 0:
                fired = ", ".join(f"{layer} {rate:.1%}" for layer, rate in rates.rates.items())
                console.print(f"firing rates: {fired}")
            for warning in rates.warnings():
                if warning not in warnings:
                    warnings.append(warning)
                    console.print(f"[yellow]warning: {warning}[/yellow]")
            if (done.accuracy, -done.loss) > best:
                best = (done.accuracy, -done.loss)
                weights = copy.deepcopy(network.state_dict())
    network.load_state_dict(weights)
    network.eval()
    return tuple(history), tuple(warnings)


def _step(
    network: Network[Any],
    section: TrainingSection,
    optimiser: torch.optim.Optimizer,
    learning_rate: float,
    frames: NDArray[Any],
    labels: NDArray[np.int64],
) -> tuple[float, int]:
    """Take one training step; return its loss and how many recordings were right."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
    if section.norm_momentum is not None:
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1 - (1 - section.norm_momentum) ** (1 / frames.shape[1])
    target = torch.from_numpy(labels).to(network.device)
    optimiser.zero_grad()
    outputs, _ = network(torch.from_numpy(frames))
    scores = section.logit_scale * network.decide(outputs)
    loss = nn.functional.cross_entropy(scores, target, label_smoothing=section.label_smoothing)
    if not loss.isfinite():
        raise ModelError("the loss is no longer finite; lower training.learning_rate")
    loss.backward()  # type: ignore[no-untyped-call]
    if section.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), section.clip_norm)
    optimiser.step()
    return loss.item(), int((scores.argmax(1) == target).sum())

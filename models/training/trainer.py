"""Training of a network from a recipe: fit, keep the best, write it with its card and a report.

The loop, precision and devices are Lightning's; what is its own here is that a run killed at any
step goes on from its last save to the same weights, to the bit (`models.training.learner`).
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

import models
from models.card import ModelCard, read_card
from models.network import Network
from models.training.augment import Augmentation
from models.training.checks import check
from models.training.confusion import accuracy, recall
from models.training.course import Course, Epoch
from models.training.data import Examples
from models.training.metrics import evaluate, firing_rates
from models.training.recipe import Recipe
from models.training.request import check_request, start_from
from models.training.run_folder import RunFolder, fingerprint
from models.weights import save

if TYPE_CHECKING:
    from models.training.learner import Learner

__all__ = ["Interrupted", "TrainingResult", "finished", "train"]


class Interrupted(Exception):
    """Training was broken off on request; its state is saved.

    Attributes:
        folder: The run's folder.
        step: Steps done.
        steps: Steps of the whole run.
    """

    def __init__(self, folder: Path, step: int, steps: int) -> None:
        super().__init__(f"training was stopped after {step} of {steps} steps, saved in {folder}")
        self.folder, self.step, self.steps = folder, step, steps


@dataclass(frozen=True)
class TrainingResult:
    """What training gave; all but `history` is of the weights in the file, as rounded there.

    Attributes:
        path: The weights file.
        card: Its card.
        confusion: Validation confusion matrix, (classes, classes), int64, row = true class.
        accuracy: Share of the validation examples right, 0 to 1.
        recall: Share found of each class, (classes,), float64; NaN for a class without any.
        test: Confusion matrix of the test part, which chose nothing; None: there is none.
        firing_rates: Layer -> mean share of its neurons that fire a step, in validation.
        history: Every epoch.
        warnings: What looked wrong on the way (dead or saturated layers).
    """

    path: Path
    card: ModelCard
    confusion: NDArray[np.int64]
    accuracy: float
    recall: NDArray[np.float64]
    test: NDArray[np.int64] | None
    firing_rates: dict[str, float]
    history: tuple[Epoch, ...]
    warnings: tuple[str, ...]


def finished(
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    out: Path,
    *,
    test: Examples | None = None,
) -> ModelCard | None:
    """Tell whether all of this has been done already; the arguments are those of `train`.

    Returns:
        The card of the weights that are there; None: there is something to do.

    Raises:
        ModelError: The weights file is damaged.
    """
    data = fingerprint(train, validation, test)
    done = RunFolder(out.with_suffix("")).finished(recipe, data) == [] and out.exists()
    return read_card(out) if done else None


def train(
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    out: Path,
    *,
    test: Examples | None = None,
    resume: bool | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Console | None = None,
    created_by: str = "models.training",
) -> TrainingResult:
    """Train the recipe's network, keep the best epoch, write it with its card and a report.

    A GPU is used when there is one. The number of CPU threads is the caller's to set. The same
    recipe, data, machine and number of threads give the same weights, whether or not the run was
    killed on the way. State, logs and report lie in the folder that is called as `out` without its
    suffix. A run that is finished is done again, see `finished`.

    Args:
        recipe: What to build and how to train it.
        train: Examples to learn from.
        validation: Examples of other groups, to choose the epoch by.
        out: The weights file.
        test: Examples of further groups, for the accuracy in the card.
        resume: See `models.training.run_folder.RunFolder.begin`.
        stop: Asked after each step; true breaks training off.
        progress: Where to show a progress bar and a line an epoch; None is quiet.
        created_by: Program and version, for the card.

    Raises:
        ModelError: The data and the recipe do not fit, the folder holds another run, the loss is
            no longer finite, or Lightning is not installed.
        Interrupted: `stop` said so.
    """
    check_request(recipe, out)
    console = progress or Console(quiet=True)
    others = [validation] if test is None else [validation, test]
    with torch.random.fork_rng():  # the caller's generator is left as it was
        torch.manual_seed(recipe.training.seed)
        network = models.build(recipe.network.name, **recipe.network.options)
        start_from(network, recipe.network)
        for remark in check(recipe, network, train, others):
            console.print(f"note: {remark}", style="yellow", highlight=False)
        folder = RunFolder(out.with_suffix(""))
        data = fingerprint(train, *others)
        differences = folder.finished(recipe, data)
        last = folder.begin(recipe, data, resume)
        if differences:
            told = f"note: the finished run in {folder.path} is replaced: {differences[0]}"
            console.print(told, style="yellow", highlight=False)
        course = _fit(recipe, network, train, validation, folder, last, stop, console)

    if recipe.training.select == "best":
        network.load_state_dict(folder.load_best())
    card = _card(recipe, network, train, "not yet measured", created_by)
    save(network, card, out)
    # What counts is the network as it is in the file, rounded to float16.
    stored = models.load(out, "cuda" if torch.cuda.is_available() else "cpu")
    with firing_rates(stored) as rates:
        confusion = evaluate(stored, validation, recipe.training.batch)
    for warning in rates.warnings():
        if course.warn(warning):
            console.print(f"warning: {warning}", style="yellow", highlight=False)
    tested = None if test is None else evaluate(stored, test, recipe.training.batch)
    told = _told(recipe, confusion, validation, tested, test)
    card = msgspec.structs.replace(card, accuracy=told)
    save(stored, card, out)
    result = TrainingResult(
        path=out,
        card=card,
        confusion=confusion,
        accuracy=accuracy(confusion),
        recall=recall(confusion),
        test=tested,
        firing_rates=rates.rates,
        history=tuple(course.epochs),
        warnings=tuple(course.warnings),
    )
    from models.training.report import write_report

    parts = {"train": train, "validation": validation} | ({} if test is None else {"test": test})
    write_report(folder.report, result, recipe, parts, data)
    folder.finish()
    return result


def _fit(
    recipe: Recipe,
    network: Network[Any],
    train: Examples,
    validation: Examples,
    folder: RunFolder,
    last: Path | None,
    stop: Callable[[], bool],
    console: Console,
) -> Course:
    """Train in place; the network ends with the weights of the last step.

    Raises:
        Interrupted: `stop` said so.
    """
    from models.training.learner import Learner
    from models.training.loader import Order, loader

    section, changes = recipe.training, recipe.augment
    steps_an_epoch = max(1, len(train) // section.batch)
    learner = Learner(network, section, steps_an_epoch)
    order = Order(len(train), section.batch, section.seed, lambda: learner.course.step)
    augmentation = Augmentation(
        changes.crop_steps, changes.shift_px, changes.flip, changes.drop_probability
    )
    batches = loader(train, augmentation, order, section.seed, section.workers)
    if last is not None:
        learner.course = folder.course()
        done, of = learner.course.step, section.epochs * steps_an_epoch
        console.print(f"going on after step {done} of {of} ({folder.path})", highlight=False)
    else:
        epochs = f"{section.epochs} epochs of {steps_an_epoch} steps"
        console.print(f"training: {epochs}, {section.batch} examples each", highlight=False)
    if len(learner.course.epochs) < section.epochs:
        with _quiet():
            _trainer(learner, validation, folder, stop, console).fit(
                learner, batches, ckpt_path=last, weights_only=True
            )
    elif last is not None:  # killed after the last epoch
        learner.load_state_dict(folder.weights())
    if len(learner.course.epochs) < section.epochs:
        raise Interrupted(folder.path, learner.course.step, section.epochs * steps_an_epoch)
    network.load_state_dict(learner.judged.state_dict())
    network.to("cpu").eval()
    return learner.course


def _trainer(
    learner: "Learner",
    validation: Examples,
    folder: RunFolder,
    stop: Callable[[], bool],
    console: Console,
) -> Any:
    """Return Lightning's trainer, with nothing of its own in files or on the screen."""
    import lightning.pytorch as pl

    from models.training.callbacks import Recorder, Saver, Shower

    gpu = torch.cuda.is_available()
    precision = learner.section.precision
    return pl.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=1,
        precision="32-true" if precision == "32" else precision,
        max_epochs=-1,  # Saver ends the run: a run that goes on has fewer epochs before it
        limit_val_batches=0,  # Recorder validates, as the stream would see it
        gradient_clip_val=learner.section.clip_norm,
        deterministic="warn" if gpu else False,
        callbacks=[Recorder(validation, folder, console), Saver(folder, stop), Shower(console)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder.path,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice off the screen: it is about options that are chosen here."""
    names = ("lightning.pytorch", "lightning.fabric", "pytorch_lightning")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _card(
    recipe: Recipe, network: Network[Any], data: Examples, accuracy: str, created_by: str
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
        vocabulary=data.vocabulary,
    )


def _told(
    recipe: Recipe,
    confusion: NDArray[np.int64],
    validation: Examples,
    tested: NDArray[np.int64] | None,
    test: Examples | None,
) -> str:
    """Say how well it did, and on what."""
    chosen = _share("validation", confusion, validation)
    if tested is None or test is None:
        last = recipe.training.select == "last"
        how = "they chose nothing" if last else "the epoch was chosen by them"
        return f"{chosen} not trained on ({how})"
    return f"{_share('test', tested, test)} never seen; {chosen}"


def _share(part: str, confusion: NDArray[np.int64], examples: Examples) -> str:
    right, total = int(confusion.trace()), int(confusion.sum())
    groups = len(np.unique(examples.groups))
    of = f" of {groups} groups (people, recordings)" if groups < total else ""
    return f"{part}: {right} of {total} right ({right / total:.1%}){of}"

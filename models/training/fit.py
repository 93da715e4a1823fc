"""The steps of a training run, taken by Lightning: by one process, or by several together."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from models.network import Network
from models.peers import Peers
from models.shared_batch import share_batch
from models.training.augment import Augmentation
from models.training.course import Course
from models.training.data import Examples
from models.training.place import Place
from models.training.recipe import Recipe
from models.training.run_folder import RunFolder

if TYPE_CHECKING:
    from models.training.learner import Learner

__all__ = ["Interrupted", "fit"]


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


def fit(
    recipe: Recipe,
    network: Network[Any],
    train: Examples,
    validation: Examples,
    folder: RunFolder,
    last: Path | None,
    stop: Callable[[], bool],
    console: Console,
    peers: Peers,
    place: Place | None,
) -> Course:
    """Train in place; the network ends with the weights of the last step.

    Args:
        recipe: What to train, and how.
        network: As it was built.
        train: Examples to learn from.
        validation: Examples to choose the epoch by.
        folder: Where the run is kept.
        last: The save to go on from; None: from the start.
        stop: Asked after each step; true breaks training off.
        console: Where to say how it goes.
        peers: The processes that train together.
        place: Where this one is among them; None: it is alone.

    Raises:
        Interrupted: `stop` said so, in one of the processes.
    """
    from models.training.learner import Learner
    from models.training.loader import Order, loader

    section, changes = recipe.training, recipe.augment
    if peers.count > 1:
        share_batch(network, peers)
    steps_an_epoch = max(1, len(train) // section.batch)
    learner = Learner(network, section, steps_an_epoch, peers)
    if section.precision == "64":
        learner.double()  # Lightning does it after it has read a save: that would round it
    order = Order(len(train), section.batch, section.seed, lambda: learner.course.step, peers)
    augmentation = Augmentation(
        changes.crop_steps, changes.shift_px, changes.flip, changes.drop_probability
    )
    batches = loader(train, augmentation, order, section.seed, section.workers)
    if last is not None:
        learner.course = folder.course(last)
        done, of = learner.course.step, section.epochs * steps_an_epoch
        console.print(f"going on after step {done} of {of} ({folder.path})", highlight=False)
    else:
        epochs = f"{section.epochs} epochs of {steps_an_epoch} steps"
        dealt = "" if peers.count == 1 else f", dealt out to {peers.count} processes"
        console.print(f"training: {epochs}, {section.batch} examples each{dealt}", highlight=False)
    if len(learner.course.epochs) < section.epochs:
        with _quiet():
            one_step = min(changes.crop_steps or 2, train.example(0).shape[0]) == 1
            _trainer(learner, validation, folder, stop, console, place, one_step).fit(
                learner, batches, ckpt_path=last, weights_only=True
            )
    elif last is not None:  # killed after the last epoch
        learner.load_state_dict(folder.weights(last))
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
    place: Place | None,
    one_step: bool,
) -> Any:
    """Return Lightning's trainer, with nothing of its own in files or on the screen."""
    import lightning.pytorch as pl

    from models.training.callbacks import Heedful, Recorder, Saver, Shower

    gpu = torch.cuda.is_available()
    names: dict[str, Any] = {"32": "32-true", "64": "64-true"}
    precision: Any = names.get(learner.section.precision) or learner.section.precision
    return pl.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=1 if place is None else place.local_count,
        num_nodes=1 if place is None else place.hosts,
        strategy="auto" if place is None else place.strategy(one_step),
        precision=precision,
        max_epochs=-1,  # Saver ends the run: a run that goes on has fewer epochs before it
        limit_val_batches=0,  # Recorder validates, as the stream would see it
        gradient_clip_val=learner.section.clip_norm,
        deterministic="warn" if gpu else False,
        callbacks=[
            Recorder(validation, folder, console),
            Saver(folder, stop),
            Shower(console),
            Heedful(),
        ],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # `Order` deals the batches out
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

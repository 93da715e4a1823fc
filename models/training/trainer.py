"""Training of a network from a recipe: fit, keep the best, write it with its card and a report.

The loop, precision and devices are Lightning's; what is its own here is that a run killed at any
step goes on from its last save to the same weights, to the bit (`models.training.learner`).
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

import models
from models.card import ModelCard, read_card
from models.errors import PeerError
from models.network import Network
from models.peers import ALONE, Peers
from models.training.checks import check
from models.training.confusion import accuracy, recall
from models.training.course import Epoch
from models.training.data import Examples
from models.training.fit import Interrupted, fit
from models.training.metrics import evaluate, firing_rates
from models.training.place import Place
from models.training.recipe import Recipe
from models.training.request import check_request, start_from
from models.training.run_folder import OthersFolder, RunFolder, fingerprint
from models.weights import save

__all__ = ["Interrupted", "TrainingResult", "finished", "train", "train_among"]


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
    result = _train(
        recipe, train, validation, out, test, resume, stop, progress, created_by, ALONE, None
    )
    assert result is not None
    return result


def train_among(
    place: Place,
    peers: Peers,
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
) -> TrainingResult | None:
    """Be one of several processes that do together what `train` does.

    All must be called alike. The recipe's batch is dealt out to them; the order of the examples,
    the statistics of normalisation and the losses are those of the whole batch. The first alone
    writes, so the others may be on hosts that do not see its files, but for the data.

    Args:
        place: Where this process is among them.
        peers: As `Place.joined` gave them.
        recipe: See `train`, as for all that follows.
        train: Examples to learn from.
        validation: Examples to choose the epoch by.
        out: The weights file.
        test: Examples for the accuracy in the card.
        resume: Whether to go on; the first process decides.
        stop: Asked after each step, in every process.
        progress: Where the first process shows how it goes.
        created_by: Program and version, for the card.

    Returns:
        What `train` gives, in the first process; None in the others.

    Raises:
        ModelError: As by `train`.
        PeerError: Another process is gone.
        Interrupted: `stop` said so in one of the processes.
    """
    from torch.distributed import DistError

    console = progress if peers.rank == 0 else None
    try:
        return _train(
            recipe,
            train,
            validation,
            out,
            test,
            resume,
            stop,
            console,
            created_by,
            peers,
            place,
        )
    except RuntimeError as error:
        if isinstance(error, DistError) or "gloo" in str(error):
            raise PeerError.lost(peers.rank, error) from error
        raise


def _train(
    recipe: Recipe,
    train: Examples,
    validation: Examples,
    out: Path,
    test: Examples | None,
    resume: bool | None,
    stop: Callable[[], bool],
    progress: Console | None,
    created_by: str,
    peers: Peers,
    place: Place | None,
) -> TrainingResult | None:
    check_request(recipe, out, peers.count)
    console = progress or Console(quiet=True)
    others = [validation] if test is None else [validation, test]
    with torch.random.fork_rng():  # the caller's generator is left as it was
        torch.manual_seed(recipe.training.seed)
        network = models.build(recipe.network.name, **recipe.network.options)
        start_from(network, recipe.network)
        for remark in check(recipe, network, train, others):
            console.print(f"note: {remark}", style="yellow", highlight=False)
        data = fingerprint(train, *others)
        with _begun(peers, recipe, data, out, resume, console) as (folder, last):
            course = fit(
                recipe, network, train, validation, folder, last, stop, console, peers, place
            )
    if peers.rank > 0:
        return None

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
    write_report(folder.report, result, recipe, parts, data, peers.count)
    folder.finish()
    return result


@contextmanager
def _begun(
    peers: Peers,
    recipe: Recipe,
    data: str,
    out: Path,
    resume: bool | None,
    console: Console,
) -> Iterator[tuple[RunFolder, Path | None]]:
    """Give the run's folder, begun by the first process, and the save to go on from."""
    folder = RunFolder(out.with_suffix(""))

    def begin() -> tuple[str, bytes | None]:
        differences = folder.finished(recipe, data)
        last = folder.begin(recipe, data, resume)
        if differences:
            told = f"note: the finished run in {folder.path} is replaced: {differences[0]}"
            console.print(told, style="yellow", highlight=False)
        return str(folder.path), None if last is None else last.read_bytes()

    path, save = peers.agree(begin)
    if peers.rank == 0:
        yield folder, folder.last if save is not None else None
        return
    with tempfile.TemporaryDirectory() as temporary:
        last = Path(temporary) / "last.ckpt"
        if save is not None:
            last.write_bytes(save)
        yield OthersFolder(Path(path)), last if save is not None else None


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

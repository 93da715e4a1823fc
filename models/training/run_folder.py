"""The folder of a run: its state, best weights and logs, and whether it may be gone on with."""

import csv
import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from models.errors import ModelError
from models.training.course import Course, Epoch
from models.training.data import Examples
from models.training.recipe import Recipe

if TYPE_CHECKING:
    import lightning.pytorch as pl

__all__ = ["OthersFolder", "RunFolder", "fingerprint"]

_NO_MATTER = {"training": {"workers", "save_every_steps"}}
"""What changes no result, and so may differ when a run goes on."""


class RunFolder:
    """Where a run keeps what it must not lose. Every file appears whole or not at all.

    ``run.json`` says of which recipe and data; ``last.ckpt`` is Lightning's checkpoint of the last
    save, ``best.ckpt`` holds the weights of the best epoch, ``metrics.csv`` and ``tensorboard/``
    the logs, ``report/`` what is drawn at the end.

    Args:
        path: The folder; made by `begin`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run, self.last, self.best = path / "run.json", path / "last.ckpt", path / "best.ckpt"
        self.metrics, self.tensorboard = path / "metrics.csv", path / "tensorboard"
        self.report = path / "report"

    def begin(self, recipe: Recipe, data: str, resume: bool | None) -> Path | None:
        """Make the folder ready.

        Args:
            recipe: What is to be trained.
            data: Fingerprint of the training data.
            resume: True: there must be an unfinished run; False: what is there is removed; None:
                an unfinished run goes on, if there is one.

        Returns:
            The checkpoint to go on from; None: from the start. What a finished run left is removed
            then, see `finished`.

        Raises:
            ModelError: An unfinished run of another recipe or data is there, or `resume` finds
                none, or the folder cannot be written to.
        """
        now = _request(recipe, data)
        old = self._unfinished()
        if resume is None or resume:
            if old is not None:
                for difference in _differences(old, now):
                    raise ModelError(
                        f"{self.path}: holds an unfinished run of another recipe or data "
                        f"({difference}); start over with --fresh, or name another --out"
                    )
                return self.last
            if resume:
                raise ModelError(
                    f"{self.path}: there is no unfinished run to resume; leave --resume out"
                )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for file in (self.run, self.last, self.best, self.metrics):
                file.unlink(missing_ok=True)
            for folder in (self.tensorboard, self.report):
                shutil.rmtree(folder, ignore_errors=True)
            self._write(self.run, json.dumps({**now, "finished": False}, indent=1))
        except OSError as error:
            raise ModelError(
                f"{self.path}: cannot be written ({error.strerror}); name another --out"
            ) from error
        return None

    def finished(self, recipe: Recipe, data: str) -> list[str] | None:
        """Return how the finished run that is here differs from what is asked for now.

        Args:
            recipe: What is to be trained.
            data: Fingerprint of the training data.

        Returns:
            Such as ``training.seed was 0, is 1``; empty: in nothing; None: there is none.
        """
        found = self._read()
        if not found.pop("finished", False):
            return None
        return list(_differences(found, _request(recipe, data)))

    def finish(self) -> None:
        """Mark the run as finished."""
        self._write(self.run, json.dumps({**self._read(), "finished": True}, indent=1))

    def save_last(self, trainer: "pl.Trainer") -> None:
        """Save the run's state."""
        part = self.last.with_suffix(".part")
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            os.replace(part, self.last)

    def board(self, step: int) -> Any:
        """Open TensorBoard's log for a run that stands at a step."""
        from torch.utils.tensorboard import SummaryWriter

        # Steps that were logged but not saved before a kill are logged again.
        return SummaryWriter(self.tensorboard, purge_step=step)

    def course(self, save: Path) -> Course:
        """Return how far a saved run has come."""
        return msgspec.convert(self._load(save)["course"], Course)

    def weights(self, save: Path) -> dict[str, Tensor]:
        """Return the weights of a save, in the names of the learner."""
        weights: dict[str, Tensor] = self._load(save)["state_dict"]
        return weights

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Save the weights of the best epoch so far."""
        part = self.best.with_suffix(".part")
        torch.save(dict(weights), part)
        os.replace(part, self.best)

    def load_best(self) -> dict[str, Tensor]:
        """Return the weights of the best epoch."""
        return self._load(self.best)

    def write_metrics(self, epochs: Sequence[Epoch]) -> None:
        """Write a line an epoch; firing rates have a column a layer."""
        part = self.metrics.with_suffix(".part")
        with part.open("w", newline="") as file:
            writer = None
            for epoch in epochs:
                row = msgspec.to_builtins(epoch)
                row |= {f"firing_rate.{k}": v for k, v in row.pop("firing_rates").items()}
                if writer is None:
                    writer = csv.DictWriter(file, row)
                    writer.writeheader()
                writer.writerow(row)
        os.replace(part, self.metrics)

    def _load(self, path: Path) -> dict[str, Any]:
        try:
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, pickle.UnpicklingError) as error:
            raise ModelError(
                f"{path}: cannot be read ({error}); start over with --fresh"
            ) from error
        return found

    def _unfinished(self) -> dict[str, Any] | None:
        found = self._read()
        unfinished = found and not found.pop("finished", True) and self.last.exists()
        return found if unfinished else None

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.run.read_text())
        except (OSError, ValueError):
            return {}
        return found

    def _write(self, path: Path, text: str) -> None:
        part = path.with_suffix(".part")
        part.write_text(text + "\n")
        os.replace(part, path)


class _NoBoard:
    """Takes what is logged, and forgets it."""

    def add_scalar(self, *_: object) -> None: ...

    def close(self) -> None: ...


class OthersFolder(RunFolder):
    """The folder of a run that another process keeps: nothing is written to it from here.

    Args:
        path: The folder, where the other process has it.
    """

    def board(self, step: int) -> Any:
        """Log nothing."""
        return _NoBoard()

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Leave it to the other process."""

    def write_metrics(self, epochs: Sequence[Epoch]) -> None:
        """Leave it to the other process."""


def fingerprint(*parts: Examples | None) -> str:
    """Return a hash of what each part holds: all labels and groups, and a few examples."""
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            continue
        facts = (part.classes, part.sensor_size, part.window_us, part.frame, len(part))
        digest.update(repr(facts).encode())
        digest.update(np.ascontiguousarray(part.labels, np.int64).tobytes())
        digest.update(np.ascontiguousarray(part.groups, np.int64).tobytes())
        for index in sorted({0, len(part) // 2, len(part) - 1}):
            digest.update(np.ascontiguousarray(part.example(index)).tobytes())
    return digest.hexdigest()[:16]


def _request(recipe: Recipe, data: str) -> dict[str, Any]:
    """Return what a run is of: one of anything else is not gone on with."""
    request = {"recipe": recipe.model_dump(mode="json", exclude=_NO_MATTER), "data": data}
    if recipe.network.start_from is not None:
        weights = Path(recipe.network.start_from).read_bytes()
        request["start_from"] = hashlib.sha256(weights).hexdigest()[:16]
    return request


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Yield what differs between two tables."""
    for key in dict.fromkeys([*old, *new]):
        was, is_ = old.get(key), new.get(key)
        here = f"{place}{key}"
        if isinstance(was, Mapping) and isinstance(is_, Mapping):
            yield from _differences(was, is_, f"{here.removeprefix('recipe')}.".removeprefix("."))
        elif was != is_:
            yield f"{here} was {was!r}, is {is_!r}"

"""What happens around the steps of training: counting, validation, saving, showing."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import lightning.pytorch as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.training.confusion import accuracy, confusion_matrix
from models.training.course import Epoch
from models.training.data import Examples
from models.training.learner import Learner
from models.training.metrics import cross_entropy, firing_rates, predict
from models.training.run_folder import RunFolder

__all__ = ["Heedful", "Recorder", "Saver", "Shower"]


class Recorder(pl.Callback):
    """Counts the steps; after each epoch validates, keeps the best weights, writes the logs.

    Args:
        validation: Examples to choose the epoch by.
        folder: Where logs and the best weights go.
        console: Where a line an epoch is printed.
    """

    def __init__(self, validation: Examples, folder: RunFolder, console: Console) -> None:
        self._validation, self._folder, self._console = validation, folder, console
        self._since = 0.0

    def on_train_start(self, trainer: pl.Trainer, learner: pl.LightningModule) -> None:
        """Open the logs where the run stands."""
        assert isinstance(learner, Learner)
        self._board = self._folder.board(learner.course.step)
        self._since = time.monotonic()
        self._watch = ExitStack()

    def on_train_batch_start(
        self, trainer: pl.Trainer, learner: pl.LightningModule, batch: Any, index: int
    ) -> None:
        """Watch the neurons in the last step of an epoch.

        There they are normalised by the batch: after a short epoch the running statistics, which
        validation goes by, may not tell yet whether a layer is dead.
        """
        assert isinstance(learner, Learner)
        if (learner.course.step + 1) % learner.steps_an_epoch == 0:
            self._rates = self._watch.enter_context(firing_rates(learner.network))

    def on_train_batch_end(
        self, trainer: pl.Trainer, learner: pl.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Count the step."""
        assert isinstance(learner, Learner)
        self._watch.close()
        loss, seen = float(outputs["mean_loss"]), len(batch.labels) * learner.peers.count
        self._board.add_scalar("step/loss", loss, learner.course.step)
        self._board.add_scalar("step/learning_rate", learner.rate, learner.course.step)
        learner.course.count(loss, int(outputs["right"]), seen, self._lap())

    def on_train_epoch_end(self, trainer: pl.Trainer, learner: pl.LightningModule) -> None:
        """Validate, unless the epoch was broken off.

        Raises:
            ModelError: A weight is no longer finite.
        """
        assert isinstance(learner, Learner)
        course, section = learner.course, learner.section
        if course.step % learner.steps_an_epoch:
            return
        self._check(learner)
        skipped, steps = course.skipped, learner.steps_an_epoch
        self._rates.share(learner.peers)
        logits = predict(learner.judged, self._validation, section.batch, learner.peers)
        confusion = confusion_matrix(logits, self._validation.labels)
        epoch = Epoch(
            number=len(course.epochs) + 1,
            loss=course.loss / learner.steps_an_epoch,
            training_accuracy=course.right / course.seen,
            validation_loss=cross_entropy(section.logit_scale * logits, self._validation.labels),
            accuracy=accuracy(confusion),
            learning_rate=float(trainer.optimizers[0].param_groups[0]["lr"]),
            seconds=course.seconds + self._lap(),
            firing_rates=self._rates.rates,
        )
        if course.end_epoch(epoch):
            self._folder.save_best(learner.judged.state_dict())
        self._log(epoch)
        self._folder.write_metrics(course.epochs)
        self._show(epoch, section.epochs)
        warnings = self._rates.warnings()
        if skipped:
            warnings.append(
                f"{skipped} of {steps} steps of epoch {epoch.number} were left out: "
                "their gradients were not finite"
            )
        for warning in warnings:
            if course.warn(warning):
                self._console.print(f"warning: {warning}", style="yellow", highlight=False)

    def teardown(self, trainer: pl.Trainer, learner: pl.LightningModule, stage: str) -> None:
        """Close the logs."""
        if hasattr(self, "_board"):
            self._board.close()
            self._watch.close()

    def _lap(self) -> float:
        """Return the seconds since the last lap: waiting for examples counts too."""
        before, self._since = self._since, time.monotonic()
        return self._since - before

    def _check(self, learner: Learner) -> None:
        """Refuse to go on with what will not recover."""
        course, peers = learner.course, learner.peers
        for name, tensor in learner.network.state_dict().items():
            # Neurons hide it from the loss: a membrane that is no number does not fire.
            if not tensor.isfinite().all():
                raise peers.error(
                    f"{name} is no longer finite in epoch {len(course.epochs) + 1}; "
                    "lower training.learning_rate, or set training.clip_norm"
                )
        if course.skipped == learner.steps_an_epoch:
            raise peers.error(
                f"no step of epoch {len(course.epochs) + 1} had finite gradients; "
                "lower training.learning_rate, or network.options.steps"
            )

    def _log(self, epoch: Epoch) -> None:
        for name in ("loss", "training_accuracy", "validation_loss", "accuracy"):
            self._board.add_scalar(f"epoch/{name}", getattr(epoch, name), epoch.number)
        for layer, rate in epoch.firing_rates.items():
            self._board.add_scalar(f"firing_rate/{layer}", rate, epoch.number)

    def _show(self, epoch: Epoch, epochs: int) -> None:
        if epoch.number == 1:
            fired = ", ".join(f"{layer} {rate:.1%}" for layer, rate in epoch.firing_rates.items())
            self._console.print(f"firing rates: {fired}", highlight=False)
        self._console.print(
            f"epoch {epoch.number}/{epochs}: loss {epoch.loss:.3f}, training "
            f"{epoch.training_accuracy:.1%}, validation {epoch.accuracy:.1%}, "
            f"{epoch.seconds:.0f} s",
            highlight=False,
        )


class Saver(pl.Callback):
    """Saves the run's state now and then; ends the run when it is done, or on request.

    Args:
        folder: Where to save.
        stop: Says whether the run is to be broken off; it is saved then.
    """

    def __init__(self, folder: RunFolder, stop: Callable[[], bool]) -> None:
        self._folder, self._stop = folder, stop

    def on_train_batch_end(self, trainer: pl.Trainer, learner: pl.LightningModule, *_: Any) -> None:
        """Save every so many steps. The last step of an epoch waits for its validation."""
        assert isinstance(learner, Learner)
        step = learner.course.step
        if step % learner.steps_an_epoch == 0:
            return
        if self._asked(learner):
            trainer.should_stop = True
        if trainer.should_stop or step % learner.section.save_every_steps == 0:
            self._folder.save_last(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, learner: pl.LightningModule) -> None:
        """Save after an epoch's validation."""
        assert isinstance(learner, Learner)
        if learner.course.step % learner.steps_an_epoch == 0:
            self._folder.save_last(trainer)
        done = len(learner.course.epochs) >= learner.section.epochs
        trainer.should_stop = trainer.should_stop or done or self._asked(learner)

    def _asked(self, learner: Learner) -> bool:
        """Tell whether any of the processes is to stop: all do then, after the same step."""
        return bool(learner.peers.sum(torch.tensor(int(self._stop()))))


class Heedful(pl.Callback):
    """Leaves SIGTERM to whoever had it before.

    Lightning would end at once, without a save; and its handler speaks to the other processes in
    the middle of what they say to each other.
    """

    def __init__(self) -> None:
        self._before = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, learner: pl.LightningModule) -> None:
        """Take Lightning's handler away."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)


class Shower(pl.Callback):
    """A progress bar with the time left, where a person is watching.

    Args:
        console: Where to show it; nothing is shown where it is no terminal.
    """

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f}%"),
        )
        times = (
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._bar = Progress(
            *columns, *times, console=console, transient=True, disable=not console.is_terminal
        )

    def on_train_start(self, trainer: pl.Trainer, learner: pl.LightningModule) -> None:
        """Start at the step where the run stands."""
        assert isinstance(learner, Learner)
        total = learner.section.epochs * learner.steps_an_epoch
        self._task = self._bar.add_task("training", total=total, completed=learner.course.step)
        self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, learner: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Move on."""
        assert isinstance(learner, Learner)
        step, epochs = learner.course.step, learner.section.epochs
        now = min((step - 1) // learner.steps_an_epoch + 1, epochs)
        said = f"epoch {now}/{epochs}, loss {float(outputs['mean_loss']):.3f}"
        self._bar.update(self._task, completed=step, description=said)

    def teardown(self, trainer: pl.Trainer, learner: pl.LightningModule, stage: str) -> None:
        """Take the bar away."""
        self._bar.stop()

"""How far a run of training has come: counts and history, saved with the weights."""

import msgspec

__all__ = ["Course", "Epoch"]


class Epoch(msgspec.Struct, frozen=True):
    """One pass over the training examples.

    Attributes:
        number: From 1.
        loss: Mean training loss.
        training_accuracy: Share right while training, on augmented examples, 0 to 1.
        validation_loss: Mean cross-entropy of the validation examples, logits scaled as in
            training, without label smoothing.
        accuracy: Share of the validation examples right after it, 0 to 1.
        learning_rate: Of its last step.
        seconds: How long it took, validation included.
        firing_rates: Layer -> mean share of its neurons that fire a step, in its last batch.
    """

    number: int
    loss: float
    training_accuracy: float
    validation_loss: float
    accuracy: float
    learning_rate: float
    seconds: float
    firing_rates: dict[str, float]


class Course(msgspec.Struct):
    """Where a run stands.

    Attributes:
        step: Optimiser steps done, over all epochs.
        epochs: Every epoch done.
        best: Index into `epochs` of the best, by validation accuracy, then loss; -1: none yet.
        warnings: What looked wrong on the way.
        loss: Sum of the losses of the epoch that is going on.
        right: How many of its examples were right.
        seen: How many it has shown.
        seconds: How long it took so far.
        skipped: How many of its steps were left out, because the gradients were not finite.
    """

    step: int = 0
    epochs: list[Epoch] = []
    best: int = -1
    warnings: list[str] = []
    loss: float = 0.0
    right: int = 0
    seen: int = 0
    seconds: float = 0.0
    skipped: int = 0

    def count(self, loss: float, right: int, seen: int, seconds: float) -> None:
        """Take note of a step."""
        self.step += 1
        self.loss += loss
        self.right += right
        self.seen += seen
        self.seconds += seconds

    def end_epoch(self, epoch: Epoch) -> bool:
        """Take note of an epoch; return whether it is the best so far."""
        self.epochs.append(epoch)
        self.loss, self.right, self.seen, self.seconds, self.skipped = 0.0, 0, 0, 0.0, 0
        old = self.epochs[self.best] if self.best >= 0 else None
        better = old is None or _rank(epoch) > _rank(old)
        if better:
            self.best = len(self.epochs) - 1
        return better

    def warn(self, warning: str) -> bool:
        """Take note of a warning; return whether it is new."""
        new = warning not in self.warnings
        if new:
            self.warnings.append(warning)
        return new


def _rank(epoch: Epoch) -> tuple[float, float]:
    return epoch.accuracy, -epoch.validation_loss

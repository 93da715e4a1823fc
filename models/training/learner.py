"""One training step, as Lightning wants it.

Everything random in a step follows from the seed and the step's number, and so does the learning
rate; with the weights, the optimiser's state and the `Course`, that is all a run consists of.
"""

import copy
from typing import Any

import lightning.pytorch as pl
import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from models.network import Network
from models.peers import ALONE, Peers
from models.training.course import Course
from models.training.loader import Batch
from models.training.recipe import TrainingSection
from models.training.schedule import learning_rate

__all__ = ["Learner"]


class Learner(pl.LightningModule):
    """A network, how it is trained, and how far it has come.

    Args:
        network: What to train.
        section: How.
        steps_an_epoch: Batches an epoch.
        peers: The processes that have each batch between them.

    Attributes:
        course: How far training has come; counted up by `models.training.callbacks.Recorder`.
        average: Moving average of the network, where the recipe asks for one.
    """

    def __init__(
        self,
        network: Network[Any],
        section: TrainingSection,
        steps_an_epoch: int,
        peers: Peers = ALONE,
    ) -> None:
        super().__init__()
        self.network = network
        self.section = section
        self.steps_an_epoch = steps_an_epoch
        self.peers = peers
        self.course = Course()
        self.average: Network[Any] | None = None
        if section.average is not None:
            self.average = copy.deepcopy(network).requires_grad_(False)

    @property
    def judged(self) -> Network[Any]:
        """The network that is validated and kept."""
        return self.network if self.average is None else self.average

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return learning_rate(self.section, self.course.step, self.steps_an_epoch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the recipe's optimiser."""
        section, weights = self.section, self.network.parameters()
        decay = section.weight_decay
        if section.optimiser == "sgd":
            return torch.optim.SGD(
                weights,
                section.learning_rate,
                momentum=section.momentum,
                nesterov=section.nesterov,
                weight_decay=decay,
            )
        kind = torch.optim.AdamW if section.optimiser == "adamw" else torch.optim.Adam
        return kind(weights, section.learning_rate, weight_decay=decay)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set what the step's number says: generators and learning rate."""
        step = self.course.step
        (seed,) = np.random.SeedSequence([self.section.seed, step]).generate_state(1, np.uint64)
        torch.manual_seed(int(seed))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.rate
        if self.section.norm_momentum is not None:
            steps = batch.frames.shape[1]
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.momentum = 1 - (1 - self.section.norm_momentum) ** (1 / steps)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Return the loss of this process's examples, and of all: their loss, how many were right.

        Raises:
            ModelError: The loss is no longer finite.
        """
        frames, labels = batch
        outputs, _ = self.network(frames)
        logits = self.section.logit_scale * self.network.decide(outputs)
        loss = nn.functional.cross_entropy(
            logits, labels, label_smoothing=self.section.label_smoothing
        )
        right = (logits.argmax(1) == labels).sum()
        total, rights = self.peers.sum(torch.stack([loss.detach().double(), right.double()]))
        if not total.isfinite():
            raise self.peers.error(
                f"the loss is no longer finite at step {self.course.step + 1} "
                f"(epoch {self.course.step // self.steps_an_epoch + 1}); "
                "lower training.learning_rate, or set training.clip_norm"
            )
        return {"loss": loss, "mean_loss": total / self.peers.count, "right": rights}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Leave out a step whose gradients are not finite, as training in half precision does.

        They overflow where a normalisation sees the same in all of a batch for many steps, such as
        the padding before short texts: each step multiplies them by up to alpha / sqrt(eps), 95.
        """
        gradients = [w.grad for w in self.network.parameters() if w.grad is not None]
        if not nn.utils.get_total_norm(gradients).isfinite():
            for weight in self.network.parameters():
                weight.grad = None
            self.course.skipped += 1

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take the step, and let the average follow."""
        super().optimizer_step(*args, **kwargs)
        if self.average is None or self.section.average is None:
            return
        with torch.no_grad():
            for mean, now in zip(
                self.average.state_dict().values(), self.network.state_dict().values(), strict=True
            ):
                if mean.is_floating_point():
                    mean.lerp_(now, 1 - self.section.average)
                else:
                    mean.copy_(now)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the course in the place of Lightning's own position, which knows whole epochs."""
        del checkpoint["loops"]
        checkpoint["course"] = msgspec.to_builtins(self.course)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from where the course was."""
        self.course = msgspec.convert(checkpoint["course"], Course)

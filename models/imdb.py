"""The IMDB network: one word a step, neurons that remember, and the last step alone decides.

A step is a token id, (1, 1, 1): 0 pads a review at its beginning, 1 to 999 are the most frequent
words, 1000 is any other. The pad has a vector of its own that is trained like a word's.
An id is no quantity: the options `mean` and `std` are refused.
The reference gives one logit z, for *positive*. Here the logits are (0, z), so that cross-entropy
is the binary one, the argmax is the prediction, and the scores are (1 - p, p) with p = sigmoid(z).
Source: the project's design text (Lynxi BIDL applications); LynxiTech/BIDL
(``applications/classification/text/imdb``, ``datasets/pre_imdb.py``).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple, Unpack

import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.layers import FcLif, names_in_bidl
from models.lif import Lif
from models.network import Network, Options

__all__ = ["Imdb", "ImdbState"]


class ImdbState(NamedTuple):
    """Membranes, named by layer, batch first: fc1 (256)."""

    fc1: Tensor


class Imdb(Network[ImdbState]):
    """Sentiment classifier of the design text: negative, positive.

    ``classes``, ``input_channels`` and ``size`` have one value each. The last step alone is taken,
    so ``head`` changes nothing.

    Args:
        vocabulary: Number of token ids, the pad and the unknown word among them.
        **options: See `Options`; ``steps`` are the words of a review, pads among them.

    Raises:
        ModelError: An option is out of range.
    """

    name = "imdb"
    defaults = Options(classes=2, steps=500, input_channels=1, size=(1, 1), mode="analog")
    frame = "tokens"
    take: ClassVar[Literal["mean", "last"]] = "last"
    reference_names: ClassVar[Mapping[str, str]] = {**names_in_bidl(lif="fc1"), "fc": "fc2"}

    def __init__(self, *, vocabulary: int = 1001, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        classes = self.options["classes"]
        if (classes, self.input_shape) != (2, (1, 1, 1)):
            raise ModelError(
                f"{self.name}: a step is one token and a review is negative or positive: classes "
                f"must be 2, input_channels 1 and size [1, 1], got {classes}, "
                f"{self.input_shape[0]} and {self.options['size']}"
            )
        if "mean" in self.options:
            raise ModelError(f"{self.name}: mean and std must be left out, a token is no quantity")
        if vocabulary < 1:
            raise ModelError(f"{self.name}: vocabulary must be at least 1, got {vocabulary}")
        self.options["vocabulary"] = vocabulary
        self.embedding = nn.Embedding(vocabulary, 16)
        self.fc1 = FcLif(16, 256, self.neurons(Lif))
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(256, 1)

    def translate(self, tensors: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
        """Leave out the second copy of the embedding, which the reference keeps for its chip."""
        kept = dict(tensors)
        copy, embedding = kept.pop("embedding_fc.weight", None), kept.get("embedding.weight")
        if copy is not None and (embedding is None or not torch.equal(copy.T, embedding)):
            raise ModelError(
                f"{origin}: embedding_fc.weight must be the transpose of embedding.weight; "
                "the checkpoint is damaged, or of another network"
            )
        return super().translate(kept, origin)

    def initial_state(self, batch: int) -> ImdbState:
        """Return every membrane at rest, in the weights' dtype and on their device."""
        return ImdbState(self.fc1.initial_state(batch))

    def admit(self, x: Tensor) -> Tensor:
        """Check token ids, (batch, time) or (batch, time, 1, 1, 1), and make them int64.

        Raises:
            ModelError: There is no step, another shape, or an id that the vocabulary has not.
        """
        if x.ndim == 2:
            x = x[..., None, None, None]
        if x.ndim != 5 or x.shape[1] == 0 or tuple(x.shape[2:]) != self.input_shape:
            raise ModelError(
                f"{self.name} takes token ids of (batch, time) or (batch, time, 1, 1, 1) with at "
                f"least one step, got {tuple(x.shape)}; use `step` for a single token"
            )
        ids = x.to(self.device, torch.int64)
        last = self.embedding.num_embeddings - 1
        if len(ids) and (ids.min() < 0 or ids.max() > last):
            raise ModelError(
                f"{self.name}: token ids must be 0 to {last}, got {int(ids.min())} to "
                f"{int(ids.max())}; make them with the vocabulary that the network was trained with"
            )
        return ids

    def run(self, x: Tensor, state: ImdbState) -> tuple[Tensor, ImdbState]:
        """Advance over token ids (batch, time, 1, 1, 1) -> (batch, time, 256)."""
        y, fc1 = self.fc1(self.embedding(x.flatten(1)), state.fc1)
        return y, ImdbState(fc1)

    def classify(self, features: Tensor) -> Tensor:
        """Map features (..., 256) to the logits (..., 2): 0 for negative, z for positive."""
        z: Tensor = self.fc2(self.dropout(features))
        return torch.cat([torch.zeros_like(z), z], -1)

    def scores(self, logits: Tensor) -> Tensor:
        """Turn the logits into probabilities, (1 - p, p)."""
        return logits.softmax(-1)

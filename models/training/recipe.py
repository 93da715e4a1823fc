"""A training recipe: one TOML file says the data, the input stages, the network, the training."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from models.choices import offer
from models.errors import ModelError

__all__ = ["Recipe", "load_recipe"]

Probability = Annotated[float, Field(ge=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(BaseModel):
    """Which data set, and how it is split. Other keys are the data set's own to check."""

    model_config = ConfigDict(extra="allow", frozen=True)

    set: str
    people: PositiveInt
    validation_people: PositiveInt
    test_people: PositiveInt
    seed: int = 0
    seconds_per_gesture: PositiveFloat = 1.5


class InputSection(_Section):
    """The stages between events and network, the same tables as in a pipeline file."""

    stage: list[dict[str, Any]] = []


class NetworkSection(_Section):
    """A name in `models.NETWORKS`, and the network's options."""

    name: str
    options: dict[str, Any] = {}


class TrainingSection(_Section):
    """How the network is trained (Adam).

    Attributes:
        epochs: Passes over the training recordings.
        batch: Recordings a step.
        learning_rate: Adam's, after warm-up and before the first milestone.
        weight_decay: L2, as Adam's own.
        milestones: Epochs (from 0) at whose start the learning rate is multiplied by `gamma`.
        gamma: Factor at a milestone.
        warm_up_steps: Steps over which the learning rate rises linearly from near 0.
        label_smoothing: Share of the target given to all classes alike.
        logit_scale: Class scores are multiplied by this in the loss. Firing rates span 0 to 1:
            unscaled, even a perfect answer leaves a loss of 1.5 at 11 classes.
        clip_norm: Largest norm of the gradient; None leaves it alone.
        norm_momentum: Share of the running mean and variance that one *batch* renews, spread
            over its steps. None keeps torch's 0.1 a *step*, as the reference has it, which
            leaves little but the last batch.
        crop_steps: Train on a random stretch of this many steps; None takes all. Validation
            always sees all.
        shift_px: Largest random shift, pixels.
        drop_probability: Largest random share of events dropped.
        seed: Of weights, order and augmentation.
    """

    epochs: PositiveInt = 100
    batch: Annotated[int, Field(ge=2)] = 16
    learning_rate: PositiveFloat = 1e-2
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    milestones: list[PositiveInt] = [60, 90]
    gamma: PositiveFloat = 0.1
    warm_up_steps: Annotated[int, Field(ge=0)] = 0
    label_smoothing: Probability = 0.0
    logit_scale: PositiveFloat = 1.0
    clip_norm: PositiveFloat | None = None
    norm_momentum: Annotated[float, Field(gt=0, le=1)] | None = None
    crop_steps: PositiveInt | None = None
    shift_px: Annotated[int, Field(ge=0)] = 0
    drop_probability: Probability = 0.0
    seed: int = 0

    def learning_rate_at(self, step: int, epoch: int) -> float:
        """Return the learning rate of a step (counted over all epochs, from 0)."""
        rate = self.learning_rate * self.gamma ** sum(epoch >= start for start in self.milestones)
        return rate * min(1.0, (step + 1) / (self.warm_up_steps + 1))


class CardSection(_Section):
    """What the model card says beside what training knows itself."""

    data: str
    licence: str


class Recipe(_Section):
    """A whole recipe."""

    data: DataSection
    input: InputSection
    network: NetworkSection
    training: TrainingSection = TrainingSection()
    card: CardSection


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        ModelError: The file is missing or not TOML, or a key is unknown, missing or wrong; the
            message names every such key by its path.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}); check the path to the recipe"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: must be TOML: {error}") from error
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        problems = (_say(problem) for problem in error.errors())
        raise ModelError(f"{path}: {'; '.join(problems)}") from error


def _say(problem: Any) -> str:
    """Turn one of pydantic's problems into ``table.key: rule, got value``."""
    *tables, key = problem["loc"]
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "missing":
        return f"{where}: must be given"
    if problem["type"] == "extra_forbidden":
        section: type[BaseModel] = Recipe
        for table in tables:
            inner = section.model_fields[str(table)].annotation
            assert isinstance(inner, type)
            section = inner
        return f"{where}: unknown key; {offer(str(key), section.model_fields)}"
    message = str(problem["msg"])
    return f"{where}: {message[0].lower()}{message[1:]}, got {problem['input']!r}"

"""A training recipe: one TOML file says the data, the input stages, the network, the training.

``[variant.NAME.*]`` tables hold what differs for a variant; `load_recipe` lays them over the
recipe. Tables are merged key by key, lists and other values replaced. A table that names another
data set or network (``set``, ``name``) than the recipe's own keeps nothing of it: the other keys
belong to what was named.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from models import NETWORKS
from models.choices import offer
from models.errors import ModelError

__all__ = [
    "AugmentSection",
    "CardSection",
    "DataSection",
    "EventSection",
    "InputSection",
    "NetworkSection",
    "Recipe",
    "TrainingSection",
    "load_recipe",
    "read_recipe",
]

Share = Annotated[float, Field(ge=0, lt=1)]
Amount = Annotated[float, Field(ge=0)]
Pixels = Annotated[int, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataSection(_Section):
    """Which data set, and how it is split. Other keys are the data set's own to check.

    Attributes:
        set: A data set's name.
        path: Where it lies, below the folder of all data; None: in a folder of its name.
        seed: Of the split, and of what is simulated.
        validation: Share of the groups (people, recordings) held out to choose the epoch by; None:
            the part that the set itself names.
        test: Share of the groups never seen until the end; None: the part that the set itself
            names, if it does; 0: none.
    """

    model_config = ConfigDict(extra="allow")

    set: str
    path: str | None = None
    seed: int = 0
    validation: Share | None = None
    test: Share | None = None


class InputSection(_Section):
    """The stages between source and network.

    Attributes:
        stage: The same tables as in a pipeline file, without names: each takes from the one above.
    """

    stage: list[dict[str, Any]] = []


class EventSection(_Section):
    """Random changes of an example's events before they are binned.

    Attributes:
        time_jitter_us: Standard deviation of what is added to each event's time; order restored.
        time_scale: Largest change of speed, as a share: 0.1 is 0.9 to 1.1 times as long.
        drop_probability: Each example loses events with a probability drawn from 0 to this.
        shift_px: Largest shift in each direction, pixels of the sensor.
        rotate_deg: Largest turn about the sensor's centre, degrees, either way.
        scale: Largest change of size about the sensor's centre, as a share.
        shear: Largest slant: pixels to the side for each pixel downward, about the centre.
    """

    time_jitter_us: Amount = 0.0
    time_scale: Share = 0.0
    drop_probability: Share = 0.0
    shift_px: Pixels = 0
    rotate_deg: Amount = 0.0
    scale: Share = 0.0
    shear: Share = 0.0


class AugmentSection(_Section):
    """Random changes of training examples, see `models.training.augment.Augmentation`.

    Attributes:
        crop_steps: Length of a random stretch of time; None takes all. Validation sees all.
        shift_px: Largest shift, pixels of the frame; the same as a random crop after padding.
        flip: Whether every other example is mirrored.
        drop_probability: Largest share of events dropped from counts.
        events: What is done to events before they are binned.
    """

    crop_steps: PositiveInt | None = None
    shift_px: Pixels = 0
    flip: bool = False
    drop_probability: Share = 0.0
    events: EventSection = EventSection()


class NetworkSection(_Section):
    """What is trained.

    Attributes:
        name: A name in `models.NETWORKS`.
        options: The network's options.
        start_from: Weights to start from, relative to the recipe's folder; None: fresh ones.
        start_without: Modules of it that start fresh all the same, such as the head.
    """

    name: str
    options: dict[str, Any] = {}
    start_from: str | None = None
    start_without: list[str] = []


class TrainingSection(_Section):
    """How the network is trained.

    Attributes:
        optimiser: ``adam`` and ``sgd`` add weight decay to the gradient; ``adamw`` decouples it.
        learning_rate: After warm-up, before the schedule lowers it.
        momentum: Of ``sgd``.
        nesterov: Of ``sgd``.
        weight_decay: Of all weights.
        schedule: ``milestones``: times `gamma` at the start of each epoch listed; ``cosine``: down
            to 0 at the end; ``constant``.
        milestones: Epochs, from 0.
        gamma: Factor at a milestone.
        warm_up_steps: Steps over which the learning rate rises linearly.
        warm_up_factor: Where it starts, as a share of itself.
        epochs: Passes over the training examples.
        batch: Examples a step.
        label_smoothing: Share of the target given to all classes alike.
        logit_scale: Logits are multiplied by this in the loss. Firing rates span 0 to 1:
            unscaled, even a perfect answer leaves a loss of 1.5 at 11 classes.
        clip_norm: Largest norm of the gradient; None leaves it alone.
        norm_momentum: Share of the running mean and variance that one *batch* renews, spread
            over its steps. None keeps torch's 0.1 a *step*, as the reference has it, which
            leaves little but the last batch.
        average: Decay a step of a moving average of the weights, which is what is validated and
            kept; None: the weights themselves.
        precision: ``32``; mixed: ``bf16-mixed``, ``16-mixed`` (on a GPU); ``64`` to see what
            differs by more than rounding.
        select: Which weights are kept: of the ``best`` epoch by validation, or the ``last``.
        seed: Of weights, order, augmentation, dropout and noise.
        workers: Processes that prepare examples; 0: the trainer's own. No result depends on it.
        save_every_steps: Steps between two saves of the run's state; each epoch saves besides.
    """

    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: PositiveFloat = 1e-2
    momentum: Share = 0.9
    nesterov: bool = False
    weight_decay: Amount = 1e-4
    schedule: Literal["milestones", "cosine", "constant"] = "milestones"
    milestones: list[PositiveInt] = []
    gamma: PositiveFloat = 0.1
    warm_up_steps: Annotated[int, Field(ge=0)] = 0
    warm_up_factor: Share = 0.0
    epochs: PositiveInt
    batch: Annotated[int, Field(ge=2)] = 16
    label_smoothing: Share = 0.0
    logit_scale: PositiveFloat = 1.0
    clip_norm: PositiveFloat | None = None
    norm_momentum: Annotated[float, Field(gt=0, le=1)] | None = None
    average: Share | None = None
    precision: Literal["32", "64", "bf16-mixed", "16-mixed"] = "32"
    select: Literal["best", "last"] = "best"
    seed: int = 0
    workers: Annotated[int, Field(ge=0)] = 0
    save_every_steps: PositiveInt = 100


class CardSection(_Section):
    """What the model card says beside what training knows itself.

    Attributes:
        data: What the network is trained on; says so where that is simulated.
        licence: Of the weights.
    """

    data: str
    licence: str


class Recipe(_Section):
    """A whole recipe."""

    data: DataSection
    input: InputSection = InputSection()
    augment: AugmentSection = AugmentSection()
    network: NetworkSection
    training: TrainingSection
    card: CardSection


def load_recipe(
    path: str | Path, variants: Sequence[str] = (), changes: Sequence[Mapping[str, Any]] = ()
) -> Recipe:
    """Read and check a recipe.

    Args:
        path: The TOML file.
        variants: Which ``[variant.NAME]`` are laid over it, in order.
        changes: Further tables laid over that, in order.

    Raises:
        ModelError: The file is missing or not TOML, there is no such variant, or a key is unknown,
            missing or wrong; the message names every such key by its path.
    """
    path = Path(path)
    table, known = _read(path)
    for variant in variants:
        if variant not in known:
            remedy = offer(variant, known) if known else "it has none"
            raise ModelError(f"{path}: there is no [variant.{variant}]; {remedy}")
        table = _merge(table, known[variant])
    for change in changes:
        table = _merge(table, change)
    recipe = read_recipe(table, str(path))
    start_from = recipe.network.start_from
    if start_from is not None:
        network = recipe.network.model_copy(update={"start_from": str(path.parent / start_from)})
        recipe = recipe.model_copy(update={"network": network})
    return recipe


def read_recipe(table: Mapping[str, Any], place: str = "recipe") -> Recipe:
    """Check a recipe that is a table already.

    Raises:
        ModelError: A key is unknown, missing or wrong, or there is no such network; `place` is what
            the message begins with.
    """
    try:
        recipe = Recipe.model_validate(table)
    except ValidationError as error:
        problems = (_say(problem) for problem in error.errors())
        raise ModelError(f"{place}: {'; '.join(problems)}") from error
    name = recipe.network.name
    if name not in NETWORKS:
        raise ModelError(
            f"{place}: network.name: unknown network {name!r}; {offer(name, NETWORKS)}"
        )
    return recipe


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the recipe's own tables and its variants."""
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}); check the path to the recipe"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: must be TOML: {error}") from error
    variants = table.pop("variant", {})
    if not isinstance(variants, dict) or not all(isinstance(v, dict) for v in variants.values()):
        raise ModelError(f"{path}: variant: must be [variant.NAME.TABLE] tables")
    return table, variants


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another; see this module's docstring."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            other = any(value.get(k, below.get(k)) != below.get(k) for k in ("set", "name"))
            merged[key] = dict(value) if other else _merge(below, value)
        else:
            merged[key] = value
    return merged


def _say(problem: Any) -> str:
    """Turn one of pydantic's problems into ``table.key: rule, got value``."""
    *tables, key = problem["loc"]
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "missing":
        return f"{where}: must be given"
    if problem["type"] == "extra_forbidden":
        section: type[BaseModel] = Recipe
        for table in tables:
            section = next(_sections(section.model_fields[str(table)].annotation))
        return f"{where}: unknown key; {offer(str(key), section.model_fields)}"
    message = str(problem["msg"])
    return f"{where}: {message[0].lower()}{message[1:]}, got {problem['input']!r}"


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the tables that a key may hold."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield kind

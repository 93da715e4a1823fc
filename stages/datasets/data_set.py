"""What a data set is: a list of labelled items, each named by the source stage that plays it.

A data set only lists. How an item becomes frames is the business of the very stages that run in a
stream (`stages.datasets.frames`), so a network is trained on what it will meet.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pipeline.errors import ConfigError
from pipeline.stage import StageConfig
from stages.batch.engine import Engine

__all__ = ["STEPS", "DataSet", "Item", "NoOptions", "Origin", "Part", "Progress"]

STEPS = "network.options.steps"
"""As a value in the table of an item's source: as many as the network takes."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and of how many."""

Part = str
"""``train``, ``validation`` or ``test``."""


class Item(NamedTuple):
    """One labelled example."""

    key: str
    """Names the item within its set, for good: the same for everyone who has the set."""
    source: dict[str, Any]
    """The table of the source stage that plays it, ``{"use": "replay", "path": "..."}``. Items
    with the same table lie in one recording, or in recordings played one after another."""
    label: int
    """Index into the set's classes."""
    group: str
    """Whose it is: the person or the recording. A group is never in two parts."""
    part: Part | None = None
    """Where the set itself says so: ``train``, ``validation`` or ``test``."""
    start_us: int | None = None
    """Where it starts in its recording, in the recording's own time; None: it is the whole."""
    end_us: int | None = None
    """Where it ends, exclusive; None: at the recording's end."""
    recording: int = 0
    """Which recording of the source it is in, where the source plays several (a line of a text)."""


class Origin(NamedTuple):
    """Where a set comes from."""

    title: str
    """What the set is called."""
    publisher: str
    """Whose page to get it from."""
    licence: str
    """Under which licence, as its publisher states it."""
    layout: str
    """What must lie in the folder."""


class NoOptions(StageConfig):
    """A set without keys of its own in ``[data]``."""


class DataSet(ABC):
    """A data set in a folder.

    Args:
        folder: where it lies, or is to be made.
        options: the set's own keys of ``[data]``, an instance of `Options`.
    """

    name: ClassVar[str]
    """Its name in `stages.datasets.DATA_SETS`."""
    Options: ClassVar[type[StageConfig]] = NoOptions
    origin: ClassVar[Origin]

    def __init__(self, folder: Path, options: StageConfig | None = None) -> None:
        self.folder = folder
        self.options: Any = self.Options() if options is None else options

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; a class attribute will do."""

    @abstractmethod
    def items(self) -> list[Item]:
        """List all items, always in the same order.

        Raises:
            ConfigError: the set is not there, or not in the layout it should have.
        """

    def make(self, engine: Engine, progress: Progress) -> None:  # noqa: B027
        """Make the set where it can be made: simulated sets do. What is there already is kept."""

    def learn(self, training: Sequence[Item], folder: Path) -> dict[str, Any]:
        """Learn from the training part what the source needs, such as a vocabulary.

        Args:
            training: the items of the training part, no others.
            folder: where files may be written.

        Returns:
            Further options for the table of every item's source.
        """
        return {}

    def missing(self, what: Path) -> ConfigError:
        """Return the error for a set that is not there: what to get, from whom, and where to."""
        title, publisher, licence, layout = self.origin
        return ConfigError(
            f"data.set: {self.name} is not there: {what} does not exist; get {title} from"
            f" {publisher} (licence: {licence}) and put into {self.folder} {layout}; if it lies"
            " elsewhere, name that place: --data FOLDER, and data.path in it"
        )

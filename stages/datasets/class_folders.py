"""What sets have in common whose files lie in a folder a class."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from stages.datasets.data_set import DataSet, Item
from stages.datasets.tree import folders_in, labelled_files, parted

__all__ = ["ClassFolders"]


class ClassFolders(DataSet):
    """A set whose files lie in a folder a class, in folders of parts (train, test) or without."""

    endings: ClassVar[tuple[str, ...]]
    """How the names of its files end."""
    inner: ClassVar[str] = ""
    """A folder in which tonic keeps the tree."""
    first: ClassVar[str]
    """A folder that must be there."""

    @abstractmethod
    def source(self, path: Path) -> dict[str, Any]:
        """Return the table of the source that plays a file."""

    def group(self, path: Path) -> str:
        """Return whose a file is; by default each is its own."""
        return str(path.relative_to(self.root))

    @property
    def root(self) -> Path:
        """Where the tree begins."""
        inner = self.folder / self.inner
        return inner if inner.is_dir() else self.folder

    def items(self) -> list[Item]:
        """List the files.

        Raises:
            ConfigError: the set is not there, or a folder is not what it should be.
        """
        if not any(folders_in(place) for place, _ in parted(self.root)):
            raise self.missing(self.root / self.first)
        return [
            Item(
                key=str(path.relative_to(self.root)),
                source=self.source(path),
                label=label,
                group=self.group(path),
                part=part,
            )
            for path, label, part in labelled_files(self.root, self.classes, self.endings)
        ]

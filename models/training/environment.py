"""A `Place`, as Lightning asks for it."""

from typing import TYPE_CHECKING

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

if TYPE_CHECKING:
    from models.training.place import Place

__all__ = ["Environment"]


class Environment(ClusterEnvironment):
    """What Lightning is told of processes that are there already.

    Args:
        place: This process among them.
    """

    def __init__(self, place: "Place") -> None:
        super().__init__()
        self._place = place

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts none."""
        return True

    @property
    def main_address(self) -> str:
        """Host where the processes met."""
        return self._place.address

    @property
    def main_port(self) -> int:
        """Port there."""
        return self._place.port

    @staticmethod
    def detect() -> bool:
        """It is never chosen by itself."""
        return False

    def world_size(self) -> int:
        """How many processes there are."""
        return self._place.count

    def set_world_size(self, size: int) -> None:
        """It is fixed."""

    def global_rank(self) -> int:
        """Which of all this is."""
        return self._place.rank

    def set_global_rank(self, rank: int) -> None:
        """It is fixed."""

    def local_rank(self) -> int:
        """Which on this host this is."""
        return self._place.local_rank

    def node_rank(self) -> int:
        """Which host this is."""
        return self._place.host

"""The processes that train one network together: who one is, and sums over all of them.

A batch is dealt out in rows: with n processes of m rows each, process k has rows k m to (k + 1) m.
What is random is drawn for the whole batch by every process, from the same generator, and each
takes its rows. So n processes compute what one computes, but for the order of sums.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from models.errors import EchoError, ModelError, PeerError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ALONE", "Peers"]

Found = TypeVar("Found")


@dataclass(frozen=True)
class Peers:
    """A process among its peers; with a count of 1, a process by itself.

    With more, torch's default process group must be open. All peers must call the same methods in
    the same order.

    Attributes:
        rank: Which one this is, from 0.
        count: How many there are.

    Raises:
        PeerError: By every method: another process is gone.
    """

    rank: int = 0
    count: int = 1

    def sum(self, tensor: "Tensor") -> "Tensor":
        """Add a tensor up over all processes, in place, and return it."""
        if self.count > 1:
            from torch import distributed

            self._reaching(lambda: distributed.all_reduce(tensor))
        return tensor

    def agree(self, find: Callable[[], Found]) -> Found:
        """Return what the first process finds; the others do not look.

        Raises:
            ModelError: The first process met it; the others raise `EchoError`.
        """
        if self.count == 1:
            return find()
        from torch import distributed

        told: list[Any] = [None, None]
        failure: ModelError | None = None
        if self.rank == 0:
            try:
                told[0] = find()
            except ModelError as error:
                failure, told[1] = error, str(error)
        self._reaching(lambda: distributed.broadcast_object_list(told, src=0))
        if failure is not None:
            raise failure
        if told[1] is not None:
            raise EchoError(told[1])
        found: Found = told[0]
        return found

    def all(self, mine: Found) -> list[Found]:
        """Return what each process has, in their order."""
        if self.count == 1:
            return [mine]
        from torch import distributed

        theirs: list[Any] = [None] * self.count
        self._reaching(lambda: distributed.all_gather_object(theirs, mine))
        return theirs

    def error(self, message: str) -> ModelError:
        """Return the error to raise for what all processes see alike: one of them tells it."""
        return ModelError(message) if self.rank == 0 else EchoError(message)

    def mine(self, whole: "Tensor") -> "Tensor":
        """Return this process's rows of a whole batch."""
        share = len(whole) // self.count
        return whole[self.rank * share : (self.rank + 1) * share]

    def whole_like(self, mine: "Tensor") -> "Tensor":
        """Return memory for the whole batch, in the order that `mine` has in memory.

        Random numbers are filled in in that order.
        """
        order = sorted(range(mine.ndim), key=mine.stride, reverse=True)
        shape = [self.count * len(mine), *mine.shape[1:]]
        memory = mine.new_empty([shape[axis] for axis in order])
        return memory.permute([order.index(axis) for axis in range(mine.ndim)])

    def _reaching(self, call: Callable[[], object]) -> None:
        try:
            call()
        except RuntimeError as error:
            raise PeerError.lost(self.rank, error) from error


ALONE = Peers()
"""A process by itself."""

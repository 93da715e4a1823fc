"""Which windows make a prediction, in numbers: what the ledger holds the aggregation to."""

from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Over", "Rule"]

Over: TypeAlias = Literal["tumbling", "sliding", "running", "recording"]


class Rule(NamedTuple):
    """How windows make predictions."""

    over: Over
    steps: int | None
    """Windows to a prediction; None where ``over`` sets no bound."""
    every: int

    def due(self, taken: int, ended: bool = False) -> int:
        """Return how many predictions ``taken`` windows make; ``ended``: of a whole recording."""
        match self.over:
            case "recording":
                return min(taken, 1) if ended else 0
            case "running":
                return taken // self.every
            case "tumbling":
                return taken // self._steps
            case "sliding":
                return max(0, (taken - self._steps) // self.every + 1)

    def unused(self, taken: int, ended: bool = False) -> int:
        """Return how many of ``taken`` windows are in no prediction."""
        made = self.due(taken, ended)
        if not made:
            return taken
        match self.over:
            case "recording":
                return taken - self.first(taken)
            case "running":
                return taken - made * self.every
            case "tumbling":
                return taken - made * self._steps
            case "sliding":
                return taken - (self._steps + (made - 1) * min(self.every, self._steps))

    def waiting(self, taken: int) -> int:
        """Return how many of the unused windows of an open recording may yet be in a prediction."""
        made = self.due(taken)
        match self.over:
            case "recording":
                return self.first(taken)
            case "running":
                return taken - made * self.every
            case "tumbling":
                return taken - made * self._steps
            case "sliding":
                # Behind the latest prediction, and from the first window of the next one on.
                latest = self._steps + (made - 1) * self.every if made else 0
                return max(0, taken - max(latest, made * self.every))

    def first(self, taken: int) -> int:
        """Return how many windows a prediction over all of ``taken`` is made of."""
        return taken if self.steps is None else min(taken, self.steps)

    @property
    def _steps(self) -> int:
        return self.steps or 1

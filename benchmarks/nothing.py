"""A sink that keeps nothing, so that only what stands in front of it is measured."""

from pipeline.messages import Data
from pipeline.ports import EventsPort, FramesPort, PredictionsPort
from pipeline.stage import Account, Sink, StageConfig

__all__ = ["Nothing"]


class Nothing(Sink[StageConfig, int]):
    """Count what comes."""

    Config = StageConfig
    takes = (EventsPort, FramesPort, PredictionsPort)

    def start(self, header: object) -> int:
        """Begin a recording."""
        return 0

    def write(self, state: int, message: object) -> int:
        """Count a message."""
        header = getattr(message, "header", None)
        return state + (header.units if isinstance(header, Data) else 0)

    def account(self, state: int) -> Account:
        """Return what came."""
        return Account.one_to_one(state, "units", "none")

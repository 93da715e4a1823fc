"""Dashboard: predictions on a screen that shows the whole run, see `pipeline.observe.dashboard`."""

from typing import NamedTuple

from pipeline.messages import Message, Start
from pipeline.ports import PredictionsPort
from pipeline.stage import Account, Sink, StageConfig

__all__ = ["Dashboard", "DashboardConfig", "DashboardState"]


class DashboardConfig(StageConfig):
    """Options of `dashboard`."""


class DashboardState(NamedTuple):
    """Predictions of this recording."""

    taken: int


class Dashboard(Sink[DashboardConfig, DashboardState]):
    """Show these predictions and the whole run in the terminal, as `pipeline run --dashboard` does.

    The dashboard itself is drawn from outside, where the terminal is; this stage says whose
    predictions it shows, counts them, and measures how long after their events they came. Where
    standard error is no terminal the dashboard is a line every two seconds.
    """

    Config = DashboardConfig
    takes = (PredictionsPort,)
    delivers = "what was seen cannot be taken back"

    def start(self, header: Start) -> DashboardState:
        """Begin to count."""
        return DashboardState(0)

    def write(self, state: DashboardState, message: Message) -> DashboardState:
        """Count the predictions of a message."""
        return DashboardState(state.taken + len(message.array))

    def account(self, state: DashboardState) -> Account:
        """Return predictions taken."""
        return Account.one_to_one(state.taken, "predictions", "predictions")

"""A run that is only shown: its board and one tap, without any stage; what a viewer sees of it."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from pipeline.messages import Message
from pipeline.observe.board import Board
from pipeline.observe.latency import Latency
from pipeline.observe.status import EdgeStatus, RunStatus, StageStatus
from pipeline.observe.tap import Tap, tap_endpoint
from pipeline.report import QueueCount
from pipeline.run.control import Order, Plan
from pipeline.run.folder import RunDirectory

__all__ = ["ShownRun", "status"]

_PERIOD_S = 0.02


def status(at_s: float = 1.0, state: str = "running", name: str = "cam") -> RunStatus:
    """Return how a run of two stages stands: a source, and a sink of its events."""
    queue = f"{name}->out"
    return RunStatus(
        run_id="shown-1234",
        name="shown",
        path="shown.toml",
        at_s=at_s,
        state=state,
        stages=[
            StageStatus(
                name,
                busy_s=0.0,
                worked_s=at_s / 2,
                sent=[QueueCount(queue, 10, round(1000 * at_s), 0.25)],
                event_us=2_500_000,
                gauges={"speed": 1.0, "firing: fc": 0.125},
                refused={"late": 7},
            ),
            StageStatus(
                "out",
                busy_s=0.0,
                worked_s=at_s / 4,
                lag_s=0.002,
                received=[QueueCount(queue, 8, 800, lost_messages=2, lost={"dropped": 40})],
                latency=Latency(3, 1.5, 4.0, 5.0, "event"),
            ),
        ],
        edges=[EdgeStatus(queue, name, "out", 3, 8, "events", "jsonl")],
        checkpoint=4,
        checkpoint_age_s=0.5,
        restarts=1,
        last_cause="stage 'out': was killed",
    )


class ShownRun:
    """Publishes a status again and again in a thread of its own, and shows messages.

    Attributes:
        folder: of the run.
        orders: what came in.
    """

    def __init__(self, told: Callable[[float], RunStatus], messages: list[Message]) -> None:
        self._told, self._messages = told, messages
        self._over = threading.Event()
        self._bound = threading.Event()
        self.orders: list[Order] = []
        self._directory = RunDirectory()

    def __enter__(self) -> "ShownRun":
        self.folder: Path = self._directory.__enter__()
        plan = Plan("shown.toml", {}, [], "shown-1234", False, False, 0.25)
        (self.folder / "plan").write_bytes(msgspec.msgpack.encode(plan))
        self._thread = threading.Thread(target=self._show)
        self._thread.start()
        self._bound.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Say that the run is over, and leave; who has not heard it finds the folder gone."""
        if not self._over.is_set():
            self._over.set()
            self._thread.join()
            self._directory.__exit__()

    def _show(self) -> None:
        context = zmq.Context()
        board, tap = Board(self.folder), Tap(context, tap_endpoint(self.folder, "cam"))
        self._bound.set()
        begun_s, last = time.monotonic(), False
        while not last:
            last = self._over.wait(_PERIOD_S)
            shown = self._told(time.monotonic() - begun_s)
            if last:
                shown = status(shown.at_s, "over")
            board.show_last(shown)
            for message in self._messages:
                tap.offer(message)
            while (order := board.next_order()) is not None:
                self.orders.append(order)
        tap.close()
        board.close()
        context.term()

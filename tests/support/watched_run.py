"""A run as the dashboard hears of it, made up: six stages, five layers, eleven gestures."""

import numpy as np

from pipeline.events import events_from_columns
from pipeline.messages import Events, Predictions, Span, Start, control, data
from pipeline.observe.attach import Shown
from pipeline.observe.dashboard.view import View
from pipeline.observe.latency import Latency
from pipeline.observe.status import EdgeStatus, RunStatus, StageStatus
from pipeline.report import QueueCount

STAGES = ("camera", "bins", "network", "decision", "screen", "file")
EDGES = (
    ("camera", "bins", "events", 0),
    ("bins", "network", "frames", 1),
    ("network", "decision", "outputs", 3),
    ("decision", "screen", "predictions", 0),
    ("decision", "file", "predictions", 8),
)
CLASSES = ("hand clapping", "right hand wave", "left hand wave", "arm roll", "air guitar", "other")
LAYERS = ("conv1", "conv2", "conv3", "fc1", "fc2")
STEP_US = 250_000


def status(at_s: float, **changes: object) -> RunStatus:
    """Say how it stands: in each second 90 000 events, 40 windows, 4 predictions."""
    units = {"camera": 90_000, "bins": 40, "network": 40, "decision": 4}
    stages = []
    for number, name in enumerate(STAGES):
        into, out_of = ([edge for edge in EDGES if edge[end] == name] for end in (1, 0))
        received = [QueueCount(f"{a}→{b}", 1, round(units[a] * at_s)) for a, b, *_ in into]
        sent = [QueueCount(f"{a}→{b}", 1, round(units[a] * at_s)) for a, b, *_ in out_of]
        gauges = {"speed": 1.0} if name == "camera" else {}
        if name == "network":
            gauges = {f"firing: {layer}": 0.05 * (n + 1) for n, layer in enumerate(LAYERS)}
            gauges |= {f"membrane: {layer}": -0.1 * n for n, layer in enumerate(LAYERS)}
        stages.append(
            StageStatus(
                name,
                busy_s=0.0,
                worked_s=at_s * (number + 1) / 10,
                received=received,
                sent=sent,
                latency=None if sent else Latency(9, 6.31, 13.72, 20.0, "event"),
                gauges=gauges,
                refused={"in no prediction": 3} if name == "decision" else {},
            )
        )
    told = {
        "run_id": "gestures-ab12",
        "name": "gestures",
        "path": "pipeline.toml",
        "at_s": at_s,
        "state": "running",
        "stages": stages,
        "edges": [
            EdgeStatus(f"{a}→{b}", a, b, fill, 8, kind, "jsonl", "rate")
            for a, b, kind, fill in EDGES
        ],
        "checkpoint": 12,
        "checkpoint_age_s": 1.25,
    }
    return RunStatus(**(told | changes))


def start(width: int = 128, height: int = 128, epoch: int = 0) -> Shown:
    """Show the beginning of a recording."""
    source = "/somewhere/gestures.aedat4"
    header = Start(
        stream="camera", epoch=epoch, width=width, height=height, source=source, t_first_us=0
    )
    return Shown("camera", control(header))


def events(x: np.ndarray, y: np.ndarray, p: np.ndarray) -> Shown:
    """Show events at these places."""
    array = events_from_columns(np.arange(len(x)), x, y, p)
    times = {"t_first_us": 0, "t_last_us": len(x), "watermark_us": len(x)}
    return Shown("camera", data(Events, array, stream="camera", **times))


def predictions(first: int, classes: list[int]) -> Shown:
    """Show a prediction of each of some classes, one in a quarter of a second."""
    scores = np.full((len(classes), len(CLASSES)), 0.1, np.float32)
    scores[np.arange(len(classes)), classes] = 0.75
    spans = tuple(
        Span(n, n * STEP_US, (n + 1) * STEP_US, 10) for n in range(first, first + len(classes))
    )
    fields = {"by": "decision", "classes": CLASSES, "spans": spans}
    times = {"t_first_us": 0, "t_last_us": spans[-1].t_end_us}
    return Shown("decision", data(Predictions, scores, stream="camera", **times, **fields))


def ring() -> Shown:
    """Show a ring of events, its left half OFF, its right half ON."""
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    x, y = 64 + 40 * np.cos(angle), 64 + 40 * np.sin(angle)
    return events(x.astype(int), y.astype(int), (x >= 64).astype(int))


def view() -> View:
    """Return what is known of it after eleven seconds."""
    found = View()
    for news in (
        status(9.5),
        start(),
        ring(),
        predictions(0, [0] * 10 + [2] * 6 + [0] * 8),
        status(11.0),
    ):
        found.take(news)
    return found

"""What the page is told of a run: its view (`observe.dashboard.view`) as JSON, and its picture."""

import math
import zlib
from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from pipeline.observe.dashboard.head import facts
from pipeline.observe.dashboard.view import View
from pipeline.observe.status import StageStatus

__all__ = ["picture", "told"]

_MOST_CLASSES = 12
_MOST_PAST = 120
_MOST_RATES = 240


def told(view: View) -> bytes:
    """Return how a run stands as JSON, ``null`` where nothing is known yet."""
    status = view.status
    if status is None:
        return b"null"
    width, height = view.image.size
    return msgspec.json.encode(
        {
            "id": status.run_id,
            "name": status.name,
            "path": status.path,
            "state": status.state,
            "at_s": status.at_s,
            "facts": [fact._asdict() for fact in facts(view)],
            "last_cause": status.last_cause,
            "source": "" if view.start is None else view.start.source,
            "pictured": view.pictured,
            "sensor": {"width": width, "height": height},
            "speed": view.speed,
            "event_rates": [*view.event_rates][-_MOST_RATES:],
            "stages": [_stage(view, stage) for stage in status.stages],
            "queues": status.edges,
            "classes": _classes(view),
            "decision": _decision(view),
            "past": _past(view),
            "layers": _layers(view),
        }
    )


def picture(view: View) -> tuple[int, int, bytes]:
    """Return width and height in pixels, and the picture: bytes by polarity (OFF, ON), row, column.

    The bytes are packed by zlib: of a picture of events most are 0.
    """
    shades = view.image.shades()
    _, height, width = shades.shape
    return width, height, zlib.compress(np.ascontiguousarray(shades).tobytes(), 1)


def _stage(view: View, stage: StageStatus) -> Mapping[str, Any]:
    rates = view.rates(stage)
    lost: dict[str, int] = {}
    for queue in stage.received:
        for why, units in queue.lost.items():
            lost[why] = lost.get(why, 0) + units
    return {
        "name": stage.name,
        "busy": rates.busy,
        "taken": rates.taken if stage.received else None,
        "made": rates.made if stage.sent else None,
        "blocked": rates.blocked,
        "lag_s": stage.lag_s,
        "latency": stage.latency,
        "lost": lost,
        "refused": {why: units for why, units in stage.refused.items() if units},
        "over": stage.over,
    }


def _classes(view: View) -> list[Mapping[str, Any]]:
    """Return the classes with the highest scores, best first."""
    best = sorted(range(len(view.scores)), key=lambda k: -view.scores[k])[:_MOST_CLASSES]
    return [
        {"k": k, "name": view.classes[k], "score": view.scores[k], "share": view.shares[k]}
        for k in best
        if math.isfinite(view.scores[k])
    ]


def _decision(view: View) -> Mapping[str, Any] | None:
    if not view.decisions:
        return None
    last = view.decisions[-1]
    held_s = (last.end_us - last.start_us) / 1e6
    return {"k": last.class_, "name": view.classes[last.class_], "held_s": held_s}


def _past(view: View) -> list[Mapping[str, Any]]:
    """Return the latest stretches of the same class, oldest first."""
    latest = islice(view.decisions, max(0, len(view.decisions) - _MOST_PAST), None)
    return [
        {"k": d.class_, "name": view.classes[d.class_], "start_us": d.start_us, "end_us": d.end_us}
        for d in latest
    ]


def _layers(view: View) -> list[Mapping[str, Any]]:
    firing, membrane = view.gauges("firing"), view.gauges("membrane")
    return [
        {"name": name, "firing": firing.get(name), "membrane": membrane.get(name)}
        for name in dict.fromkeys([*firing, *membrane])
    ]

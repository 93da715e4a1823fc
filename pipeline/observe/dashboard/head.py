"""What is told of a run above all: its name and state, and the facts that there are."""

from pathlib import PurePath
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

from pipeline.observe.dashboard.panels import ALERT, count, duration, packed, printable
from pipeline.observe.dashboard.view import View
from pipeline.observe.status import HostStatus, RunStatus
from pipeline.queue.overload import HIGHEST, step_name

__all__ = ["Fact", "facts", "head_lines", "summary"]


class Fact(NamedTuple):
    """What is told of a run in few words."""

    text: str
    wrong: bool = False


def facts(view: View) -> list[Fact]:
    """Return what there is to tell.

    Where not all has room, what is wrong comes before what is well.
    """
    status = view.status
    if status is None:
        return []
    wrong = [f"overload {_step(status.level)}: {step_name(status.level)}"] if status.level else []
    wrong += [_host(host) for host in status.hosts if not host.joined]
    well = [*_health(status), *(_host(host) for host in status.hosts if host.joined)]
    return [
        *map(Fact, _played(view)),
        *(Fact(each, wrong=True) for each in wrong),
        *map(Fact, well),
    ]


def head_lines(view: View, columns: int, most: int) -> list[Text]:
    """Draw the title, and below it the facts in as many lines as they need, or may have."""
    status = view.status
    if status is None:
        return [Text(" waiting for the run ", style="reverse"), Text()]
    parts = [Text(fact.text, style=ALERT if fact.wrong else "") for fact in facts(view)]
    lines = packed(parts, columns - 1, max(1, most - 1))
    return [
        _title(view, status, columns),
        *(Text.assemble(" ", line) for line in lines or [Text()]),
    ]


def summary(view: View) -> str:
    """Say in one line how a run stands, for where there is no terminal."""
    status = view.status
    if status is None:
        return "waiting for the run"
    said = [f"{status.name} {status.state} {duration(status.at_s)}"]
    if (rate := view.events_per_s) is not None:
        said.append(f"{count(rate)} events/s")
    if view.decisions and view.classes:
        last = view.decisions[-1]
        name, held_s = view.classes[last.class_], (last.end_us - last.start_us) / 1e6
        said.append(f"{name} {view.scores[last.class_]:.2f} for {held_s:.1f} s")
    said += _health(status)
    said += [f"overload {_step(status.level)}"] if status.level else []
    said += [_host(host) for host in status.hosts if not host.joined]
    said += [f"{edge.name} full" for edge in status.edges if edge.fill >= edge.capacity]
    return printable(", ".join(said))


def _title(view: View, status: RunStatus, columns: int) -> Text:
    played = "" if view.start is None else printable(PurePath(view.start.source).name)
    left = f" {printable(status.name)} · {status.state} · {duration(status.at_s)} "
    title = Text(left, style="bold reverse")
    room = columns - cell_len(left) - 1
    short = played if cell_len(played) <= room else "…" + played[len(played) - max(room - 1, 0) :]
    title.append(" " * (room - cell_len(short)) + short + " ", style="reverse")
    return title


def _played(view: View) -> list[str]:
    said = []
    if (rate := view.events_per_s) is not None:
        said.append(f"{count(rate)} events/s")
    if (speed := view.speed) is not None:
        said.append(f"speed {speed:g}" if speed else "at full speed")
    return said


def _health(status: RunStatus) -> list[str]:
    """Tell delay, checkpoint and restarts, those that there are."""
    said = []
    latencies = [stage.latency for stage in status.stages if stage.latency is not None]
    if latencies:
        worst = max(latencies, key=lambda latency: latency.p99_ms)
        said.append(f"p50 {_three(worst.p50_ms)} p99 {_three(worst.p99_ms)} ms")
    if status.checkpoint is not None:
        age = "" if status.checkpoint_age_s is None else f" ({status.checkpoint_age_s:.1f} s old)"
        said.append(f"checkpoint {status.checkpoint}{age}")
    if status.restarts:
        said.append("1 restart" if status.restarts == 1 else f"{status.restarts} restarts")
    return said


def _step(level: int) -> str:
    return f"step {level} of {HIGHEST}"


def _host(host: HostStatus) -> str:
    """Tell whether another host has joined, and how far its clock is from the run's."""
    name = f"host {printable(host.name)}"
    if not host.joined:
        return f"{name}: not joined"
    if host.offset_s is None:
        return f"{name}: joined"
    known = "" if host.round_trip_s is None else f" ±{_span(host.round_trip_s / 2)}"
    side = "behind" if host.offset_s > 0 else "ahead"
    return f"{name}: joined, clock {_span(abs(host.offset_s))} {side}{known}"


def _span(seconds: float) -> str:
    """Return a time, in milliseconds where it is short: monotonic clocks may be days apart."""
    if seconds < 1:
        return f"{1000 * seconds:.2f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _three(ms: float) -> str:
    return f"{ms:.3g}" if ms < 999.5 else f"{ms:.0f}"

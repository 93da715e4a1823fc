"""``pipeline top``."""

import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.listing import aligned, moment, screen_width
from pipeline.cli.options import Json

if TYPE_CHECKING:
    from pipeline.observe.attach import LiveRun
    from pipeline.observe.status import RunStatus

__all__ = ["top"]

_ANSWER_S = 1.0
"""A run says four times a second how it stands."""


def top(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="Its name, or how that begins; else the only one."),
    ] = None,
    json: Json = False,
) -> None:
    """Watch a run that is going on, and steer it; it takes no notice when you come or leave.

    Shows events, the decision, each stage, queues, delays, checkpoints and layers. Keys: space
    pauses and goes on, s lets one step through, + and - change the speed, r resets membranes, i
    shows another stage's image, q leaves. Where several runs are going on, they are listed; name
    one.

    Without a terminal it prints a line every two seconds, with --json every status as JSON.
    """
    from pipeline.observe.attach import find_run, running
    from pipeline.observe.dashboard.app import Dashboard, give_way, show_lines
    from pipeline.observe.dashboard.terminal import Terminal, is_screen

    if run is None and not json and len(runs := running()) > 1:
        _list(runs)
        return
    found = find_run(run)
    give_way()
    if json:
        _print_json(found.folder)
    elif is_screen(sys.stdout.fileno()):
        with Terminal(sys.stdout.fileno()) as terminal:
            dashboard = Dashboard(terminal)
            dashboard.show(found.folder)
            last = dashboard.last(*terminal.size)
        if not dashboard.left:
            print("\n".join(last))
    else:
        show_lines(found.folder, lambda line: print(line, flush=True))


def _list(runs: Sequence["LiveRun"]) -> None:
    """List runs that go on, and say how to attach to one."""
    rows = [("run", "state", "started", "file")]
    for run in runs:
        status = _status(run.folder)
        state, started = "silent", ""
        if status is not None:
            state = status.state
            started = moment(datetime.now() - timedelta(seconds=status.at_s))
        rows.append((run.run_id, state, started, run.path))
    for line in aligned(rows, screen_width()):
        print(line)
    say = f"attach to one of them: pipeline top RUN, such as pipeline top {runs[0].run_id}"
    print(say, file=sys.stderr)


def _status(folder: Path) -> "RunStatus | None":
    """Return how a run stands, None if it does not say so soon."""
    from pipeline.observe.attach import Attached
    from pipeline.observe.status import RunStatus

    until_s = time.monotonic() + _ANSWER_S
    with Attached(folder) as attached:
        while not attached.over and (left_s := until_s - time.monotonic()) > 0:
            for news in attached.news(left_s):
                if isinstance(news, RunStatus):
                    return news
    return None


def _print_json(folder: Path) -> None:
    import msgspec

    from pipeline.observe.attach import Attached, Shown

    with Attached(folder) as attached:
        while not attached.over:
            for news in attached.news(0.5):
                if isinstance(news, Shown):
                    continue
                print(msgspec.json.encode(news).decode(), flush=True)
                attached.watch(set(), {edge.sender for edge in news.edges})
                if news.state == "over":
                    return

"""``pipeline top``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Json

__all__ = ["top"]


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
    shows another stage's image, q leaves. Where several runs are going on, name one of those that
    are listed.

    Without a terminal it prints a line every two seconds, with --json every status as JSON.
    """
    from pipeline.observe.attach import find_run, running
    from pipeline.observe.dashboard.app import Dashboard, give_way, show_lines
    from pipeline.observe.dashboard.terminal import Terminal, is_screen

    if run is None and len(runs := running()) > 1:
        for each in runs:
            print(f"{each.run_id}\t{each.path}\tprocess {each.process}")
        sys.exit(0)
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

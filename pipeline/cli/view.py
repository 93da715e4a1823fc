"""``pipeline view``."""

import sys
from typing import Annotated

import typer

__all__ = ["view"]


def view(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="Its name, or how that begins; else the only one."),
    ] = None,
    port: Annotated[int, typer.Option(help="Where to listen; 0 takes one that is free.")] = 0,
) -> None:
    """Show a run that is going on as a page in a browser, and steer it from there.

    Prints the page's address; open it on this machine, or through `ssh -L PORT:127.0.0.1:PORT`.
    Whoever knows the whole address can look and steer: it holds a secret. The page shows the event
    image, the decision, the graph of stages with their queues, delays and layers.

    It ends with the run, or with Ctrl-C; the run takes no notice.
    """
    from pipeline.observe.attach import find_run
    from pipeline.observe.web.viewer import WebView
    from pipeline.run.interrupts import Interrupts

    found = find_run(run)
    page = WebView(found.folder, port)
    print(page.url, flush=True)
    print(f"{found.run_id}: shown there until it is over, or until Ctrl-C", file=sys.stderr)
    with Interrupts() as interrupts:
        page.serve(lambda: interrupts.count > 0)

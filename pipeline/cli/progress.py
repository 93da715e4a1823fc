"""A progress bar for work that turns out to take more than a second."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["progress_bar"]

_QUIET_S = 1.0
_LABEL_COLUMNS = 40


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None]]:
    """Show on standard error how far work is; it is gone when the work is done.

    Yields:
        A function to call with the share that is done, 0 to 1.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    progress = Progress(console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task(_short(label), total=1.0)
    since = time.monotonic()
    shown = False

    def show(share: float) -> None:
        nonlocal shown
        if not shown and time.monotonic() - since > _QUIET_S:
            shown = True
            progress.start()
        if shown:
            progress.update(task, completed=share)

    try:
        yield show
    finally:
        if shown:
            progress.stop()


def _short(label: str) -> str:
    # Brackets would be taken for rich's markup.
    name = Path(label).name if len(label) > _LABEL_COLUMNS else label
    return name[:_LABEL_COLUMNS].replace("[", r"\[")

"""``pipeline convert IN OUT --to ENDING``: all recordings of a folder, side by side."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["convert_folder"]


def convert_folder(
    source: Path, target: Path, to: str, asked: Any, replace: bool, workers: Any, json: bool
) -> None:
    """Convert all recordings of a folder, and say of each what became of it.

    Args:
        source: the folder to read.
        target: the folder to write to.
        to: ending of the files to write, with its dot or without.
        asked: how, a `stages.recordings.conversions.Asked`.
        replace: whether files that are there are made again.
        workers: who converts, a `stages.batch.Engine`.
        json: whether to print a line of JSON a recording.

    Raises:
        ConfigError: the folders or the ending are wrong.
        RecordingError: a recording could not be converted; the others are.
    """
    from rich.console import Console
    from rich.progress import Progress

    from pipeline.errors import ConfigError, RecordingError
    from pipeline.stage import PortError

    conversions = import_module("stages.recordings.conversions")
    ending = f".{to.removeprefix('.')}"
    try:
        check_target = import_module("stages.recordings.target").check_target
        check_target(target / f"any{ending}", "replace", asked.compression)
    except PortError as error:
        where = "--compression" if error.key == "compression" else "--to"
        raise ConfigError(f"{where}: {error}") from None
    pairs = conversions.pairs_of(source, target, ending)
    console = Console(stderr=True)
    failed = kept = 0
    try:
        with workers, Progress(console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("converting", total=len(pairs))
            for one in conversions.convert_all(pairs, target, asked, replace, workers):
                progress.advance(task)
                failed += bool(one.failed)
                kept += one.done is None and not one.failed
                if one.failed:
                    print(f"error: {one.failed}", file=sys.stderr)
                else:
                    _show(one, json)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        raise
    done = len(pairs) - failed - kept
    told = f"{done} recordings converted" + (f", {kept} were there already" if kept else "")
    print(f"{told}; they are in {target}", file=sys.stderr)
    if failed:
        raise RecordingError(f"{failed} of {len(pairs)} recordings could not be converted")


def _show(one: Any, json: bool) -> None:
    if json:
        import msgspec

        row = {"source": str(one.pair.source), "path": str(one.pair.target), "done": one.done}
        print(msgspec.json.encode(row).decode())
    elif one.done is None:
        print(f"{one.pair.target}: was there already")
    else:
        print(f"{one.pair.target}: {one.done.format}, {one.done.events:,} events")

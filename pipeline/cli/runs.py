"""``pipeline runs``."""

import sys
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.listing import aligned, moment, screen_width
from pipeline.cli.options import Json

__all__ = ["runs"]

_TOOK = 9
_INDENT = 4 * " "


def runs(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="Its name, or how that begins: show its manifest."),
    ] = None,
    json: Json = False,
) -> None:
    """List the runs of this machine, the newest last, and how they ended; or show one.

    Each `pipeline run` leaves a manifest: file and options, versions, commit, machine, hashes of
    what was read, the ledger, restarts, and how it ended. The newest 200 are kept here; one that
    must last is written elsewhere by `pipeline run --manifest FILE`, and not listed.
    """
    from pipeline.errors import PipelineError
    from pipeline.observe.manifest import runs_folder

    found = _found(runs_folder())
    if run is not None:
        found = [each for each in found if str(each["run"]).startswith(run)]
        if not found:
            raise PipelineError(f"no run is called '{run}'; `pipeline runs` lists them")
        _print([found[-1]], True)
        return
    if not found:
        print(f"no run has left a manifest in {runs_folder()}", file=sys.stderr)
    _print(found, json)


def _found(folder: Path) -> list[Mapping[str, Any]]:
    """Return what is known of all runs, oldest first; what is damaged is left out."""
    import msgspec

    from pipeline.observe.attach import running

    living = {live.run_id for live in running()}
    found = []
    for path in sorted(folder.glob("*.json")):
        with suppress(OSError, msgspec.MsgspecError):
            found.append(msgspec.json.decode(path.read_bytes(), type=dict[str, Any]))
    for each in found:
        # Whoever is killed cannot say so.
        if each.get("state") == "running" and each.get("run") not in living:
            each["state"] = "killed"
    return [each for each in found if each.get("run")]


def _print(found: list[Mapping[str, Any]], json: bool) -> None:
    import msgspec

    if json:
        for each in found:
            print(msgspec.json.format(msgspec.json.encode(each), indent=2).decode())
        return
    width = screen_width()
    lines = aligned([_row(each) for each in found], width) if found else []
    for line, each in zip(lines, found, strict=True):
        error = str(each.get("error", "")).partition("\n")[0]
        if not error:
            print(line)
        elif width is None:
            print(f"{line}: {error}")
        else:
            said = textwrap.wrap(error, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
            print(line, *said, sep="\n")


def _row(run: Mapping[str, Any]) -> tuple[str, ...]:
    took = f"{run['seconds']:.1f} s" if "seconds" in run else ""
    began = moment(datetime.fromisoformat(str(run["began"])))
    return began, str(run["run"]), str(run["state"]), f"{took:>{_TOOK}}", str(run["file"])

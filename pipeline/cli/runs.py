"""``pipeline runs``."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.options import Json

__all__ = ["runs"]

_ID = 18


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

    for each in found:
        if json:
            print(msgspec.json.format(msgspec.json.encode(each), indent=2).decode())
            continue
        began = str(each["began"])[:19].replace("T", " ")
        took = f"{each['seconds']:.1f} s" if "seconds" in each else ""
        error = str(each.get("error", "")).partition("\n")[0]
        line = f"{began}  {each['run']:{_ID}} {each['state']:8} {took:>9}  {each['file']}"
        print(f"{line}: {error}" if error else line)

"""``pipeline convert``."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Json, Replace, Size, refuse_existing

if TYPE_CHECKING:
    from pipeline.stage import StageConfig

__all__ = ["convert"]


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The recording.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="What to write; its ending names the format.")
    ],
    start_s: Annotated[float, typer.Option(min=0, help="Leave out what is before.")] = 0.0,
    stop_s: Annotated[float | None, typer.Option(help="Leave out what is from there on.")] = None,
    from_zero: Annotated[
        bool, typer.Option("--from-zero", help="Let times count from the start of what is taken.")
    ] = False,
    compression: Annotated[
        str | None, typer.Option(help="As the format to write has it, such as zstd for AEDAT4.")
    ] = None,
    size: Size = None,
    on_damage: Annotated[str | None, typer.Option(help="raise or drop.")] = None,
    on_time_back: Annotated[str | None, typer.Option(help="clamp, drop or raise.")] = None,
    on_gap: Annotated[str | None, typer.Option(help="keep or raise.")] = None,
    on_outside: Annotated[str | None, typer.Option(help="drop, clamp or raise.")] = None,
    on_unknown: Annotated[str | None, typer.Option(help="drop or raise.")] = None,
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Convert a recording to another format, and say what was left out or changed.

    Times in s count from the first event. The --on options are those of `replay`: what to do about
    mistakes in the recording. When it cannot be read or written to its end, OUT holds what is
    before that, and the exit code is 1.
    """
    from pipeline.cli.progress import progress_bar
    from pipeline.errors import ConfigError

    mistakes = {
        "on_damage": on_damage,
        "on_time_back": on_time_back,
        "on_gap": on_gap,
        "on_outside": on_outside,
        "on_unknown": on_unknown,
    }
    policies = _policies({key: choice for key, choice in mistakes.items() if choice is not None})
    if stop_s is not None and not stop_s > start_s:
        raise ConfigError(f"--stop-s: must be > {start_s:g}, where it starts, got {stop_s:g}")
    _check(source, target, compression, replace)
    conversion = import_module("stages.recordings.conversion")
    stop_us = None if stop_s is None else round(stop_s * 1e6)
    part = conversion.Part(round(start_s * 1e6), stop_us, from_zero)
    try:
        with progress_bar(f"{source.name} → {target.name}") as show:
            done = conversion.convert(
                source,
                target,
                policies,
                size=size,
                part=part,
                compression=compression,
                on_progress=show,
            )
    except KeyboardInterrupt:
        if target.exists():
            print(f"stopped; {target} holds what was converted before", file=sys.stderr)
        raise
    _show(done, json)


def _policies(choices: dict[str, str]) -> "StageConfig":
    from pipeline.config import validate
    from pipeline.errors import ConfigError

    if choices.get("on_time_back") == "keep":
        raise ConfigError("--on-time-back: must be clamp, drop or raise: recordings are in order")
    model = import_module("stages.formats.policies").Policies
    policies: StageConfig = validate(model, choices, "convert", None)
    return policies


def _check(source: Path, target: Path, compression: str | None, replace: bool) -> None:
    """Refuse what cannot be or would destroy something, before anything is done."""
    from pipeline.errors import ConfigError
    from pipeline.stage import PortError

    if source.exists() and target.exists() and source.samefile(target):
        raise ConfigError(f"{target}: is the recording to be read; name another file to write")
    refuse_existing(target, replace)
    try:
        import_module("stages.recordings.target").check_target(target, "replace", compression)
    except PortError as error:
        where = "--compression: " if error.key == "compression" else ""
        raise ConfigError(f"{where}{error}") from None


def _show(done: Any, json: bool) -> None:
    if json:
        import msgspec

        print(msgspec.json.encode(done).decode())
        return
    print(f"{done.path}: {done.format}, {done.width}×{done.height}, {done.events:,} events")
    if done.quality.verdict != "good" or done.quality.notes:
        print(f"the recording is {done.quality}")

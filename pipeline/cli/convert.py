"""``pipeline convert``."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipeline.cli.convert_folder import convert_folder
from pipeline.cli.options import (
    Address,
    Engine,
    Json,
    Processes,
    Replace,
    Size,
    Stream,
    refuse_existing,
    size_of,
)

__all__ = ["convert"]

_LONGEST_S = 1e12
"""Longer than any recording, and short enough for microseconds in 64 bits."""
_LOST = {"size": "the sensor's size (give --size to read it)", "source": "the camera's name"}
_ADVICE = {
    "shift the recording's time to begin at 0": "give --from-zero",
    "give the right size": "give the right --size",
    "gap_us = ": "--gap-us ",
}


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The recording.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="What to write; its ending names the format.")
    ],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="ENDING",
            help="Convert all recordings of the folder IN, at any depth, to such files below the"
            " folder OUT.",
        ),
    ] = None,
    start_s: Annotated[float, typer.Option(metavar="S", help="Leave out what is before.")] = 0.0,
    stop_s: Annotated[
        float | None, typer.Option(metavar="S", help="Leave out what is from there on.")
    ] = None,
    from_zero: Annotated[
        bool, typer.Option("--from-zero", help="Let times count from the start of what is taken.")
    ] = False,
    compression: Annotated[
        str | None, typer.Option(help="As the format to write has it, such as zstd for AEDAT4.")
    ] = None,
    size: Size = None,
    stream: Stream = None,
    on_damage: Annotated[
        Literal["raise", "drop"], typer.Option(help="At bytes that cannot be read.")
    ] = "raise",
    on_time_back: Annotated[
        Literal["clamp", "drop", "raise"], typer.Option(help="At events earlier than one before.")
    ] = "clamp",
    on_gap: Annotated[
        Literal["keep", "raise"], typer.Option(help="At silences longer than --gap-us.")
    ] = "keep",
    gap_us: Annotated[int, typer.Option(min=1, help="Longest that is no gap.")] = 1_000_000,
    on_outside: Annotated[
        Literal["drop", "clamp", "raise"], typer.Option(help="At coordinates outside the sensor.")
    ] = "drop",
    on_unknown: Annotated[
        Literal["drop", "raise"], typer.Option(help="At words and polarities that mean nothing.")
    ] = "drop",
    replace: Replace = False,
    processes: Processes = None,
    engine: Engine = "local",
    address: Address = None,
    json: Json = False,
) -> None:
    """Convert a recording to another format, and say what was left out or changed.

    Times in s count from the first event. The --on options are those of the replay stage: what to
    do about mistakes in the recording. When it cannot be read or written to its end, OUT holds
    what is before that, and the exit code is 1; an old OUT is replaced once there is something.

    With --to several recordings are converted side by side. What is there already is kept, so the
    same command goes on where it was stopped; one that cannot be converted is told and left out.
    """
    from pipeline.cli.advice import advice_in
    from pipeline.cli.progress import progress_bar

    start_us = _microseconds("--start-s", start_s)
    stop_us = None if stop_s is None else _microseconds("--stop-s", stop_s, after_us=start_us)
    pixels = size_of(size)
    if to is None:
        _check(source, target, compression, replace)
    conversion = import_module("stages.recordings.conversion")
    policies = import_module("stages.formats.policies").Policies(
        on_damage=on_damage,
        on_time_back=on_time_back,
        on_gap=on_gap,
        gap_us=gap_us,
        on_outside=on_outside,
        on_unknown=on_unknown,
    )
    part = conversion.Part(start_us, stop_us, from_zero)
    if to is not None:
        asked = import_module("stages.recordings.conversions").Asked(
            policies, pixels, stream, part, compression
        )
        workers = import_module("stages.batch").engine_of(engine, address, processes)
        convert_folder(source, target, to, asked, replace, workers, json)
        return
    try:
        with (
            advice_in(_flag, _ADVICE),
            progress_bar(f"{source.name} → {target.name}") as show,
        ):
            done = conversion.convert(
                source,
                target,
                policies,
                size=pixels,
                stream=stream,
                part=part,
                compression=compression,
                on_progress=show,
            )
    except KeyboardInterrupt as stop:
        print("; ".join(["stopped", *getattr(stop, "__notes__", ())]), file=sys.stderr)
        raise
    _show(done, json)


def _microseconds(flag: str, seconds: float, after_us: int = -1) -> int:
    from pipeline.errors import ConfigError

    if not 0 <= seconds <= _LONGEST_S:
        raise ConfigError(f"{flag}: must be 0 to {_LONGEST_S:g} s, got {seconds:g}")
    time_us = round(seconds * 1e6)
    if time_us <= after_us:
        raise ConfigError(f"{flag}: must be > {after_us / 1e6:g}, where it starts, got {seconds:g}")
    return time_us


def _check(source: Path, target: Path, compression: str | None, replace: bool) -> None:
    """Refuse what cannot be or would destroy something, before anything is done."""
    from pipeline.errors import ConfigError
    from pipeline.stage import PortError

    if os.path.exists(source) and os.path.exists(target) and source.samefile(target):
        raise ConfigError(f"{target}: is the recording to be read; name another file to write")
    refuse_existing(target, replace)
    try:
        import_module("stages.recordings.target").check_target(target, "replace", compression)
    except PortError as error:
        where = "--compression: " if error.key == "compression" else ""
        raise ConfigError(f"{where}{error}") from None


def _flag(key: str, values: list[str]) -> str | None:
    if not key.startswith("on_"):
        return None
    # Recordings are in order of time.
    choices = [value for value in values if (key, value) != ("on_time_back", "keep")]
    return f"--{key.replace('_', '-')} {' or '.join(choices)}"


def _show(done: Any, json: bool) -> None:
    if json:
        import msgspec

        print(msgspec.json.encode(done).decode())
        return
    print(f"{done.path}: {done.format}, {done.width}×{done.height}, {done.events:,} events")
    if done.quality.verdict != "good" or done.quality.notes:
        print(f"the recording is {done.quality}")
    if done.other_streams:
        print(f"not converted: stream {', '.join(done.other_streams)}; choose with --stream")
    if done.lost:
        print(f"{done.format} has no place for {' and '.join(_LOST[what] for what in done.lost)}")

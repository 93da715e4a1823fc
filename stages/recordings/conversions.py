"""All recordings of a folder converted, each into a file of its own below another folder."""

import glob
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.errors import ConfigError, RecordingError
from stages.batch import Engine, Work
from stages.formats import Policies, recordings_in
from stages.recordings.conversion import Conversion, Part, convert

__all__ = ["Asked", "Converted", "Pair", "convert_all", "pairs_of"]


class Pair(NamedTuple):
    """A recording, and the file that it is to become."""

    source: Path
    target: Path


class Converted(NamedTuple):
    """What became of a recording."""

    pair: Pair
    done: Conversion | None
    """None: it was there already, or failed."""
    failed: str = ""
    """Why it could not be converted; "" where it was."""


class Asked(NamedTuple):
    """How to convert; see `stages.recordings.conversion.convert`."""

    policies: Policies
    size: tuple[int, int] | None = None
    stream: str | None = None
    part: Part = Part()
    compression: str | None = None


def pairs_of(source: Path, target: Path, ending: str) -> list[Pair]:
    """List the recordings at any depth of a folder, and what they become: the same tree elsewhere.

    Args:
        source: the folder.
        target: the folder to write to.
        ending: of the files to write, such as ``.aedat4``.

    Raises:
        ConfigError: two recordings would become one file, or the folders are one.
        RecordingError: there are no recordings.
    """
    source, target = source.absolute(), target.absolute()
    if not source.is_dir():
        raise ConfigError(f"{source}: is no folder; --to is for all recordings of one")
    if target == source or source in target.parents:
        raise ConfigError(f"{target}: lies in the folder that is read; name another to write to")
    # Not by the folder's own name, which may look like a pattern.
    found = recordings_in(os.path.join(glob.escape(str(source)), "**", "*")).recordings
    folders = {one for one in found if one.is_dir()}  # a ROS bag 2: its files are no recordings
    pairs: dict[Path, Pair] = {}
    for one in found:
        if folders.intersection(one.parents):
            continue
        path = (target / one.relative_to(source)).with_suffix(ending)
        if path in pairs:
            raise ConfigError(
                f"{path}: both {pairs[path].source} and {one} would become this file; rename one,"
                " or convert it alone"
            )
        pairs[path] = Pair(one, path)
    return list(pairs.values())


def convert_all(
    pairs: Sequence[Pair], target: Path, asked: Asked, replace: bool, engine: Engine
) -> Iterator[Converted]:
    """Convert recordings side by side; yield what became of each, in no order.

    A file gets its name when it is whole; one that is there is kept, so that a conversion that was
    stopped goes on. A recording that cannot be converted does not stop the others.

    Args:
        pairs: of `pairs_of`.
        target: the folder that all files lie in.
        asked: how to convert.
        replace: whether files that are there are made again.
        engine: who converts.
    """
    missing = []
    for pair in pairs:
        if pair.target.exists() and not replace:
            yield Converted(pair, None)
        else:
            missing.append(pair)
    yield from engine.map(_Conversions(target.absolute(), asked), missing)


class _Conversions(Work[Pair, Converted]):
    """Conversions, as work of an engine."""

    def __init__(self, target: Path, asked: Asked) -> None:
        self._target, self._asked = target, asked

    def do(self, task: Pair) -> list[Converted]:
        source, target = task
        # The ending stays: it names the format.
        draft = target.with_name(f".{socket.gethostname()}-{os.getpid()}-{target.name}")
        policies, size, stream, part, compression = self._asked
        try:
            done = convert(
                source,
                draft,
                policies,
                size=size,
                stream=stream,
                part=part,
                compression=compression,
            )
            draft.replace(target)
        except RecordingError as error:
            # Its cause says nothing of a file that is kept as far as it goes: here none is.
            why = str(error.__cause__ or error)
            return [Converted(task, None, why.replace(str(draft), str(target)))]
        except OSError as error:
            return [Converted(task, None, f"{target}: cannot be written: {error.strerror}")]
        finally:
            draft.unlink(missing_ok=True)
        return [Converted(task, msgspec.structs.replace(done, path=str(target)))]

    def called(self, task: Pair) -> str:
        return str(task.source)

    def reads(self, task: Pair) -> list[str]:
        return [str(task.source)]

    def folder(self) -> Path:
        return self._target

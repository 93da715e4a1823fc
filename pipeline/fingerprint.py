"""What makes a run this run: the version, every option of its stages, the files that they read.

A checkpoint goes on only in the run that it is of. Options are told apart by name, so that a
refusal can say which is another; files by their size and by the hash of their content, or, of those
too long to be read again, of their first and last megabyte.
"""

import hashlib
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from pipeline.graph import Graph
from pipeline.stage import Source

__all__ = ["difference", "fingerprint"]

_WHOLE_BYTES = 64 << 20
_PART_BYTES = 1 << 20
_MOST_FILES = 1000


def fingerprint(graph: Graph) -> dict[str, Any]:
    """Return the options of all stages by their place, and what is in the files that they read."""
    base = graph.path.parent
    told: dict[str, Any] = {"event-pipeline": version("event-pipeline")}
    for node in graph.nodes:
        place = f"stage.{node.name}"
        told[f"{place}.use"] = node.use
        told[f"{place}.from"] = list(node.inputs)
        for key, value in dict(node.stage.config).items():
            told[f"{place}.{key}"] = _portable(value, base)
            if isinstance(value, Path) and key not in node.stage.writes and value.is_file():
                told[f"{_portable(value, base)} (of {place}.{key})"] = _content(value)
        if isinstance(node.stage, Source):
            for file in node.stage.recordings()[:_MOST_FILES]:
                told[f"{_portable(file, base)} (of {place})"] = _content(file)
    # As it will be read again: a list where there was a tuple, text where there was a path.
    plain: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(told, enc_hook=str))
    return plain


def difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Return in what two runs differ first, "" where they are the same."""
    for place in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(place), theirs.get(place)
        if one != other:
            return f"{place} is {_shown(one)} here, and {_shown(other)} there"
    return ""


def _shown(value: Any) -> str:
    return "not there" if value is None else repr(value)


def _portable(value: Any, base: Path) -> Any:
    """Return paths as they are seen from the pipeline's file, which may lie anywhere."""
    if isinstance(value, Path):
        return os.path.relpath(value, base)
    return [_portable(each, base) for each in value] if isinstance(value, list) else value


def _content(path: Path) -> str:
    """Return what tells a file's content from another's; what cannot be read has none."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= _WHOLE_BYTES:
                while part := file.read(_PART_BYTES):
                    digest.update(part)
            else:
                digest.update(file.read(_PART_BYTES))
                file.seek(-_PART_BYTES, os.SEEK_END)
                digest.update(file.read())
    except OSError:
        return "unreadable"
    return f"{size} bytes, {digest.hexdigest()}"

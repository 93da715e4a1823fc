"""Checkpoints on disk: one file each, whole or not there.

A file begins with its kind and version and ends with the BLAKE2 hash of all before it, so that one
that was cut short or changed is known for what it is and refused by name. It is written beside its
name, made durable and renamed. The folder is locked by the run that writes to it.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pipeline.checkpoint.fingerprint import difference
from pipeline.errors import CheckpointError, ConfigError
from pipeline.messages import Shed, Start
from pipeline.report import QueueCount, StageReport
from pipeline.stage import Account

__all__ = [
    "Checkpoint",
    "CheckpointFolder",
    "Found",
    "StageSnapshot",
    "check_same",
    "files_in",
    "newest_in",
    "read_checkpoint",
]

_MAGIC = b"event-pipeline checkpoint/1\n"
_KIND = b"event-pipeline checkpoint/"
_HASH_BYTES = 32
_NAME = re.compile(r"checkpoint-(\d{8})")


class StageSnapshot(msgspec.Struct, frozen=True):
    """One stage as a checkpoint passed it."""

    stage: str
    state: bytes | None
    """Its state for each stream, as `pipeline.checkpoint.snapshot.pack` gave it; None before a
    recording has started."""
    position: bytes | None = None
    """What a sink has committed, packed too."""
    total: Account | None = None
    """The account of the recordings before this one."""
    seq: int = 0
    """Messages that it has put out."""
    shed: Shed | None = None
    """What overload took and its next message is to tell."""
    received: list[QueueCount] = []
    sent: list[QueueCount] = []
    pending: list[list[tuple[bytes, bytes]]] = []
    """For each input the messages that were on their way to the stage, encoded."""
    starts: list[Start] = []
    """The Start of each stream that is under way."""
    report: StageReport | None = None
    """Of a stage whose stream was over."""


class Checkpoint(msgspec.Struct, frozen=True):
    """A whole pipeline as of one point of its streams."""

    number: int
    made_at_s: float
    """Seconds since 1970."""
    version: str
    """Of the package."""
    tables: dict[str, Any]
    """The options of the run that it is of; see `pipeline.checkpoint.fingerprint`."""
    stages: list[StageSnapshot]
    finished: bool = False
    """Every stream was over: there is nothing to go on with."""
    results: dict[str, str] = {}
    """What a finished run has left, see `pipeline.checkpoint.results`."""

    def of(self, stage: str) -> StageSnapshot:
        """Return what is kept of a stage.

        Raises:
            KeyError: nothing is.
        """
        for each in self.stages:
            if each.stage == stage:
                return each
        raise KeyError(stage)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file, if it is what was written.

    Raises:
        CheckpointError: it cannot be read, is no checkpoint, of another version, or damaged.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    if not raw.startswith(_MAGIC):
        if raw.startswith(_KIND):
            version = raw[len(_KIND) : len(_KIND) + 8].split(b"\n")[0].decode(errors="replace")
            raise CheckpointError(f"{path}: is of format {version!r}, and this version reads 1")
        raise CheckpointError(f"{path}: is no checkpoint, or its beginning is damaged")
    body, digest = raw[:-_HASH_BYTES], raw[-_HASH_BYTES:]
    if _hash(body) != digest:
        raise CheckpointError(f"{path}: is damaged or was cut short: its hash does not match")
    try:
        return msgspec.msgpack.decode(memoryview(body)[len(_MAGIC) :], type=Checkpoint)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CheckpointError(f"{path}: was made by another version ({error})") from None


class Found(NamedTuple):
    """The newest whole checkpoint of a folder."""

    path: Path
    checkpoint: Checkpoint
    refused: list[CheckpointError]
    """Why newer ones are none."""


def files_in(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, the newest first; none if it is not there."""
    with suppress(OSError):
        return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), reverse=True)
    return []


def newest_in(folder: Path) -> Found | None:
    """Return the newest whole checkpoint of a folder; None if there is no checkpoint.

    Raises:
        CheckpointError: there are files, and not one is whole.
    """
    refused: list[CheckpointError] = []
    for path in files_in(folder):
        try:
            return Found(path, read_checkpoint(path), refused)
        except CheckpointError as error:
            refused.append(error)
    if refused:
        raise refused[0]
    return None


class CheckpointFolder:
    """The checkpoints of one pipeline; locked while it is open.

    Raises:
        CheckpointError: the folder cannot be made, or another run uses it.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        """Make the folder if need be, and lock it; keep the newest ``keep`` checkpoints."""
        self.path = folder
        self._keep = keep
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CheckpointError(
                f"{folder}: cannot be used for checkpoints: {error.strerror}"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise CheckpointError(
                f"{folder}: another run keeps its checkpoints here; end it, or name another folder"
            ) from None
        except OSError as error:
            os.close(self._lock)
            raise CheckpointError(f"{folder}: cannot be locked: {error.strerror}") from None

    def close(self) -> None:
        """Let others use the folder."""
        os.close(self._lock)

    def newest(self) -> "Found | None":
        """Return the newest whole checkpoint; see `newest_in`."""
        return newest_in(self.path)

    def write(self, checkpoint: Checkpoint, alone: bool = False) -> Path:
        """Write a checkpoint, and remove those that are too old to be kept.

        Args:
            checkpoint: what to write.
            alone: whether all others are of another run, and too old for that.

        Raises:
            CheckpointError: it cannot be written; those before it are what they were.
        """
        path = self.path / f"checkpoint-{checkpoint.number:08d}"
        draft = path.with_name(f"{path.name}.part")
        body = _MAGIC + msgspec.msgpack.encode(checkpoint)
        try:
            file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                for part in (body, _hash(body)):
                    rest = memoryview(part)
                    while rest:
                        rest = rest[os.write(file, rest) :]
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(draft, path)
            _make_durable(self.path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise CheckpointError(f"{path}: cannot be written: {error.strerror}") from None
        files = files_in(self.path)
        for old in [file for file in files if file != path] if alone else files[self._keep :]:
            with suppress(OSError):
                old.unlink()
        return path

    def oldest(self) -> int:
        """Return the number of the oldest checkpoint that is kept, 0 if there is none."""
        files = files_in(self.path)
        found = _NAME.fullmatch(files[-1].name) if files else None
        return int(found.group(1)) if found else 0


def check_same(made_of: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint of another pipeline.

    Raises:
        ConfigError: the first option that differs, what it was and what it is.
    """
    other = difference(made_of, now, "{place} was {ours}, and is {theirs}")
    if other:
        raise ConfigError(
            f"{path}: is of another run: {other}; set it back, or start over with --fresh"
        )


def _hash(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_HASH_BYTES).digest()


def _make_durable(folder: Path) -> None:
    """Make the names in a folder as durable as its files."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

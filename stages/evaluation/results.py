"""The folder of an evaluation: each recording's result as soon as there is one.

One that was stopped or killed goes on where it was: what is finished is not done again.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import msgspec

from pipeline.errors import ConfigError, RecordingError

__all__ = ["REPORT", "REQUEST", "RESULTS", "Request", "Result", "Results", "read_results"]

REQUEST, RESULTS, REPORT = "request.json", "results.jsonl", "report.json"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one recording."""

    item: int
    """Which it is, in the order of the data."""
    key: str
    """Its name in the data."""
    label: int
    """Its class, an index into the model's; ``decisions`` and columns of ``scores`` likewise."""
    scores: list[float] | None
    """Class scores of its last prediction, which is its answer; None: there was none."""
    predictions: int
    """How many were made in all."""
    right: int
    """How many of them were right."""
    decisions: list[int]
    """What the decision would have been after each step, of all steps until then."""
    ends_us: list[int]
    """When each of these steps ended, counted from the start of the first, in µs."""
    events: int
    span_us: int
    """From its first event to its last."""
    seconds: float
    """Time that one process worked on it, reading included."""
    first: bool = False
    """Whether it was the first of that process, which waits for libraries and kernels."""
    counts: dict[str, dict[str, int]] = {}
    """What stages counted beside, by stage: synaptic operations."""
    refused: dict[str, int] = {}
    """What its source and the stages refused, by reason."""


class Request(msgspec.Struct, frozen=True):
    """What was asked for."""

    name: str
    pipeline: str
    overrides: list[str]
    decision: str
    data: str
    part: str
    classes: list[str]
    recordings: int
    scores: str
    """What the scores are, see `pipeline.ports.PredictionsPort`."""
    fingerprint: str
    """Stands for all of it: the stages, their files, the recordings."""


class Results:
    """The results of an evaluation in its folder; one process at a time may add to them.

    Args:
        folder: the folder.
        done: results that were there already.
        file: open for what comes.
    """

    def __init__(self, folder: Path, done: list[Result], file: IO[bytes]) -> None:
        self.folder, self.done, self._file = folder, done, file

    def add(self, result: Result) -> None:
        """Keep a result; a process that is killed right afterwards has it."""
        try:
            self._file.write(msgspec.json.encode(result) + b"\n")
            self._file.flush()
        except OSError as error:
            raise _unwritable(self.folder / RESULTS, error) from None
        self.done.append(result)

    @classmethod
    @contextmanager
    def open(
        cls, out: Path | None, below: Path, request: Request, fresh: bool
    ) -> "Iterator[Results]":
        """Open the folder of a request.

        Args:
            out: the folder; None: that of an unfinished evaluation of the same in ``below``, or a
                new one there, called after the pipeline and the time.
            below: where evaluations lie.
            request: what is asked for.
            fresh: whether what is there is done again.

        Raises:
            ConfigError: the folder holds something else, or another process is writing to it.
            RecordingError: it cannot be written.
        """
        folder = out or _unfinished(below, request, fresh) or _new(below, request.name)
        with ExitStack() as opened:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                file = opened.enter_context((folder / RESULTS).open("a+b"))
                _lock(folder, file)
                _check_same(folder, request, fresh)
                if fresh:
                    (folder / REPORT).unlink(missing_ok=True)
                    file.truncate(0)
                told = msgspec.json.format(msgspec.json.encode(request), indent=1)
                (folder / REQUEST).write_bytes(told + b"\n")
                results = cls(folder, _whole_lines(file), file)
            except OSError as error:
                raise _unwritable(folder, error) from None
            yield results


def read_results(folder: Path) -> tuple[Request, list[Result]]:
    """Read an evaluation, in the order of its data.

    Raises:
        ConfigError: there is none, or it is not finished.
    """
    request = _request(folder)
    if request is None or not (folder / REPORT).is_file():
        raise ConfigError(
            f"--compare: {folder} holds no finished evaluation; name the folder that `pipeline"
            " evaluate` wrote"
        )
    try:
        with (folder / RESULTS).open("rb") as file:
            found = [_decoder.decode(line) for line in file]
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"--compare: {folder / RESULTS}: cannot be read: {error}") from None
    return request, sorted(found, key=lambda result: result.item)


_decoder = msgspec.json.Decoder(Result)


def _whole_lines(file: IO[bytes]) -> list[Result]:
    """Return the results that are whole, and cut off what a kill has left of another."""
    file.seek(0)
    found: dict[int, Result] = {}
    end = 0
    for line in file:
        if not line.endswith(b"\n"):
            break
        try:
            result = _decoder.decode(line)
        except msgspec.MsgspecError:
            break
        found[result.item] = result
        end += len(line)
    file.truncate(end)
    return list(found.values())


def _request(folder: Path) -> Request | None:
    try:
        return msgspec.json.decode((folder / REQUEST).read_bytes(), type=Request)
    except (OSError, msgspec.MsgspecError):
        return None


def _check_same(folder: Path, request: Request, fresh: bool) -> None:
    """Refuse to mix the results of two evaluations."""
    before = _request(folder)
    if not fresh and before is not None and before.fingerprint != request.fingerprint:
        raise ConfigError(
            f"--out: {folder} holds another evaluation, of {before.pipeline} on {before.data}"
            f" ({before.part}), or one of files that have changed since; name another folder, or"
            " write over it with --fresh"
        )


def _unfinished(below: Path, request: Request, fresh: bool) -> Path | None:
    """Return the newest unfinished evaluation of the same."""
    if fresh or not below.is_dir():
        return None
    for folder in sorted(below.glob(f"{request.name}-*"), reverse=True):
        before = _request(folder)
        same = before is not None and before.fingerprint == request.fingerprint
        if same and not (folder / REPORT).exists():
            return folder
    return None


def _new(below: Path, name: str) -> Path:
    wanted = below / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, number = wanted, 1
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder


def _lock(folder: Path, file: IO[bytes]) -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not inherited by the workers
    except BlockingIOError:
        raise ConfigError(
            f"--out: another process is evaluating into {folder}; name another folder, or wait"
        ) from None


def _unwritable(path: Path, error: OSError) -> RecordingError:
    return RecordingError(
        f"{path}: cannot be written: {error.strerror or error}; check the path, its permissions and"
        " the space on the disk"
    )

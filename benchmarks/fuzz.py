"""Mutated recordings of every format: each gives events or one clear error, and nothing else.

Usage: python -m benchmarks.fuzz [--format NAME ...] [--count 10000] [--seed 0] [--first 0]. Small
valid recordings are mutated and read wholly, with damage raised and dropped. What would be a
failure: another exception or a warning, events that are not what a reader promises, more than
5 s, much more memory than the file has, the end of the process. A failure is printed with the
line that reads its file again. Reading is done in processes of their own, which a crash ends alone.
"""

import argparse
import hashlib
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from benchmarks.mutation import mutate
from benchmarks.samples import samples
from pipeline.errors import RecordingError
from pipeline.events import EVENT
from stages.formats import FORMATS, Policies, open_recording
from stages.formats.policies import LENIENT

__all__ = ["Failure", "Jobs", "Tally", "fuzz", "main"]

LIMIT_S = 5.0
"""Longest time that a file may take."""
GROWTH_BYTES = 256 << 20
"""Most memory that a file may take."""
_SAMPLE_BYTES = 40_000
"""Samples larger than this are left out where there is a smaller one."""
_SHOWN = 20
"""Failures of a format that are printed."""
_REPOSITORY = Path(__file__).parents[1]
_ADDRESS_SPACE_BYTES = 4 << 30
"""What a process may reserve beyond what it has when it begins, as a last resort."""
_START_S = 120.0
"""Longest time that a process may take to begin: it may have to compile."""


class Jobs(NamedTuple):
    """Files to read: of each format the same numbers, one format after the other."""

    names: tuple[str, ...]
    count: int
    seed: int = 0
    first: int = 0

    def behind(self, skip: int) -> Iterator[tuple[str, int]]:
        """Yield format and number of all but the first ``skip`` files."""
        for job in range(skip, len(self.names) * self.count):
            yield self.names[job // self.count], self.first + job % self.count


class Failure(NamedTuple):
    """A file that was not read as it should be."""

    format: str
    seed: int
    number: int
    what: str

    def __str__(self) -> str:
        again = f"--format '{self.format}' --seed {self.seed} --first {self.number} --count 1"
        return f"{self.what}\n    again: python -m benchmarks.fuzz {again} --trace"


class Tally(NamedTuple):
    """How the files of a format ended."""

    read: int
    """Those of which all was read."""
    refused: int
    """Those that ended with an error, at once or later, unless damage was dropped."""
    failures: list[Failure]


def mutated(name: str, originals: Sequence[bytes], seed: int, number: int) -> tuple[bytes, str]:
    """Return one mutated file, and what was done to it; the same for the same numbers."""
    word = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    rng = np.random.default_rng((word, seed, number))
    return mutate(originals[number % len(originals)], rng)


def read(path: Path, policies: Policies) -> bool:
    """Read a file wholly, and once more from its middle; return whether no error ended it.

    Raises:
        AssertionError: what was read is not what a reader promises.
        Exception: anything that is no `RecordingError`.
    """
    try:
        with open_recording(path, policies) as reader:
            height, width = reader.size
            last_us, times = -(2**62), []
            for events, position in reader.packets():
                assert events.dtype == EVENT, f"dtype {events.dtype}"
                assert all(isinstance(part, int) for part in position), f"position {position}"
                if not len(events):
                    continue
                t = events["t"]
                assert 0 <= events["x"].min() <= events["x"].max() < width, "x outside"
                assert 0 <= events["y"].min() <= events["y"].max() < height, "y outside"
                assert 0 <= events["p"].min() <= events["p"].max() <= 1, "p neither 0 nor 1"
                assert -(2**62) < t.min() <= t.max() < 2**62, "impossible times"
                if policies.on_time_back != "keep":
                    assert (np.diff(t, prepend=last_us) >= 0).all(), "time goes back"
                last_us = int(t[-1])
                times.append(last_us)
            assert all(count > 0 for count in reader.refused.values()), "counts of refused events"
            if times:
                place = reader.position_at(times[len(times) // 2])
                for _ in reader.packets(place):
                    pass
    except RecordingError as error:
        text = str(error)
        assert text.startswith(f"{path}: "), f"names no place: {text!r}"
        assert "\n" not in text, f"not one line: {text!r}"
        return False
    return True


def _work(jobs: Jobs, skip: int, trace: bool) -> None:
    """Read files in this process; say before each what was done to it, and then how it ended."""
    warnings.simplefilter("error")
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = size + _ADDRESS_SPACE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / "mutated"
        originals: dict[str, list[bytes]] = {}
        for name, number in jobs.behind(skip):
            try:
                if name not in originals:
                    originals[name] = _originals(name, path)
                content, changes = mutated(name, originals[name], jobs.seed, number)
                path.write_bytes(content)
                print(f"next {changes}", flush=True)
                print(f"done {_try(path)}", flush=True)
            except BaseException as error:
                if trace:
                    traceback.print_exc()
                where = traceback.extract_tb(error.__traceback__)[-1]
                text = " ".join(str(error).split())[:200]
                place = f"{Path(where.filename).name}:{where.lineno}"
                print(f"done {type(error).__name__}: {text} ({place})", flush=True)


def _originals(name: str, path: Path) -> list[bytes]:
    """Return samples of a format; each can be read, which also compiles what reads it."""
    made = list(samples(name, path.parent))
    for content in made:
        path.write_bytes(content)
        assert read(path, Policies()), "the sample itself cannot be read"
    return [content for content in made if len(content) < _SAMPLE_BYTES] or made


def _try(path: Path) -> str:
    """Read a file under both policies; return how it ended."""
    before, since = _peak_bytes(), time.monotonic()
    strict, lenient = read(path, Policies()), read(path, LENIENT)
    growth, took_s = _peak_bytes() - before, time.monotonic() - since
    if growth > GROWTH_BYTES:
        return f"took {growth >> 20} MiB of memory"
    if took_s > LIMIT_S:
        return f"took {took_s:.1f} s"
    return "read" if strict and lenient else "refused"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def fuzz(jobs: Jobs, trace: bool = False) -> Iterator[tuple[str, Tally]]:
    """Read mutated files; yield how they ended, as soon as a format is done."""
    outcomes = _outcomes(jobs, trace)
    for name in jobs.names:
        ended = Counter({"read": 0, "refused": 0})
        failures: list[Failure] = []
        for number in range(jobs.first, jobs.first + jobs.count):
            changes, how = next(outcomes)
            if how in ended:
                ended[how] += 1
            else:
                what = f"{changes or 'at the start'}: {how}"
                failures.append(Failure(name, jobs.seed, number, what))
        yield name, Tally(ended["read"], ended["refused"], failures)


def _outcomes(jobs: Jobs, trace: bool) -> Iterator[tuple[str, str]]:
    """Yield what was done to each file and how it ended, with as many processes as it takes."""
    job, jobs_in_all = 0, len(jobs.names) * jobs.count
    while job < jobs_in_all:
        begun, changes = False, ""
        with _start(jobs, job, trace) as process:
            assert process.stdout is not None
            for line in _lines(process.stdout):
                if line is None:
                    process.kill()
                    how = f"took much more than {LIMIT_S:.0f} s"
                    break
                begun = True
                word, text = line.split(" ", 1)
                if word == "next":
                    changes = text
                else:
                    yield changes, text
                    job, changes = job + 1, ""
            else:
                how = f"the process ended with {process.wait()}"
        if not begun:
            raise RuntimeError(f"files cannot be read at all: {how}")
        if job < jobs_in_all:
            yield changes, how
            job += 1


def _start(jobs: Jobs, skip: int, trace: bool) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "benchmarks.fuzz", "--format", *jobs.names]
    command += ["--seed", str(jobs.seed), "--first", str(jobs.first), "--count", str(jobs.count)]
    command += ["--work", str(skip), *(["--trace"] if trace else [])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_REPOSITORY)


def _lines(pipe: IO[bytes]) -> Iterator[str | None]:
    """Yield the lines that come through a pipe; None if the next takes too long."""
    os.set_blocking(pipe.fileno(), False)
    rest, patience_s = b"", _START_S
    while select.select([pipe], [], [], patience_s)[0]:
        part = pipe.read()
        if not part:
            return
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
        patience_s = 2 * LIMIT_S  # once for each policy
    yield None


def main() -> int:
    """Fuzz the formats that are asked for; return the exit code."""
    parser = argparse.ArgumentParser(description="read mutated recordings")
    parser.add_argument(
        "--format", nargs="+", choices=tuple(FORMATS), default=tuple(FORMATS), metavar="NAME"
    )
    parser.add_argument("--count", type=int, default=10_000, help="files of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--trace", action="store_true", help="print tracebacks")
    parser.add_argument("--work", type=int, metavar="SKIP", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    jobs = Jobs(tuple(asked.format), asked.count, asked.seed, asked.first)
    if asked.work is not None:
        _work(jobs, asked.work, asked.trace)
        return 0
    failed, since = False, time.monotonic()
    for name, tally in fuzz(jobs, asked.trace):
        now = time.monotonic()
        print(
            f"{name:10} {tally.read:6} read, {tally.refused:6} refused,"
            f" {len(tally.failures)} failures, {now - since:.0f} s",
            flush=True,
        )
        for failure in tally.failures[:_SHOWN]:
            print(f"  {failure}", flush=True)
        failed, since = failed or bool(tally.failures), now
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

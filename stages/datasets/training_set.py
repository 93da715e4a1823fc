"""The training set that a recipe asks for: made if need be, split, played, binned, cached."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.choices import offer
from models.training.recipe import DataSection, Recipe
from pipeline.config import validate
from pipeline.errors import ConfigError, RecordingError
from pipeline.ports import FramesPort
from stages.batch.local import LocalEngine
from stages.datasets import load_data_set
from stages.datasets.cache import digest, ensure, fingerprint
from stages.datasets.data_set import STEPS, DataSet, Item, Progress
from stages.datasets.examples import (
    CachedExamples,
    EventExamples,
    FrameExamples,
    Prepared,
    prepared,
    write_cache,
)
from stages.datasets.frames import Input
from stages.datasets.split import PARTS, split

__all__ = ["TrainingSet", "prepare"]

_ITEMS_A_JOB = 16
_JOBS_AHEAD = 2
"""For each process; more would only pile up in memory."""


class TrainingSet(NamedTuple):
    """Three parts; no group (person, recording) is in two of them."""

    train: CachedExamples
    validation: CachedExamples
    test: CachedExamples | None
    """None where nothing is held out for it."""
    parts: Path
    """A JSON file that says which item is in which part."""
    learnt: dict[str, Any]
    """Options of the source that the training part gave: a stream needs them too. For texts it is
    the path of the ``vocabulary``."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the examples, such as how many had to be cut."""
        parts = {"training": self.train, "validation": self.validation, "test": self.test}
        lengths = [
            f"{count} of {len(part)} {name} examples {what}"
            for name, part in parts.items()
            if part is not None
            for what, count in part.notes.items()
        ]
        refused = [
            f"left out of all examples: {count:,} {what}"
            for what, count in self.train.refused.items()
        ]
        return (*lengths, *refused)


def prepare(
    recipe: Recipe,
    folder: Path,
    processes: int,
    progress: Progress,
    admit: Callable[[FramesPort], None] = lambda port: None,
) -> TrainingSet:
    """Return the recipe's data.

    Args:
        recipe: its ``[data]``, ``[input]``, ``[augment]`` and ``[network]`` tables are used.
        folder: below it lie the data sets, and in ``cache`` what was made of them.
        processes: how many to work side by side.
        progress: called with what is being done, how many are done, and of how many.
        admit: called with what is known of the frames before they are made; may refuse them.

    Raises:
        ConfigError: the set is unknown or not there, its split is not possible, or the input
            stages do not fit.
        RecordingError: a recording cannot be read, or a file cannot be written.
        StageError: an input stage failed.
    """
    steps = recipe.network.options.get("steps")
    if not isinstance(steps, int) or steps < 1:
        raise ConfigError(f"network.options.steps: must be given and at least 1, got {steps!r}")
    data_set = _data_set(recipe, folder)
    data_set.make(LocalEngine(processes), progress)
    try:
        items = data_set.items()
    except OSError as error:
        raise RecordingError(
            f"{error.filename or data_set.folder}: cannot be read: {error.strerror}; check its"
            " permissions"
        ) from None
    if not items:
        raise ConfigError(f"data.set: {data_set.name} has no items in {data_set.folder}")
    data = recipe.data
    parts = split(items, data.validation, data.test, data.seed)
    cache = folder / "cache"
    record = cache / f"{data_set.name}-split-{digest(_split_request(recipe, items))}"
    _write_parts(record / "parts.json", recipe, data_set.folder, items, parts)
    learnt = data_set.learn([items[index] for index in parts["train"]], record)
    items = [item._replace(source=_source(item.source | learnt, steps)) for item in items]

    changes, tables = recipe.augment.events, recipe.input.stage
    admit(Input(items[0], tables).port)
    as_events = any(changes.model_dump().values())
    kind = "events" if as_events else "frames"
    mark = fingerprint(items, tables, steps, kind)
    path = cache / f"{data_set.name}-{kind}-{mark}.h5"

    def write(file: Any) -> None:
        work = _Work(tables, steps, as_events)
        flow = _followed(work.all(items, processes), len(items), f"reading {data.set}", progress)
        write_cache(file, len(items), steps, as_events, flow)

    ensure(path, mark, write)
    _, groups = np.unique([item.group for item in items], return_inverse=True)
    labels = np.array([item.label for item in items], np.int64)

    def part(name: str) -> CachedExamples:
        indices = parts[name]
        shared = (path, indices, labels[indices], groups[indices].astype(np.int64))
        facts = (data_set.classes, steps, items[0], tables)
        if as_events:
            return EventExamples(*shared, *facts, changes)
        return FrameExamples(*shared, *facts)

    test = part("test") if parts["test"] else None
    return TrainingSet(part("train"), part("validation"), test, record / "parts.json", learnt)


def _data_set(recipe: Recipe, folder: Path) -> DataSet:
    kind = load_data_set(recipe.data.set)
    extra = recipe.data.model_extra or {}
    known = {*DataSection.model_fields, *kind.Options.model_fields}
    for key in extra:
        if key not in known:  # the slip may be in a key of every set, which the set does not know
            raise ConfigError(f"data.{key}: unknown key; {offer(key, known)}")
    options = validate(kind.Options, extra, "data", None)
    return kind(folder / (recipe.data.path or recipe.data.set), options)


def _source(table: dict[str, Any], steps: int) -> dict[str, Any]:
    return {key: steps if value == STEPS else value for key, value in table.items()}


def _split_request(recipe: Recipe, items: Sequence[Item]) -> list[Any]:
    data = recipe.data
    dealt = [(item.key, item.label, item.group, item.part) for item in items]
    return [data.seed, data.validation, data.test, dealt]


def _write_parts(
    path: Path, recipe: Recipe, folder: Path, items: Sequence[Item], parts: dict[str, list[int]]
) -> None:
    data = recipe.data
    shares = {"validation": data.validation, "test": data.test}
    dealt = {name: [items[index].key for index in parts[name]] for name in PARTS}
    told = {"set": data.set, "folder": os.path.abspath(folder), "seed": data.seed}
    told |= {"shares": shares, "parts": dealt}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
        draft.replace(path)
    except OSError as error:
        raise RecordingError(
            f"{path}: cannot be written: {error.strerror}; check the path and its permissions"
        ) from None


def _followed(
    flow: Iterator[Prepared], count: int, what: str, progress: Progress
) -> Iterator[Prepared]:
    for done, one in enumerate(flow, start=1):
        yield one
        progress(what, done, count)


class _Work(NamedTuple):
    """How items are prepared; goes to other processes."""

    tables: list[dict[str, Any]]
    steps: int
    as_events: bool

    def all(self, items: Sequence[Item], processes: int) -> Iterator[Prepared]:
        """Prepare items side by side; in what order does not matter."""
        jobs = _jobs(items)
        if processes <= 1 or len(jobs) <= 1:
            yield from prepared([one for job in jobs for one in job], *self)
            return
        try:
            with ProcessPoolExecutor(min(processes, len(jobs))) as pool:
                waiting: deque[Future[list[Prepared]]] = deque()
                for job in jobs:
                    waiting.append(pool.submit(self.one, job))
                    if len(waiting) > _JOBS_AHEAD * processes:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
        except BrokenExecutor:
            raise RecordingError(
                "a process that prepares the data set was killed, maybe for want of memory; use"
                " fewer --processes"
            ) from None

    def one(self, job: list[tuple[int, Item]]) -> list[Prepared]:
        """Do one job."""
        return list(prepared(job, *self))


def _jobs(items: Sequence[Item]) -> list[list[tuple[int, Item]]]:
    """Deal out items, with their indices; those that share a source stay together."""
    jobs: list[list[tuple[int, Item]]] = [[]]
    numbered = enumerate(items)
    for _, sharing in groupby(numbered, key=lambda one: one[1].source):
        if len(jobs[-1]) >= _ITEMS_A_JOB:
            jobs.append([])
        jobs[-1] += sharing
    return jobs

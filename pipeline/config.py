"""The TOML file: read, overridden from the command line, and checked down to each key.

A file holds the ``[[stage]]`` tables, in any order that names inputs before or after, and at most
one each of ``[run]``, ``[checkpoint]``, ``[supervision]``, ``[overload]`` and ``[metrics]``. A
stage without ``from`` takes its input from the table above it. What is wrong is reported with its
place, as in ``pipeline.toml: stage.bins.window_us: must be > 0, got -5``.
"""

import copy
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from pipeline.errors import ConfigError
from pipeline.events import LARGEST_SIDE_PX
from pipeline.queue.backlog import WhenFull
from pipeline.registry import nearest

__all__ = [
    "HOME",
    "RESERVED",
    "CheckpointConfig",
    "FilePath",
    "MetricsConfig",
    "OnCommandLine",
    "OverloadConfig",
    "PipelineConfig",
    "RunConfig",
    "SensorSize",
    "StageTable",
    "SupervisionConfig",
    "parse_config",
    "read_config",
    "validate",
    "value_of",
]


class OnCommandLine(str):
    """A value given with ``--set``: its paths are relative to the working directory."""

    __slots__ = ()


def _resolve(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str | Path):
        return value
    base = (info.context or {}).get("base")
    if value == "":
        # It would be the folder that paths start from, which nobody who leaves it empty means.
        raise ValueError("must not be empty")
    if "\0" in str(value):
        raise ValueError("must not hold a NUL character")
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        user = Path(value).parts[0]
        raise ValueError(f"there is no home folder {user}; name the folder itself") from None
    if base is None or isinstance(value, OnCommandLine):
        return Path(os.path.abspath(path))
    return Path(os.path.abspath(Path(base) / path))


FilePath = Annotated[Path, BeforeValidator(_resolve)]
"""A path option: relative to the TOML file's folder, or to the working directory with ``--set``."""


HOME = "home"
"""The host that runs the pipeline, as all hosts know it."""


def _copies(value: Any) -> Any:
    if value != "each" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError('must be 1 or more, or "each"')
    return value


def _hosts(value: Any) -> Any:
    names = value if isinstance(value, list) else [value]
    for name in names if names != [None] else []:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", name):
            raise ValueError(
                "must be the name of a host (letters, digits, _ . -), or a list of them"
            )
    if not names or len(set(names)) < len(names):
        raise ValueError("must name at least one host, and none twice")
    return value


_Side: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST_SIDE_PX)]
SensorSize: TypeAlias = tuple[_Side, _Side]
"""An option that is a sensor's size: (height, width) in pixels."""


class RunConfig(BaseModel):
    """The ``[run]`` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("run", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    """Shown in process titles and results."""
    transport: str = Field("ipc", pattern=r"^(ipc|tcp)$")
    """How processes of one host are joined: ``ipc`` (UNIX sockets) or ``tcp`` (loopback only)."""
    address: str | None = Field(None, pattern=r"^[^:/\s]+:\d{1,5}$")
    """``ADDRESS:PORT`` at which other hosts join the one that runs the pipeline; required where a
    stage has a ``host``."""


class CheckpointConfig(BaseModel):
    """The ``[checkpoint]`` table: with it a run survives crashes, its own included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: FilePath
    """The folder of this pipeline's checkpoints; made if need be."""
    interval_s: float = Field(1.0, gt=0, allow_inf_nan=False)
    """From the beginning of a checkpoint to that of the next, in s; a crash costs up to that much
    work, which is done again."""
    keep: int = Field(2, ge=1)
    """How many to keep: the older are for the case that the newest is damaged."""


class SupervisionConfig(BaseModel):
    """The ``[supervision]`` table: what counts as a crash, and how often to go on after one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    silent_s: float = Field(10.0, ge=0.2, allow_inf_nan=False)
    """A process that has said nothing for so long, in s, is taken for dead. They speak all the
    time, so only a machine that hardly gets to run them needs more."""
    stuck_s: float = Field(600.0, gt=0, allow_inf_nan=False)
    """A stage that has been busy with one message for so long, in s, is taken for dead."""
    restarts: int = Field(5, ge=0)
    """How often to start again, counted until the run has worked for ``well_after_s``; after that
    it fails. Without a ``[checkpoint]`` table it fails at once."""
    well_after_s: float = Field(30.0, gt=0, allow_inf_nan=False)
    """After how long without a failure, in s, a run is taken to be well again."""
    backoff_s: float = Field(0.1, ge=0, allow_inf_nan=False)
    """Time before the second restart, in s, doubled for each further one; the first comes at
    once."""
    backoff_max_s: float = Field(10.0, ge=0, allow_inf_nan=False)
    """The longest time before a start, in s."""
    move_after_s: float = Field(30.0, ge=0, allow_inf_nan=False)
    """How long a host that was lost is waited for, in s, before copies of stages that ran there go
    to the other hosts of their list. Stages that can run nowhere else wait for it."""


class OverloadConfig(BaseModel):
    """The ``[overload]`` table: with it a live run gives up the least it can to keep up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_ms: float = Field(gt=0, allow_inf_nan=False)
    """How far a stage may be behind events that come in, or are due, in ms. While one is further
    behind events are thinned, then windows merged, then dropped."""


class MetricsConfig(BaseModel):
    """The ``[metrics]`` table: with it a run serves its metrics for Prometheus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int = Field(ge=0, le=65_535)
    """Where, on this machine alone: ``http://127.0.0.1:PORT/metrics``; 0 takes one that is free."""


class StageTable(BaseModel):
    """The keys that every ``[[stage]]`` table may have; the others are the stage's own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")
    """Unique in the file; also the name of its stream, if it is a source."""
    use: str
    """The kind of stage: a name that `pipeline stages` lists, or ``module:Class``."""
    inputs: tuple[str, ...] | None = Field(None, alias="from")
    """The stage, or list of stages, that it takes messages from; the one above when left out. A
    side output of a stage is named behind a dot: ``bins.late``."""
    group: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")
    """Stages of one group share a process, and pass messages on without a copy."""
    copies: Annotated[int | Literal["each"], BeforeValidator(_copies)] = 1
    """To how many of this stage its inputs are dealt out, in turn; ``"each"``: one for each of
    them. Each copy keeps the state of the streams that it is dealt."""
    host: Annotated[str | tuple[str, ...] | None, BeforeValidator(_hosts)] = None
    """The host that runs the stage, by the name under which `pipeline keys` knows its key; the one
    that runs the pipeline, ``home``, when left out. A list is of hosts among which copies are dealt
    out."""
    queue: int = Field(8, ge=1, le=10_000)
    """Messages that may wait in, or be worked on from, each of its input queues."""
    policy: WhenFull = "block"
    """What is done when one of its input queues is full. ``block``: whoever feeds it waits;
    ``drop_oldest``, ``drop_newest``: a message of data is dropped; ``thin``: the more messages
    wait, the fewer of the events of a further one stay, and other data are dropped, oldest
    first."""

    @property
    def options(self) -> dict[str, Any]:
        """The stage's own keys."""
        return dict(self.model_extra or {})


class PipelineConfig(BaseModel):
    """A whole file, with the place it came from."""

    model_config = ConfigDict(frozen=True)

    path: Path
    run: RunConfig
    checkpoint: CheckpointConfig | None = None
    supervision: SupervisionConfig = SupervisionConfig()
    overload: OverloadConfig | None = None
    metrics: MetricsConfig | None = None
    stages: tuple[StageTable, ...]
    tables: dict[str, Any]
    """The file as read, before overrides; workers build their stages from it."""
    overrides: tuple[str, ...] = ()
    """What was set on the command line."""

    @property
    def base(self) -> Path:
        """Folder that relative paths start from."""
        return self.path.parent


RESERVED: dict[str, type[BaseModel]] = {
    "run": RunConfig,
    "checkpoint": CheckpointConfig,
    "supervision": SupervisionConfig,
    "overload": OverloadConfig,
    "metrics": MetricsConfig,
}
"""Tables that a file has at most once; no stage may be called so."""

M = TypeVar("M", bound=BaseModel)


def read_config(path: Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read a pipeline file and apply ``--set`` overrides.

    Raises:
        ConfigError: the file cannot be read or is not what it should be; the message has one line
            for each mistake.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name a pipeline TOML file") from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path}: is a folder; name a pipeline TOML file; to play recordings of a folder:"
            f" pipeline run --set camera.path={path}"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"{path}: is no TOML file; to play a recording: pipeline run --set camera.path={path}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read as a TOML file: {error}") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    return parse_config(tables, path, overrides)


def parse_config(
    tables: Mapping[str, Any], path: Path, overrides: Sequence[str] = ()
) -> PipelineConfig:
    """Check the tables of a file; see `read_config`."""
    known = {*RESERVED, "stage"}
    for key in tables:
        if key not in known:
            raise ConfigError(f"{path}: {key}: unknown table{nearest(key, known)}")
    single = {key: copy.deepcopy(tables.get(key, {})) for key in RESERVED}
    rows = tables.get("stage", [])
    for key, table in single.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {key}: must be a table, got {table!r}")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"{path}: stage: must be [[stage]] tables, got {rows!r}")
    if not rows:
        raise ConfigError(f"{path}: stage: there is no [[stage]] table, so there is nothing to run")
    rows = copy.deepcopy(rows)
    for override in overrides:
        _override(single, rows, override)
    stages: list[StageTable] = []
    for number, row in enumerate(rows, start=1):
        place = f"{path}: stage.{row.get('name', number)}"
        if isinstance(row.get("from"), str):
            row["from"] = [row["from"]]
        stages.append(validate(StageTable, row, place, path.parent))
    made = {
        key: validate(RESERVED[key], table, f"{path}: {key}", path.parent)
        for key, table in single.items()
        if table or key in tables or key not in ("checkpoint", "overload", "metrics")
    }
    return PipelineConfig(
        path=path,
        **made,
        stages=tuple(stages),
        tables=dict(tables),
        overrides=tuple(overrides),
    )


def validate(model: type[M], values: Mapping[str, Any], place: str, base: Path | None) -> M:
    """Build ``model`` from ``values``.

    Raises:
        ConfigError: one line for each mistake, each beginning with ``place`` and the key.
    """
    fields = model.model_fields
    lines = [
        line
        for key, value in values.items()
        if key in fields
        for line in _confused(fields[key].annotation, value, f"{place}.{key}")
    ]
    try:
        if not lines:
            return model.model_validate(dict(values), context={"base": base})
    except ValidationError as error:
        lines = [_explain(problem, place, model) for problem in error.errors(include_url=False)]
    raise ConfigError("\n".join(lines))


def _confused(annotation: Any, value: Any, place: str) -> Iterator[str]:
    """Find what pydantic would turn into a number: ``true`` for 1, ``"25"`` for 25."""
    kinds = list(_alternatives(annotation))
    if isinstance(value, bool | str):
        numbers = {int, float}.intersection(kinds)
        if numbers and not {bool if isinstance(value, bool) else str, Any}.intersection(kinds):
            yield f"{place}: must be a {'whole ' * (int in numbers)}number, got {value!r}"
    for kind in kinds:
        origin, arguments = get_origin(kind), get_args(kind)
        if isinstance(value, list) and origin in (list, tuple):
            each_alike = origin is list or arguments[1:] == (...,)
            members = [arguments[0]] * len(value) if each_alike else arguments
            for number, (member, one) in enumerate(zip(members, value, strict=False)):
                yield from _confused(member, one, f"{place}.{number}")
        elif isinstance(value, dict) and origin is dict:
            for key, one in value.items():
                yield from _confused(arguments[1], one, f"{place}.{key}")


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the types that a value may have, out of unions and annotations."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        for each in get_args(annotation):
            yield from _alternatives(each)
    elif origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin is Literal:
        yield from {type(each) for each in get_args(annotation)}
    else:
        yield annotation


_COMPARISONS = {
    "greater_than": (">", "gt"),
    "greater_than_equal": (">=", "ge"),
    "less_than": ("<", "lt"),
    "less_than_equal": ("<=", "le"),
}
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table",
    "path": "a path",
}


def _explain(problem: ErrorDetails, place: str, model: type[BaseModel]) -> str:
    kind, got = problem["type"], problem["input"]
    context = problem.get("ctx", {})
    where = ".".join([place, *(str(part) for part in problem["loc"])])
    if kind == "extra_forbidden":
        return f"{where}: unknown key{nearest(str(problem['loc'][-1]), _keys(model))}"
    if kind == "missing":
        return f"{where}: is required"
    if kind in _COMPARISONS:
        sign, name = _COMPARISONS[kind]
        return f"{where}: must be {sign} {context[name]}, got {got!r}"
    if kind == "literal_error":
        return f"{where}: must be {context['expected']}, got {got!r}"
    if kind == "string_pattern_mismatch":
        return f"{where}: must match {context['pattern']}, got {got!r}"
    if kind == "too_short" or kind == "too_long":
        limit = context.get("min_length", context.get("max_length"))
        return f"{where}: must have {limit} values, got {got!r}"
    if kind == "value_error":
        return f"{where}: {context['error']}, got {got!r}"
    expected = _TYPES.get(kind.partition("_")[0])
    if expected is not None:
        return f"{where}: must be {expected}, got {got!r}"
    return f"{where}: {problem['msg']}, got {got!r}"


def _keys(model: type[BaseModel]) -> set[str]:
    common = {} if model in RESERVED.values() else StageTable.model_fields
    return {
        field.alias or key
        for fields in (model.model_fields, common)
        for key, field in fields.items()
    }


def _override(
    single: dict[str, dict[str, Any]], rows: Iterable[dict[str, Any]], override: str
) -> None:
    """Apply one ``NAME.KEY=VALUE``; the place is written as errors print it."""
    place, equals, text = override.partition("=")
    parts = place.strip().removeprefix("stage.").split(".")
    if not equals or len(parts) < 2 or not all(parts):
        raise ConfigError(f"--set {override}: must be STAGE.KEY=VALUE or run.KEY=VALUE")
    tables = single | {row["name"]: row for row in rows if isinstance(row.get("name"), str)}
    if parts[0] not in tables:
        raise ConfigError(f"--set {override}: no stage '{parts[0]}'{nearest(parts[0], tables)}")
    table = tables[parts[0]]
    for part in parts[1:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: '{part}' is not a table")
    table[parts[-1]] = value_of(text.strip())


def value_of(text: str) -> Any:
    """Read a value as TOML does; what is not TOML is taken as a text, so quotes may be left out."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return OnCommandLine(text)
    return _given(value)


def _given(value: Any) -> Any:
    """Mark every text in a value as given on the command line."""
    if isinstance(value, list):
        return [_given(each) for each in value]
    if isinstance(value, dict):
        return {key: _given(each) for key, each in value.items()}
    return OnCommandLine(value) if isinstance(value, str) else value

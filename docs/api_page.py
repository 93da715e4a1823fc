"""The page of the Python interface, made from signatures and docstrings."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

__all__ = ["MODULES", "api_parts"]

MODULES = {
    "Write a stage": (
        "pipeline.stage",
        "pipeline.ports",
        "pipeline.errors",
        "stages.filters.event_filter",
    ),
    "Read and write recordings": (
        "stages.formats",
        "stages.formats.reader",
        "stages.formats.writer",
    ),
    "Make and read messages": ("pipeline.messages", "pipeline.events"),
    "Run stages without queues": ("pipeline.offline",),
    "Run a pipeline": (
        "pipeline.config",
        "pipeline.graph",
        "pipeline.run.runner",
        "pipeline.run.remote",
        "pipeline.run.outcome",
        "pipeline.report",
    ),
    "Watch a run": ("pipeline.observe.attach", "pipeline.observe.status"),
    "Send and receive by yourself": ("pipeline.queue.sender", "pipeline.queue.receiver"),
    "Networks": ("models.network", "models.card", "models.weights", "models.lif"),
    "Networks without torch": ("models.engine.engine",),
}
"""What the page has, by what it is for."""

_PORT = "EventsPort | FramesPort | OutputsPort | PredictionsPort"


def api_parts() -> Iterator[str]:
    """Yield the parts of the page."""
    yield (
        "What is meant to be called from Python, by what it is for. Names that are not here may"
        " change from version to version. Messages have [a page of their own](messages.md), with"
        " each field."
    )
    for title, names in MODULES.items():
        yield f"## {title}"
        for name in names:
            yield from _module(name)


def _module(name: str) -> Iterator[str]:
    module = import_module(name)
    yield f"### `{name}`"
    yield _text(module.__doc__).partition("\n\n")[0]
    for member in module.__all__:
        value = getattr(module, member)
        if inspect.isclass(value):
            yield from _class(member, value)
        elif inspect.isfunction(value):
            yield _entry(f"#### `{member}{_signature(value)}`", value)


def _class(name: str, kind: type) -> Iterator[str]:
    plain = issubclass(kind, BaseException) or not _is_called(kind)
    yield _entry(f"#### `{name}{'' if plain else _signature(kind)}`", kind)
    methods = [
        (each, value)
        for each, value in vars(kind).items()
        if not each.startswith("_") and (_function(value) or isinstance(value, property))
    ]
    if methods:
        yield "\n".join(f"- {_member(each, value)}" for each, value in methods)


def _member(name: str, value: Any) -> str:
    function = value.fget if isinstance(value, property) else _function(value)
    first = _text(inspect.getdoc(function)).partition("\n\n")[0].replace("\n", " ")
    shown = name if isinstance(value, property) else f"{name}{_signature(function)}"
    return f"`{shown}`: {first}"


def _function(value: Any) -> Any:
    """Return the function that a member of a class is, None where it is none."""
    plain = getattr(value, "__func__", value)
    return plain if inspect.isfunction(plain) else None


def _is_called(kind: type) -> bool:
    """Tell whether one makes it by its signature; options are made of a TOML file."""
    if hasattr(kind, "model_fields"):
        return False
    fields = hasattr(kind, "__struct_fields__") or hasattr(kind, "_fields")
    return fields or any("__init__" in vars(each) for each in kind.__mro__ if each is not object)


def _signature(value: Any) -> str:
    """Return what is given and what comes back, without the places of types."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    parameters = [each for each in found.parameters.values() if each.name not in ("self", "cls")]
    text = re.sub(r"= '([^']*)'", r'= "\1"', str(found.replace(parameters=parameters)))
    text = re.sub(r"= <[^=]*?>(?=[,)])|= <function.*? at 0x\w+>", "= …", text)
    text = re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z_])|['~]", "", text)
    return text.replace(_PORT, "Port").replace(" -> None", "")


def _text(doc: str | None) -> str:
    return inspect.cleandoc(doc or "").replace("``", "`")


def _entry(title: str, owner: object) -> str:
    return f"{title}\n\n{_sections(_text(inspect.getdoc(owner)))}"


def _sections(text: str) -> str:
    """Return a Google docstring as Markdown: arguments, attributes and errors as lists."""
    lines: list[str] = []
    listing = False
    for line in text.splitlines():
        if re.fullmatch(r"(Args|Returns|Raises|Attributes|Yields):", line):
            lines += ["", f"*{line}*", ""]
            listing = line not in ("Returns:", "Yields:")
        elif listing and re.match(r"    \w", line):
            name, colon, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`{colon}{rest}" if colon else f"- {line.strip()}")
        elif line.startswith("    "):
            lines.append(("  " if listing else "") + line.strip())
        else:
            listing = False
            lines.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()

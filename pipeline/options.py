"""The options of a stage as its own code states them: name, type, limits, default and help."""

import ast
import inspect
import re
import textwrap
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

__all__ = ["options_of", "own_texts", "texts_of", "toml_text", "type_text"]


def options_of(config: type[BaseModel]) -> list[dict[str, Any]]:
    """Return name, type, default and help of each option; the help is the text below the field.

    Those that a configuration inherits come behind its own.
    """
    texts = texts_of(config)
    own = inspect.get_annotations(config)
    fields = sorted(config.model_fields.items(), key=lambda item: item[0] not in own)
    return [
        {
            "name": field.alias or name,
            "type": _option_type(field),
            "default": "required" if field.is_required() else toml_text(field.get_default()),
            "help": texts.get(name, ""),
        }
        for name, field in fields
    ]


def _option_type(field: FieldInfo) -> str:
    """Say what may be written in the TOML file, limits included."""
    limits = [text for rule in field.metadata for text in _limits(rule)]
    patterns = [rule.pattern for rule in field.metadata if getattr(rule, "pattern", None)]
    for pattern in patterns:
        if words := re.fullmatch(r"\^\(([a-z_|]+)\)\$", pattern):
            return " or ".join(toml_text(word) for word in words[1].split("|"))
        limits.append(f"matching {pattern}")
    return ", ".join([type_text(field.annotation), *limits])


_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _limits(rule: object) -> Iterable[str]:
    for attribute, sign in _SIGNS.items():
        if (limit := getattr(rule, attribute, None)) is not None:
            yield f"{sign} {limit:_}" if isinstance(limit, int) else f"{sign} {limit}"


_NAMES = {"str": "text", "bool": "true or false", "Path": "path", "PosixPath": "path"}


def type_text(annotation: Any) -> str:
    """Name a type in the words of a TOML file."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin is Literal:
        return " or ".join(toml_text(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(type_text(part) for part in arguments if part is not type(None))
    if origin in (list, tuple):
        listed = ", ".join("…" if part is Ellipsis else type_text(part) for part in arguments)
        return f"[{listed}]"
    if origin is dict:
        return "table"
    name: str = getattr(annotation, "__name__", str(annotation))
    return _NAMES.get(name, name)


def toml_text(value: object) -> str:
    """Write a value as one would in the TOML file; ``-`` stands for an option left out."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_text(each) for each in value)}]"
    if isinstance(value, dict) and value:
        return f"{{ {', '.join(f'{key} = {toml_text(each)}' for key, each in value.items())} }}"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:_}"
    return str(value)


def texts_of(owner: type) -> dict[str, str]:
    """Read the strings below the fields of a class and of those that it derives from."""
    texts: dict[str, str] = {}
    for each in reversed(owner.__mro__):
        if each.__module__.partition(".")[0] not in ("builtins", "pydantic", "msgspec", "abc"):
            texts |= own_texts(each)
    return texts


def own_texts(owner: type) -> dict[str, str]:
    """Read the strings that follow the fields; Python itself does not keep them."""
    try:
        source = inspect.getsource(owner)
    except (OSError, TypeError):  # made without a file, as in an interactive session
        return {}
    (body,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(body, ast.ClassDef)
    texts = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            texts[field.target.id] = " ".join(str(text.value.value).split()).replace("``", "`")
    return texts

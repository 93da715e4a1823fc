"""The options of a stage as its own code states them: for `pipeline stages` and the reference."""

import ast
import inspect
import textwrap
from typing import Any

from pydantic import BaseModel

__all__ = ["options_of"]


def options_of(config: type[BaseModel]) -> list[dict[str, Any]]:
    """Return name, type, default and help of each option; the help is the text below the field."""
    texts = _texts(config)
    return [
        {
            "name": field.alias or name,
            "type": str(config.__annotations__.get(name, "")),
            "default": "required" if field.is_required() else repr(field.default),
            "help": texts.get(name, ""),
        }
        for name, field in config.model_fields.items()
    ]


def _texts(config: type[BaseModel]) -> dict[str, str]:
    """Read the strings that follow the fields; Python itself does not keep them."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(body, ast.ClassDef)
    texts = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts

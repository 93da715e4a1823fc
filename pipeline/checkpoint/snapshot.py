"""Snapshots: a stage's state as bytes, and back, without pickle.

A state is a tree of named tuples, structs, tuples, lists, dicts, arrays, numbers, texts and None.
It is written as MessagePack that says of each branch what it is. What is read back is built of the
classes that the stage's own type annotations name, and of no others; their fields must be those
that were written, so that a state of another version is refused and not misread.
"""

import sys
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import msgspec
import numpy as np

from pipeline.errors import CheckpointError
from pipeline.events import EVENT

__all__ = ["classes_of", "pack", "unpack"]

_PLAIN = (bool, int, float, str, bytes)
_UNREADABLE = (
    msgspec.MsgspecError,
    TypeError,
    ValueError,
    KeyError,
    AttributeError,
    SyntaxError,  # of a dtype's name
    RecursionError,
)


def pack(value: Any) -> bytes:
    """Return a state as bytes; its arrays are copied.

    Raises:
        TypeError: it holds what is not data.
    """
    return msgspec.msgpack.encode(_told(value))


def unpack(raw: bytes, classes: dict[str, type]) -> Any:
    """Return the state that `pack` was given; its arrays are its own and can be written.

    Args:
        raw: what `pack` returned.
        classes: named tuples and structs that it may hold, by name; see `classes_of`.

    Raises:
        CheckpointError: it is none, or of another version.
    """
    try:
        return _built(msgspec.msgpack.decode(raw), classes)
    except _UNREADABLE as error:
        raise CheckpointError(f"holds a state that cannot be read ({error})") from None


def classes_of(stage: type) -> dict[str, type]:
    """Return the named tuples and structs that a stage's state may hold, by name.

    They are those that its base classes are given, as in ``Transform[Config, State]``, that its
    `snapshot` and `commit` say they return, and that the fields of these name.
    """
    found: dict[str, type] = {}
    for method in ("snapshot", "commit"):
        if hasattr(stage, method):
            _gather(get_type_hints(getattr(stage, method)).get("return"), found)
    for owner in stage.__mro__:
        for base in getattr(owner, "__orig_bases__", ()):
            for argument in get_args(base):
                _gather(argument, found)
    return found


def _gather(annotation: Any, found: dict[str, type]) -> None:
    origin = getattr(annotation, "__origin__", annotation)
    for argument in get_args(annotation):
        _gather(argument, found)
    if not isinstance(origin, type) or origin in found.values():
        return
    if _is_named(origin) or issubclass(origin, msgspec.Struct):
        if origin.__name__ in found:
            raise TypeError(f"two classes of a state are called {origin.__name__}")
        found[origin.__name__] = origin
        for hint in get_type_hints(origin, vars(sys.modules[origin.__module__])).values():
            _gather(hint, found)


def _is_named(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _told(value: Any) -> Any:
    """Return a value as lists that begin with what they are; plain values stay as they are."""
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray | np.generic):
        array = np.ascontiguousarray(value)
        name = "event" if array.dtype == EVENT else array.dtype.str
        if array.dtype.hasobject or (array.dtype.names and name != "event"):
            raise TypeError(f"an array of dtype {array.dtype} is no data")
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return [kind, name, list(np.shape(value)), array.tobytes()]
    if _is_named(type(value)):
        fields = zip(value._fields, value, strict=True)
        return ["named", type(value).__name__, {key: _told(each) for key, each in fields}]
    if isinstance(value, msgspec.Struct):
        keys = value.__struct_fields__
        told = {key: _told(getattr(value, key)) for key in keys}
        return ["struct", type(value).__name__, told]
    if isinstance(value, tuple | list):
        return ["tuple" if isinstance(value, tuple) else "list", [_told(each) for each in value]]
    if isinstance(value, dict):
        return ["dict", [[_told(key), _told(each)] for key, each in value.items()]]
    raise TypeError(f"{type(value).__name__} is no data; override snapshot and restore")


def _built(told: Any, classes: dict[str, type]) -> Any:
    if not isinstance(told, list):
        return told
    kind, *rest = told
    if kind in ("array", "scalar"):
        name, shape, raw = rest
        dtype = EVENT if name == "event" else np.dtype(name)
        array = np.frombuffer(raw, dtype).reshape(shape).copy()
        return array if kind == "array" else array[()]
    if kind in ("named", "struct"):
        name, fields = rest
        if name not in classes:
            raise ValueError(f"{name} is none of its classes")
        return _instance(
            classes[name], {key: _built(each, classes) for key, each in fields.items()}
        )
    (parts,) = rest
    if kind == "dict":
        return dict(_pairs(parts, classes))
    return {"tuple": tuple, "list": list}[kind](_built(each, classes) for each in parts)


def _pairs(parts: list[Any], classes: dict[str, type]) -> Iterator[tuple[Any, Any]]:
    for key, each in parts:
        yield _built(key, classes), _built(each, classes)


def _instance(kind: type, fields: dict[str, Any]) -> Any:
    known = getattr(kind, "_fields", None) or kind.__struct_fields__  # type: ignore[attr-defined]
    if set(known) != set(fields):
        raise ValueError(f"{kind.__name__} has other fields now; it is of another version")
    return kind(**fields)

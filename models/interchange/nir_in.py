"""Reading a file of NIR: HDF5 with a graph, its arrays, and sometimes its time step.

The package `nir` reads it. It makes nothing but its own dataclasses of the types that it knows, so
a file can run nothing. The graph is brought into the form of `models.interchange.network`: graphs
within graphs are taken apart, what they called ``node`` is then ``graph.node``.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.checkpoint import from_checkpoint
from models.choices import offer
from models.errors import ModelError
from models.interchange.network import Probe, identifier
from models.interchange.nodes import ARRAYS, NUMBERS
from models.interchange.scheme import ORIGINS, TIMED, Scheme
from models.network import Network

__all__ = ["Imported", "read"]

_LARGEST = 1 << 32
"""Bytes of all arrays: compressed, a small file can claim any number of them."""


class Imported(NamedTuple):
    """A network from a file."""

    network: Network[Any]
    window_us: int | None
    """Length of a step, µs; None where the file's time step is not one of real time."""


class _Read(NamedTuple):
    nodes: dict[str, dict[str, Any]]
    edges: list[tuple[str, str]]
    arrays: dict[str, NDArray[Any]]
    dt_s: float | None


def read(path: str | Path, options: Mapping[str, Any]) -> Imported:
    """Read a graph and build its network.

    Args:
        path: The file.
        options: Of the network (`models.interchange.network.NirNetwork`), and ``origin``: who wrote
            the file, a key of `ORIGINS`. ``classes`` and ``mode`` need not be told.

    Returns:
        The network, in evaluation mode, in the type of its weights.

    Raises:
        ModelError: The package `nir` is not installed; the file is no NIR, or has what cannot be
            run; its time step is not known.
    """
    found, given = _read(Path(path)), dict(options)
    try:
        origin, scheme = _scheme(found, given)
        given |= asdict(scheme)
        given["graph"] = {"nodes": found.nodes, "edges": [list(edge) for edge in found.edges]}
        _tell_frame(found.nodes, given)
        given = {**Probe(**given).found, **given}
        network = from_checkpoint("nir", _tensors(found.arrays), "its arrays", given)
        network.initial_state(1)  # delays must fit the steps
    except (ModelError, TypeError) as error:
        raise ModelError(f"{path}: {error}") from None
    real = ORIGINS[origin].real_time or found.dt_s is not None
    return Imported(network, _whole_us(scheme.dt_s) if real else None)


def _read(path: Path) -> _Read:
    """Read the file.

    Raises:
        ModelError: It cannot be read.
    """
    try:
        import h5py
        import nir
    except ImportError:
        raise ModelError(
            f"{path}: reading NIR needs the package nir; install event-pipeline[interop]"
        ) from None
    try:
        with h5py.File(path) as file:
            _check_size(path, file)
        graph = nir.read(path, type_check=False)
    except ModelError:
        raise
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file; check the path") from None
    except Exception as error:  # the package raises whatever a damaged file makes it stumble over
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(
            f"{path}: must be a graph of NIR in HDF5, but reading it fails ({reason[:200]}); "
            "write it again with nir.write"
        ) from None
    if not isinstance(graph, nir.NIRGraph):
        raise ModelError(f"{path}: must be a graph of NIR, it is a {type(graph).__name__}")
    nodes: dict[str, dict[str, Any]] = {}
    edges: list[tuple[str, str]] = []
    arrays: dict[str, NDArray[Any]] = {}
    _take_apart(path, graph, "", nodes, edges, arrays)
    return _Read(nodes, edges, arrays, _time_step(path, graph))


def _check_size(path: Path, file: Any) -> None:
    """Refuse a file that would not fit into memory."""
    sizes: list[int] = []
    file.visititems(lambda _, item: sizes.append(int(getattr(item, "nbytes", 0))))
    if sum(sizes) > _LARGEST:
        raise ModelError(f"{path}: its arrays are {sum(sizes)} bytes, at most {_LARGEST} are read")


def _take_apart(
    path: Path,
    graph: Any,
    prefix: str,
    nodes: dict[str, dict[str, Any]],
    edges: list[tuple[str, str]],
    arrays: dict[str, NDArray[Any]],
) -> None:
    """Add the nodes of a graph, and of the graphs in it, by their full names."""
    inner: dict[str, tuple[str, str]] = {}
    for name, node in graph.nodes.items():
        kind, full = type(node).__name__, f"{prefix}{name}"
        if kind == "NIRGraph":
            ends = [
                [n for n, of in node.nodes.items() if type(of).__name__ == end] for end in _ENDS
            ]
            if [len(each) for each in ends] != [1, 1]:
                raise ModelError(
                    f"{path}: graph {full!r} must have one input and one output to be run here"
                )
            inner[name] = (f"{full}.{ends[0][0]}", f"{full}.{ends[1][0]}")
            _take_apart(path, node, f"{full}.", nodes, edges, arrays)
            continue
        if kind not in ARRAYS and kind not in _ENDS:
            raise ModelError(
                f"{path}: node {full!r}: type {kind} is not supported; those that are: "
                f"{', '.join([*ARRAYS, 'NIRGraph'])}"
            )
        nodes[full] = {"type": kind}
        for array in ARRAYS.get(kind, ()):
            value = np.asarray(getattr(node, array))
            nodes[full][array] = [*value.shape]
            arrays[f"nodes.{identifier(full)}.{array}"] = value
        nodes[full] |= {number: _plain(getattr(node, number)) for number in NUMBERS.get(kind, ())}
        shape = node.input_type.get("input") if kind == "Input" else None
        after = [type(graph.nodes.get(b)).__name__ for a, b in graph.edges if a == name]
        if shape is not None and len(np.atleast_1d(shape)):
            nodes[full]["shape"] = _without_batch(np.atleast_1d(shape).astype(int).tolist(), after)
    for a, b in graph.edges:
        edges.append((inner.get(a, ("", f"{prefix}{a}"))[1], inner.get(b, (f"{prefix}{b}",))[0]))
    for into, out in inner.values():
        for port in (into, out):
            _splice(port, nodes, edges)


_ENDS = ("Input", "Output")


def _without_batch(shape: list[int], after: list[str]) -> list[int]:
    """Return the shape of an input without the batch of one that norse's exporter leaves there."""
    if shape[0] == 1 and (len(shape) == 4 or (len(shape) == 2 and "Conv1d" not in after)):
        return shape[1:]
    return shape


def _splice(port: str, nodes: dict[str, dict[str, Any]], edges: list[tuple[str, str]]) -> None:
    """Take the end of an inner graph out, joining what comes to it with what it goes to."""
    before = [a for a, b in edges if b == port]
    after = [b for a, b in edges if a == port]
    edges[:] = [edge for edge in edges if port not in edge]
    edges += [(a, b) for a in before for b in after]
    del nodes[port]


def _plain(value: Any) -> Any:
    """Return a number, a list of them or a text, as JSON has them."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else np.asarray(value).tolist()


def _time_step(path: Path, graph: Any) -> float | None:
    """Return the ``dt`` of the metadata of a graph, s."""
    told = graph.metadata.get("dt")
    if told is None:
        return None
    value = np.asarray(told)
    if value.size != 1 or value.dtype.kind not in "iuf" or not 0 < float(value.item()) < np.inf:
        raise ModelError(f"{path}: metadata dt must be a number of seconds above 0, got {value}")
    return float(value.item())


def _scheme(found: _Read, given: dict[str, Any]) -> tuple[str, Scheme]:
    """Take who wrote the file, and what is told otherwise, out of the options."""
    timed = sorted({node["type"] for node in found.nodes.values()} & TIMED)
    named = given.pop("origin", None)
    if named is not None and named not in ORIGINS:
        raise ModelError(f"origin: unknown {named!r}; {offer(str(named), ORIGINS)}")
    fields: dict[str, Any] = {name: given.pop(name) for name in asdict(Scheme()) if name in given}
    if timed and found.dt_s is None and named in (None, "nir") and "dt_s" not in fields:
        raise ModelError(
            f"does not say its time step, which {', '.join(timed)} need; say who wrote it, "
            f"--option origin=NAME ({', '.join(name for name in ORIGINS if name != 'nir')}), or "
            "the step, --option dt_s=SECONDS"
        )
    if found.dt_s is not None and fields.get("dt_s", found.dt_s) != found.dt_s:
        raise ModelError(
            f"its time step is {found.dt_s:g} s, but dt_s = {fields['dt_s']:g}; leave dt_s out"
        )
    origin = named or "nir"
    if found.dt_s is not None:
        fields["dt_s"] = found.dt_s
    return origin, replace(ORIGINS[origin].scheme, **fields)


def _tell_frame(nodes: Mapping[str, Any], given: dict[str, Any]) -> None:
    """Add the shape of a frame to the options, where the graph's input has that of one.

    Raises:
        ModelError: It has not, and nobody tells it.
    """
    if "size" in given and "input_channels" in given:
        return
    shape = next((n.get("shape") for n in nodes.values() if n["type"] == "Input"), None)
    if shape is None or len(shape) != 3:
        what = "no shape" if shape is None else f"shape {tuple(shape)}"
        raise ModelError(
            f"its input has {what}, which is no frame; say --option input_channels=2 "
            "--option 'size=[HEIGHT, WIDTH]'"
        )
    given.setdefault("input_channels", shape[0])
    given.setdefault("size", shape[1:])


def _tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    """Return the arrays in one type: that of the weights, which are where the numbers come from."""
    weights = [a.dtype for name, a in arrays.items() if name.endswith((".weight", ".bias"))]
    dtype = np.result_type(np.float32, *(weights or [a.dtype for a in arrays.values()]))
    kept = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)
    return {name: torch.from_numpy(np.array(array, kept)) for name, array in arrays.items()}


def _whole_us(dt_s: float) -> int | None:
    """Return a step as whole µs, None where it is none."""
    us = round(dt_s * 1e6)
    return us if us >= 1 and abs(dt_s * 1e6 - us) < 1e-3 else None

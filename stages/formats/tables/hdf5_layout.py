"""Where in an HDF5 file events are, and what else it says about them.

Known are groups that hold a column each for t, x, y and p under these or similar names (DSEC's
``events/{t,x,y,p}``, RPG's ``events/{ts,xs,ys,ps}``, ``raw_events``, MATLAB 7.3), tables with such
fields (Prophesee's ``CD/events``) and n×4 numbers (MVSEC's ``davis/left/events``). Only what the
file itself holds is looked at: links to other files are not followed.
"""

from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from stages.formats.tables.columns import PAIRS, columns_of_names, sensor_size

if TYPE_CHECKING:
    import h5py

__all__ = ["Layout", "attributes", "find_layouts", "refusal_of", "scalar"]

_OBJECTS = 10_000
_FILTERS = {
    36559: (
        "ECF of Prophesee",
        "install the plug-in hdf5_ecf (github.com/prophesee-ai/hdf5_ecf) and let HDF5_PLUGIN_PATH"
        " name its folder",
    ),
    307: ("bzip2", "pip install hdf5plugin"),
    32001: ("Blosc", "pip install hdf5plugin"),
    32004: ("LZ4", "pip install hdf5plugin"),
    32008: ("bitshuffle", "pip install hdf5plugin"),
    32015: ("Zstandard", "pip install hdf5plugin"),
    32026: ("Blosc2", "pip install hdf5plugin"),
}


@dataclass(frozen=True)
class Layout:
    """One stream of events.

    Attributes:
        name: its path in the file.
        columns: names of the datasets for t, x, y and p; None for a table.
        datasets: the datasets: four columns, or one table.
        size: (height, width) where attributes or values beside it say so.
    """

    name: str
    columns: dict[str, str] | None
    datasets: "tuple[h5py.Dataset, ...]"
    size: tuple[int, int] | None


def find_layouts(file: "h5py.File") -> list[Layout]:
    """Return all streams of events in a file, in its order.

    Raises:
        ValueError: there are too many objects to look through.
    """
    import h5py

    found: list[Layout] = []
    seen = 0

    def visit(name: str, node: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > _OBJECTS:
            raise ValueError(f"it has more than {_OBJECTS} objects")
        if isinstance(node, h5py.Dataset):
            if _is_table(node):
                found.append(Layout(name, None, (node,), _size(file, node.parent, node)))
            return
        # Hard links only: a soft or external one may lead anywhere.
        kinds = {key: node.get(key, getlink=True) for key in node}
        sets = {key: node[key] for key, kind in kinds.items() if isinstance(kind, h5py.HardLink)}
        lines = {key: item for key, item in sets.items() if _is_line(item)}
        columns = columns_of_names(lines)
        if columns is not None:
            four = tuple(lines[columns[column]] for column in "txyp")
            found.append(Layout(name or "/", columns, four, _size(file, node, four[0])))

    visit("", file)
    file.visititems(visit)
    return found


def _is_line(item: Any) -> bool:
    """Whether it is a column of numbers; MATLAB's have a second side of 1."""
    import h5py

    return (
        isinstance(item, h5py.Dataset)
        and item.dtype.kind in "iufb"
        and (len(item.shape or ()) == 1 or (len(item.shape or ()) == 2 and 1 in item.shape))
    )


def _is_table(item: "h5py.Dataset") -> bool:
    shape: tuple[int, ...] = item.shape or ()
    if item.dtype.names is not None:
        return len(shape) == 1 and columns_of_names(item.dtype.names) is not None
    return len(shape) == 2 and shape[1] == 4 and item.dtype.kind in "iuf"


def _size(*nodes: Any) -> tuple[int, int] | None:
    """Attributes of the nodes, and small values in the groups; the innermost counts."""
    import h5py

    values: dict[str, Any] = {}
    for node in nodes:
        if isinstance(node, h5py.Group):
            for name in ("width", "height", "resolution", "calib/resolution"):
                found = scalar(node, name)
                if found is not None:
                    values[name.rpartition("/")[2]] = found
        values.update(attributes(node))
    return sensor_size(values)


def attributes(node: Any) -> dict[str, Any]:
    """Return what is said of a node, by name.

    Of attributes of variable length only those that may tell the sensor's size: in a damaged file
    libhdf5 may read one for ever.
    """
    names = list(node.attrs)[:64]
    fixed = {key: node.attrs.get_id(key).dtype.kind != "O" for key in names}
    return {key: node.attrs[key] for key in names if fixed[key] or key.lower() in PAIRS}


def scalar(group: "h5py.Group", name: str) -> Any:
    """Return a dataset of one or two values, None where there is none."""
    import h5py

    item = group.get(name)
    if isinstance(item, h5py.Dataset) and item.size in (1, 2):
        return item[()]
    return None


def refusal_of(dataset: "h5py.Dataset") -> str | None:
    """Return why a dataset cannot be read here, None if it can."""
    import h5py

    if dataset.is_virtual or dataset.external:
        return f"keeps its events ({dataset.name}) in other files; read those, or copy them in"

    pipeline = dataset.id.get_create_plist()
    numbers = [pipeline.get_filter(k)[0] for k in range(pipeline.get_nfilters())]
    lacking = [number for number in numbers if not h5py.h5z.filter_avail(number)]
    if lacking:
        # It brings most of them, and needs but to be imported.
        with suppress(ImportError):
            import_module("hdf5plugin")
        lacking = [number for number in lacking if not h5py.h5z.filter_avail(number)]
    if not lacking:
        return None
    name, remedy = _FILTERS.get(lacking[0], ("of no known name", "install its plug-in"))
    return f"is compressed with HDF5 filter {lacking[0]} ({name}), which is not there; {remedy}"

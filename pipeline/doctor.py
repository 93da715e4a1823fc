"""What a pipeline needs of the machine it runs on, looked at before anything is run.

Each check returns what it found, whether that is good, and what to do if not. ``warn`` is what one
can do without: a camera's driver, a roomier limit. ``fail`` is what some run will fail of.
"""

import importlib
import os
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from pipeline.errors import PipelineError

__all__ = ["CHECKS", "Finding", "State", "examine"]

State = Literal["ok", "warn", "fail"]

_PACKAGE = "event-pipeline"
_USB = Path("/sys/bus/usb/devices")
_CAMERAS = {
    "152a": "an iniVation camera",
    "04b4:00f4": "a Prophesee camera",
    "04b4:00f5": "a Prophesee camera",
    "31f7": "a Prophesee camera",
}
"""USB vendors, or vendors and products, of event cameras: those that the drivers know."""
_CAN_BE_OPENED = "can be opened"
_SDK = ("lyngor", "pylynchipsdk")
_ROOM_BYTES = 1 << 30
_SHARED_BYTES = 64 << 20
_FILES = 1024
_PARTS = re.compile(r"; (?![^(]*\))")
"""Parts a problem from its remedies."""
_FILES_REMEDY = f"ulimit -n {_FILES}, or LimitNOFILE in the service's unit"


class Finding(NamedTuple):
    """What a check found."""

    what: str
    state: State
    said: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Yield all findings; one check that fails itself does not hide the others."""
    for name, check in CHECKS.items():
        try:
            yield from check()
        except Exception as error:  # a driver or a library may do anything
            yield Finding(name, "fail", f"{type(error).__name__}: {error}", "install it again")


def _python() -> Iterator[Finding]:
    said = f"{sys.version.split()[0]}, {sys.executable}"
    least = str(metadata(_PACKAGE).json.get("requires_python") or "").removeprefix(">=")
    if least and sys.version_info[:2] < _numbers(least):
        yield Finding("python", "fail", said, f"install Python {least} or newer")
    else:
        yield Finding("python", "ok", said)


def _packages() -> Iterator[Finding]:
    """Hold what is installed to what the package asks for.

    An extra is missed only where it is there in part: where nothing of it is, nobody asked for it.
    """
    missing: dict[str, list[str]] = {}
    there: set[str] = set()
    sound = 0
    for text in requires(_PACKAGE) or ():
        found = re.match(r'([\w.-]+)(?:\[.*?\])?(?:>=([\d.]+))?(?:.*extra == "(\w+)")?', text)
        assert found is not None
        name, least, extra = found.groups(default="")
        if extra in ("dev", "docs"):
            continue
        try:
            has = version(name)
        except PackageNotFoundError:
            if name not in missing.setdefault(extra, []):
                missing[extra].append(name)
            continue
        there.add(extra)
        if least and _numbers(has) < _numbers(least):
            remedy = f"pip install '{name}>={least}'"
            yield Finding("packages", "fail", f"{name} {has} is older than {least}", remedy)
        else:
            sound += 1
    if names := missing.pop("", []):
        yield Finding("packages", "fail", f"missing: {', '.join(names)}", f"pip install {_PACKAGE}")
    if parts := {extra: names for extra, names in missing.items() if extra in there}:
        said = ", ".join(f"{', '.join(names)} ({extra})" for extra, names in parts.items())
        remedy = f"pip install '{_PACKAGE}[{','.join(parts)}]', where they are needed"
        yield Finding("packages", "warn", f"missing: {said}", remedy)
    said = f"{_PACKAGE} {version(_PACKAGE)}, {sound} as they must be"
    if unasked := [extra for extra in missing if extra not in there]:
        said += f"; extras that are not installed: {', '.join(unasked)}"
    yield Finding("packages", "ok", said)


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _usb(devices: Path = _USB, nodes: Path = Path("/dev/bus/usb")) -> Iterator[Finding]:
    """Look whether event cameras are plugged in that this user may not open."""
    if not devices.is_dir():
        yield Finding(
            "usb",
            "warn",
            "this machine has no USB",
            "where a camera is to be plugged in, give a container --device /dev/bus/usb",
        )
        return
    found = 0
    for device in sorted(devices.iterdir()):
        try:
            vendor, product, bus, number = (
                (device / name).read_text().strip()
                for name in ("idVendor", "idProduct", "busnum", "devnum")
            )
        except OSError:
            continue  # an interface or a hub's port
        kind = _CAMERAS.get(vendor) or _CAMERAS.get(f"{vendor}:{product}")
        if kind is None:
            continue
        found += 1
        node = nodes / f"{int(bus):03}" / f"{int(number):03}"
        said = f"{kind} ({vendor}:{product}) at {node}"
        if os.access(node, os.R_OK | os.W_OK):
            yield Finding("usb", "ok", f"{said} {_CAN_BE_OPENED}")
        else:
            yield Finding("usb", "fail", f"{said} cannot be opened by this user", _rule(vendor))
    if not found:
        yield Finding("usb", "ok", "no event camera is plugged in")


def _rule(vendor: str) -> str:
    rule = f'SUBSYSTEM=="usb", ATTRS{{idVendor}}=="{vendor}", MODE="0660", TAG+="uaccess"'
    return (
        f"put the line {rule} into /etc/udev/rules.d/65-event-camera.rules, then: sudo udevadm"
        " control --reload && sudo udevadm trigger; and plug the camera in again"
    )


def _cameras(devices: Path = _USB) -> Iterator[Finding]:
    """Look with the drivers, and say what `_usb` did not.

    What keeps a driver from looking matters where there is something to be seen.
    """
    usb = [*_usb(devices)]
    denied = any(finding.state == "fail" for finding in usb)
    plugged_in = denied or any(finding.said.endswith(_CAN_BE_OPENED) for finding in usb)
    found = importlib.import_module("stages.sources.cameras").connected_cameras()
    for camera in found.cameras:
        name = f"{camera.model} {camera.serial}".rstrip()
        if not camera.problem:
            yield Finding("cameras", "ok", f'{name}: use = "{camera.use}"')
        elif not denied:
            said = f"{name}: cannot be opened: {camera.problem}"
            yield Finding("cameras", "fail", said, "close other programs that use it")
    problems: dict[str, list[str]] = {}
    for problem in found.problems if plugged_in else ():
        said, *remedies = _PARTS.split(problem)
        problems.setdefault("; ".join(remedies), []).append(said)
    for remedy, causes in problems.items():
        yield Finding("cameras", "warn", "; ".join(causes), remedy)
    if plugged_in and found.looked and not found.cameras:
        yield Finding("cameras", "ok", f"{' and '.join(found.looked)} can look, and find none")


def _torch() -> Iterator[Finding]:
    import torch

    said = f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    count = torch.cuda.device_count()
    names = ", ".join(torch.cuda.get_device_name(number) for number in range(count))
    yield Finding("torch", "ok", f"{said}; GPU: {names or 'none, networks run on the processor'}")


def _ka200() -> Iterator[Finding]:
    there = [name for name in _SDK if find_spec(name) is not None]
    if not there:
        yield Finding("ka200", "ok", "Lynxi's SDK is not installed; only its chips need it")
    elif len(there) < len(_SDK):
        (other,) = set(_SDK) - {*there}
        said = f"Lynxi's SDK has {there[0]}, but no {other}"
        yield Finding("ka200", "warn", said, "install the whole SDK into this Python")
    else:
        yield Finding("ka200", "ok", f"Lynxi's SDK: {' and '.join(there)}")


def _folders() -> Iterator[Finding]:
    """Look at the folders that every run writes to."""
    from pipeline.kernel_cache import kernel_cache
    from pipeline.run.folder import live_runs

    runtime = os.environ.get("XDG_RUNTIME_DIR")
    where = "XDG_RUNTIME_DIR" if runtime else "the folder for temporary files"
    try:
        count = len(live_runs())
        yield Finding("sockets", "ok", f"in {where}; runs going on: {count}")
    except PipelineError as error:
        said, *remedies = _PARTS.split(str(error))
        yield Finding("sockets", "fail", said, "; ".join(remedies))
    for what, folder in (("temporary", Path(tempfile.gettempdir())), ("here", Path.cwd())):
        yield _room(what, folder)
    kernels = kernel_cache()
    if kernels is None:
        said = "compiled kernels can be kept nowhere, so that each run waits for them"
        yield Finding("kernels", "warn", said, "set NUMBA_CACHE_DIR to a folder of yours")
    else:
        yield Finding("kernels", "ok", f"kept in {kernels}")


def _room(what: str, folder: Path) -> Finding:
    if not os.access(folder, os.W_OK):
        return Finding(what, "fail", f"{folder} cannot be written", "choose a folder of yours")
    free = shutil.disk_usage(folder).free
    said = f"{folder}: {free / 1e9:.1f} GB free"
    if free < _ROOM_BYTES:
        return Finding(what, "warn", said, "make room: recordings and checkpoints are written")
    return Finding(what, "ok", said)


def _limits(shared: Path = Path("/dev/shm")) -> Iterator[Finding]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = f"{files} open files a process"
    if files != resource.RLIM_INFINITY and files < _FILES:
        yield Finding("limits", "warn", said, _FILES_REMEDY)
    else:
        yield Finding("limits", "ok", said)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("limits", "ok", f"{cores} cores")
    if not os.access(shared, os.W_OK):
        said, remedy = f"{shared} cannot be written", "training in processes needs it: mount it"
        yield Finding("memory", "warn", said, remedy)
        return
    free = shutil.disk_usage(shared).free
    if free < _SHARED_BYTES:
        said = f"{shared}: {free / 1e6:.0f} MB of shared memory free"
        yield Finding("memory", "warn", said, "give a container --shm-size=1g")
    else:
        yield Finding("memory", "ok", f"{free / 1e6:,.0f} MB of shared memory free")


def _queues() -> Iterator[Finding]:
    import zmq

    said = f"ZeroMQ {zmq.zmq_version()}, pyzmq {zmq.pyzmq_version()}"
    missing = [what for what in ("curve", "ipc") if not zmq.has(what)]
    if missing:
        said += f", built without {' and '.join(missing)}"
        yield Finding("queues", "fail", said, "pip install --force-reinstall pyzmq")
    else:
        yield Finding("queues", "ok", said)


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "python": _python,
    "packages": _packages,
    "queues": _queues,
    "folders": _folders,
    "limits": _limits,
    "usb": _usb,
    "cameras": _cameras,
    "torch": _torch,
    "ka200": _ka200,
}
"""Each check by its name, in order."""

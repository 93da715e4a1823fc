"""Which cameras are connected, and by which source each is used."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = [
    "Camera",
    "Found",
    "connected_cameras",
    "dv_cameras",
    "dv_driver",
    "first_line",
    "neuromorphic_cameras",
    "neuromorphic_driver",
    "not_there",
    "serial_of",
]


_USB = (
    "; check that this user may use USB devices; a container must be given them, as with docker"
    " run --device=/dev/bus/usb"
)


class Camera(NamedTuple):
    """A connected camera."""

    use: str
    """The source that reads it."""
    model: str
    serial: str
    """Empty where it cannot be read."""
    connection: str
    """Where and how it is connected, as far as the driver says."""
    problem: str = ""
    """Why it cannot be opened."""


class Found(NamedTuple):
    """What a look around gave."""

    cameras: list[Camera]
    problems: list[str]
    """Why some might have been missed, with a remedy."""


def dv_driver() -> Any:
    """Return dv-processing's module of cameras."""
    import dv_processing

    return dv_processing.io.camera


def neuromorphic_driver() -> Any:
    """Return the package neuromorphic-drivers.

    Raises:
        ImportError: it is not installed.
    """
    import neuromorphic_drivers

    return neuromorphic_drivers


def dv_cameras(driver: Any) -> list[Camera]:
    """List iniVation's cameras."""
    return [
        Camera(
            use="dv_camera",
            model=each.cameraModel.name,
            serial=each.serialNumber,
            connection=f"USB bus {each.busNumber} device {each.devAddress}",
        )
        for each in driver.discover()
    ]


def neuromorphic_cameras(driver: Any) -> list[Camera]:
    """List Prophesee's and other cameras.

    Raises:
        RuntimeError: the driver cannot look at this machine's USB.
    """
    return [
        Camera(
            use="neuromorphic_camera",
            model=each.name.value,
            serial=each.serial or "",
            connection=f"{each.connection.value}, {each.address}",
            problem=each.error or "",
        )
        for each in driver.list_devices()
    ]


def connected_cameras(
    dv: Callable[[], Any] = dv_driver, neuromorphic: Callable[[], Any] = neuromorphic_driver
) -> Found:
    """Look for cameras with every driver that is installed.

    A camera that both can read is listed once, for dv-processing.
    """
    cameras, problems = [], []
    try:
        cameras = dv_cameras(dv())
    except ImportError as error:
        problems.append(
            f"dv-processing cannot look for cameras: {first_line(error)}; install event-pipeline"
            " again"
        )
    except RuntimeError as error:
        problems.append(f"dv-processing cannot look for cameras: {first_line(error)}{_USB}")
    known = {camera.serial for camera in cameras}
    try:
        others = neuromorphic_cameras(neuromorphic())
    except ImportError:
        problems.append(
            "Prophesee's and other cameras need neuromorphic-drivers;"
            " install event-pipeline[prophesee]"
        )
    except RuntimeError as error:
        problems.append(f"neuromorphic-drivers cannot look for cameras: {first_line(error)}{_USB}")
    else:
        cameras += [camera for camera in others if not camera.serial or camera.serial not in known]
    return Found(cameras, problems)


def serial_of(cameras: Sequence[Camera], wanted: str | None) -> str | None:
    """Return the serial number of the camera that is wanted, None if it is not there.

    Args:
        cameras: those connected.
        wanted: a serial number, or a name that ends in one as ``DVXplorer_DXA00093`` does; the
            first camera when None.
    """
    for camera in cameras:
        if wanted is None or wanted == camera.serial or wanted.endswith(f"_{camera.serial}"):
            return camera.serial
    return None


def not_there(kind: str, wanted: str | None, cameras: Sequence[Camera]) -> str:
    """Say what was looked for, what is connected, and what to do."""
    what = f"{kind} {wanted!r}" if wanted else kind
    others = ", ".join(f"{camera.model} {camera.serial}".strip() for camera in cameras)
    if others:
        return f"no {what} is connected, there is {others}; choose its serial"
    return f"no {what} is connected; plug it in, or set wait = true (see pipeline cameras)"


def first_line(error: Exception) -> str:
    """Return what an error of a driver says, without the C++ around it."""
    lines = [line.removeprefix("RuntimeError: ").strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("/", "Stacktrace", "#"))]
    return said[0] if said else type(error).__name__

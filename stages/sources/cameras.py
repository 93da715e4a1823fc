"""Which cameras are connected, and by which source each is used."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pipeline.errors import DeviceError
from stages.sources.capture import NotThere

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
    "usb_problem",
]

_UNSAID = "Other error"
"""What libusb says, for one, where a machine or a container has no USB at all."""


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
    looked: list[str]
    """The drivers that could look."""
    problems: list[str]
    """Why some cameras might have been missed, with a remedy."""


def dv_driver() -> Any:
    """Return dv-processing's module of cameras.

    Raises:
        DeviceError: it cannot be loaded.
    """
    try:
        import dv_processing
    except ImportError as error:
        raise DeviceError(
            f"dv-processing cannot be loaded: {first_line(error)}; install event-pipeline again"
        ) from None
    return dv_processing.io.camera


def neuromorphic_driver() -> Any:
    """Return the package neuromorphic-drivers.

    Raises:
        DeviceError: it is not installed.
    """
    try:
        import neuromorphic_drivers
    except ImportError as error:
        raise DeviceError(
            f"neuromorphic-drivers cannot be loaded: {first_line(error)}; install it"
            " with: pip install neuromorphic-drivers"
        ) from None
    return neuromorphic_drivers


def dv_cameras(driver: Any) -> list[Camera]:
    """List iniVation's cameras.

    Raises:
        NotThere: the driver cannot look at this machine's USB.
    """
    try:
        found = driver.discover()
    except RuntimeError as error:
        raise NotThere(usb_problem("dv-processing", error)) from None
    return [
        Camera(
            use="dv_camera",
            model=each.cameraModel.name,
            serial=each.serialNumber,
            connection=f"USB bus {each.busNumber} device {each.devAddress}",
        )
        for each in found
    ]


def neuromorphic_cameras(driver: Any) -> list[Camera]:
    """List Prophesee's and other cameras.

    Raises:
        NotThere: the driver cannot look at this machine's USB.
    """
    try:
        found = driver.list_devices()
    except RuntimeError as error:
        raise NotThere(usb_problem("neuromorphic-drivers", error)) from None
    return [
        Camera(
            use="neuromorphic_camera",
            model=each.name.value,
            serial=each.serial or "",
            connection=f"{each.connection.value}, {each.address}",
            problem=each.error or "",
        )
        for each in found
    ]


def connected_cameras(
    dv: Callable[[], Any] = dv_driver, neuromorphic: Callable[[], Any] = neuromorphic_driver
) -> Found:
    """Look for cameras with every driver that is installed.

    A camera that both can read is listed once, for dv-processing.
    """
    cameras, looked, problems = list[Camera](), list[str](), list[str]()
    for name, driver, listed in (
        ("dv-processing", dv, dv_cameras),
        ("neuromorphic-drivers", neuromorphic, neuromorphic_cameras),
    ):
        known = {camera.serial for camera in cameras if camera.serial}
        try:
            cameras += [camera for camera in listed(driver()) if camera.serial not in known]
            looked.append(name)
        except DeviceError as error:
            problems.append(str(error))
    return Found(cameras, looked, problems)


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


def not_there(kind: str, wanted: str | None, cameras: Sequence[Camera]) -> NotThere:
    """Return the error that says what was looked for, what is connected, and what to do."""
    what = f"{kind} {wanted!r}" if wanted else kind
    others = ", ".join(f"{camera.model} {camera.serial}".strip() for camera in cameras)
    if others:
        return NotThere(f"no {what} is connected, there is {others}; choose its serial")
    return NotThere(f"no {what} is connected (see pipeline cameras); plug it in")


def usb_problem(driver: str, error: Exception) -> str:
    """Say that a driver cannot look at this machine's USB devices, and what to do."""
    said = first_line(error)
    explained = " (libusb says no more; often there is no USB at all)" if said == _UNSAID else ""
    return (
        f"{driver} cannot look for cameras: {said}{explained}; check that this user may use USB"
        " devices; a container must be given them, as with docker run --device=/dev/bus/usb"
    )


def first_line(error: Exception) -> str:
    """Return what an error of a driver says, without the C++ around it."""
    lines = [line.removeprefix("RuntimeError: ").strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("/", "Stacktrace", "#"))]
    return said[0] if said else type(error).__name__

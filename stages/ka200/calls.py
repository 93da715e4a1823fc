"""Calls into Lynxi's runtime, ``pylynchipsdk``: what each returned is looked at, every time.

Every call returns an error code, alone or as the last of a tuple; 0 is success. What the codes mean
is not published, so an error tells the call, its code, and what is usually wrong there.
"""

from importlib import import_module
from typing import Any

from pipeline.errors import ConfigError, DeviceError

__all__ = ["Calls"]

_REMEDIES = {
    "lyn_get_device_count": "check that the driver is loaded and that you may open the device",
    "lyn_create_context": "check that no other program has the device to itself",
    "lyn_load_model": "compile the network again, for the version of this driver",
    "lyn_model_get_desc": "compile the network again, for the version of this driver",
    "lyn_malloc": "end other programs that fill the chip's memory, or choose another device",
}
_DRIVER = "look at the driver's log, and reset the device if it happens again"


class Calls:
    """The runtime, with its errors as exceptions.

    Args:
        device: Number of the device, for messages.

    Raises:
        ConfigError: the runtime is not installed.
    """

    def __init__(self, device: int) -> None:
        try:
            # It comes with the driver, and for one version of Python: either may be missing.
            self._sdk: Any = import_module("pylynchipsdk")
        except ImportError as error:
            raise ConfigError(
                f'backend = "chip" needs Lynxi\'s runtime pylynchipsdk ({error}); install it from'
                ' the package of the driver, or set backend = "emulator"'
            ) from None
        self.device = device

    def __call__(self, name: str, *arguments: Any) -> Any:
        """Call a function by name; return what it gives beside its error code.

        Raises:
            DeviceError: it failed, or the runtime does not have it.
        """
        answer = self.plain(name, *arguments)
        *given, code = answer if isinstance(answer, tuple) else (answer,)
        if code != 0:
            remedy = _REMEDIES.get(name, _DRIVER)
            raise DeviceError(f"{self._where}: {name} returned error {code}; {remedy}")
        return given[0] if given else None

    def plain(self, name: str, *arguments: Any) -> Any:
        """Call one of the few functions that return no error code.

        Raises:
            DeviceError: it failed, or the runtime does not have it.
        """
        try:
            return getattr(self._sdk, name)(*arguments)
        except Exception as error:  # foreign code, which may raise anything
            raise DeviceError(f"{self._where}: {name} failed: {error}; {_DRIVER}") from error

    def direction(self, name: str) -> Any:
        """Return the direction of a copy, ``ClientToServer`` or back.

        Raises:
            DeviceError: the runtime does not have it.
        """
        try:
            return getattr(self._sdk.lyn_memcpy_dir_t, name)
        except AttributeError as error:
            raise self.unknown(error) from None

    def data_type(self, value: Any) -> str:
        """Return the name of a data type, such as ``DT_UINT8``."""
        kinds = self._sdk.lyn_data_type_t
        names = [name for name in dir(kinds) if name.startswith("DT_")]
        return next((name for name in names if getattr(kinds, name) == value), str(value))

    def unknown(self, error: Exception) -> DeviceError:
        """Return the error of a runtime that is not as this stage knows it."""
        return DeviceError(
            f"{self._where}: pylynchipsdk is not as it was when this stage was written ({error});"
            " install a version with what Lynxi's public samples call"
        )

    def fault(self, code: object) -> DeviceError:
        """Return the error of what the driver reported by itself."""
        return DeviceError(f"{self._where}: the driver reported error {code}; {_DRIVER}")

    def silence(self, timeout_s: float) -> DeviceError:
        """Return the error of a chip that does not answer."""
        return DeviceError(
            f"{self._where}: the chip did not answer within {timeout_s:g} s; {_DRIVER}, or set a"
            " larger timeout_s"
        )

    @property
    def _where(self) -> str:
        return f"KA200 device {self.device}"

"""OpenCV, which reads pictures and videos: an optional package, imported where it is needed."""

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from pipeline.errors import ConfigError
from pipeline.stage import PortError

__all__ = ["import_opencv", "require_opencv"]

_MISSING = 'needs OpenCV, which is not installed; install it: pip install "event-pipeline[video]"'


def require_opencv(what: str) -> None:
    """Refuse, in `pipeline check` and without importing it, what cannot run without OpenCV.

    Args:
        what: the name of the stage.

    Raises:
        PortError: it is not installed.
    """
    if find_spec("cv2") is None:
        raise PortError("use", f"{what} {_MISSING}")


def import_opencv(what: str) -> ModuleType:
    """Return the module, told to be silent: what it cannot read is said by whoever called it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        cv2 = import_module("cv2")
    except ImportError:
        raise ConfigError(f"{what} {_MISSING}") from None
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # FFmpeg's own log, which goes to the terminal; asked for once, when the first video is opened.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    return cv2

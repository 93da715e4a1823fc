"""RGB-gesture: people perform the gestures of DVS128 Gesture before an ordinary camera.

Videos in class folders. A file name that begins with ``userNN`` says who performs.
"""

import re
from pathlib import Path
from typing import Any, ClassVar

from models.simulation import GESTURES
from stages.datasets.class_folders import ClassFolders
from stages.datasets.data_set import Origin
from stages.sources.clip_files import VIDEOS

__all__ = ["RgbGesture"]


class RgbGesture(ClassFolders):
    """RGB-gesture; each person is a group."""

    name = "rgb_gesture"
    endings = VIDEOS
    first = "hand clapping"
    classes = GESTURES
    origin: ClassVar[Origin] = Origin(
        title="RGB-gesture",
        publisher="Lynxi, who made it for BIDL and published no videos of it; or film your own",
        licence="to be asked for",
        layout="a folder for each gesture with its videos",
    )

    def source(self, path: Path) -> dict[str, Any]:
        """Play the video in grey."""
        return {"use": "video", "path": str(path), "colour": "grey"}

    def group(self, path: Path) -> str:
        """Return the person, if the name tells; else each video is its own."""
        person = re.match(r"user\d+", path.name)
        return person[0] if person else super().group(path)

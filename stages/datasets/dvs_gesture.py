"""DVS128 Gesture: people perform eleven gestures before a DVS128.

``userNN_LIGHT.aedat`` (AEDAT 3.1) with ``userNN_LIGHT_labels.csv``, and two lists of recordings:
``trials_to_train.txt`` and ``trials_to_test.txt``. Where tonic keeps its own copy, cut into single
gestures, that is read through tonic. Source: Amir et al., "A Low Power, Fully Event-Based Gesture
Recognition System", CVPR 2017.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from models.simulation import GESTURES
from pipeline.errors import ConfigError
from stages.datasets.data_set import DataSet, Item, Origin, Part
from stages.datasets.labels import labels_path, read_labels
from stages.datasets.tree import folders_in
from stages.natural import natural
from stages.sources.text_file import read_rows

__all__ = ["DvsGesture"]

_LISTS: dict[str, Part] = {"trials_to_train.txt": "train", "trials_to_test.txt": "test"}
_TONIC: dict[str, Part] = {"ibmGestureTrain": "train", "ibmGestureTest": "test"}


class DvsGesture(DataSet):
    """DVS128 Gesture; each person is a group."""

    name = "dvs_gesture"
    classes = GESTURES
    origin: ClassVar[Origin] = Origin(
        title="DVS128 Gesture (DvsGesture.tar.gz)",
        publisher="IBM Research, research.ibm.com/interactive/dvsgesture",
        licence="CC BY 4.0",
        layout="the recordings, their label files and the two lists trials_to_*.txt",
    )

    def items(self) -> list[Item]:
        """List the labelled stretches of all recordings."""
        tonic = self.folder / "DVSGesture"
        if any((tonic / name).is_dir() for name in _TONIC):
            return [item for name, part in _TONIC.items() for item in _tonic(tonic / name, part)]
        root = self.folder / "DvsGesture"
        root = root if root.is_dir() else self.folder
        return [item for name, part in _LISTS.items() for item in self._listed(root / name, part)]

    def _listed(self, path: Path, part: Part) -> Iterator[Item]:
        if not path.is_file():
            raise self.missing(path)
        for _, (line,) in read_rows(path, "lines"):
            if not line.strip():
                continue
            recording = path.parent / line.strip()
            if not recording.is_file():
                raise ConfigError(
                    f"data.set: {recording} is not there, and {path} lists it; was the archive"
                    " unpacked wholly?"
                )
            for number, label in enumerate(read_labels(labels_path(recording))):
                if label.class_index >= len(self.classes):
                    raise ConfigError(
                        f"data.set: {labels_path(recording)}: class must be 1 to"
                        f" {len(self.classes)}, got {label.class_index + 1}"
                    )
                yield Item(
                    key=f"{recording.name}#{number}",
                    source={"use": "replay", "path": str(recording)},
                    label=label.class_index,
                    group=recording.name.partition("_")[0],
                    part=part,
                    start_us=label.start_us,
                    end_us=label.end_us,
                )


def _tonic(folder: Path, part: Part) -> Iterator[Item]:
    """List tonic's tree: ``userNN_LIGHT/CLASS.npy``, with times in ms."""
    for person in folders_in(folder):
        for path in sorted(person.glob("*.npy"), key=natural):
            yield Item(
                key=f"{person.name}/{path.name}",
                source={"use": "stages.datasets.tonic_gesture:TonicGesture", "path": str(path)},
                label=int(path.stem),
                group=person.name.partition("_")[0],
                part=part,
            )

"""ES-ImageNet: event lists, and lists of labels."""

from pathlib import Path

import numpy as np
import pytest
from trees import listed, prepared

from pipeline.errors import ConfigError

BIN = {"use": "time_bin", "window_us": 1_000, "size": [64, 64]}


def write_pictures(folder: Path, each: int = 2, classes: int = 3) -> Path:
    lines: dict[str, list[str]] = {"train": [], "val": []}
    for part, label in ((part, label) for part in lines for label in range(classes)):
        for number in range(each):
            rng = np.random.default_rng([label, number, len(part)])
            name = f"class{label}/class{label}_{number}.npz"
            (folder / part / f"class{label}").mkdir(parents=True, exist_ok=True)
            pos, neg = (
                np.stack([*rng.integers(17, 240, (2, 200)), np.sort(rng.integers(1, 9, 200))], 1)
                for _ in range(2)
            )
            pos[:8, 2] = range(1, 9)
            np.savez_compressed(folder / part / name, pos=pos.astype("u1"), neg=neg.astype("u1"))
            lines[part].append(f"{name} {label} 254 190")
    for part, listed_lines in lines.items():
        (folder / f"{part}label.txt").write_text("\n".join(listed_lines) + "\n")
    return folder


def test_eight_steps_of_a_ms_each(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "set")
    parts = prepared("es_imagenet", folder, 8, BIN, validation=0.5, class_count=3)
    assert parts.test is not None
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [3, 3, 6]
    frames = parts.train.example(0)
    assert frames.shape == (8, 2, 64, 64)
    assert frames.sum() == 400
    assert frames.any(axis=(1, 2, 3)).all()
    assert parts.train.classes == ("class0", "class1", "class2")


def test_labels_may_be_a_csv_file(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path)
    before = listed("es_imagenet", folder)
    for name in ("trainlabel", "vallabel"):
        rows = (folder / f"{name}.txt").read_text().splitlines()
        (folder / f"{name}.txt").unlink()
        csv = "".join(",".join(row.split()[:2]) + "\n" for row in rows)
        (folder / f"{name}.csv").write_text(csv)
    assert listed("es_imagenet", folder) == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("class0/class0_0.npz", r"line 1 must be FILE CLASS, got 'class0/class0_0\.npz'"),
        ("class0/class0_0.npz 3", r"line 1: class must be 0 to 2, got 3; see data\.class_count"),
        ("class0/none.npz 0 9 9", r"class0/none\.npz is not there, and .*trainlabel\.txt lists it"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    folder = write_pictures(tmp_path)
    (folder / "trainlabel.txt").write_text(line + "\n")
    with pytest.raises(ConfigError, match=message):
        listed("es_imagenet", folder, class_count=3)


def test_a_set_that_is_not_there_says_what_to_get(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"get ES-ImageNet .* lyh983012/ES-imagenet-master"):
        listed("es_imagenet", tmp_path)

"""Sets of pictures that move, or do not: RGB-gesture, Jester, folders of pictures."""

from pathlib import Path

import numpy as np
import pytest
from trees import listed, prepared

from models.simulation import GESTURES
from pipeline.errors import ConfigError
from stages.datasets.jester import Jester

pytest.importorskip("cv2")
from clips import write_pictures, write_video


def grey(value: int) -> np.ndarray:
    return np.full((24, 32, 3), value, np.uint8)


def write_gestures(folder: Path) -> Path:
    for name in GESTURES:
        for person in (1, 2, 3, 4):
            write_video(folder / name.replace(" ", "_") / f"user{person:02d}_lab.avi", frames=6)
    return folder


def test_videos_of_gestures_are_split_by_person(tmp_path: Path) -> None:
    folder = write_gestures(tmp_path / "set")
    difference = {"use": "frame_difference", "threshold": 4}
    parts = prepared("rgb_gesture", folder, 5, difference, validation=0.25)
    assert (len(parts.train), len(parts.validation)) == (33, 11)
    assert len(np.unique(parts.validation.groups)) == 1
    assert parts.train.classes == GESTURES
    assert parts.train.window_us == 40_000
    assert parts.train.example(0).shape == (5, 2, 24, 32)


def test_a_video_of_nobody_known_is_a_group(tmp_path: Path) -> None:
    write_video(tmp_path / "Arm Roll" / "mine.avi", frames=2)
    (item,) = listed("rgb_gesture", tmp_path)
    assert (item.label, item.group) == (7, "Arm Roll/mine.avi")


def write_jester(folder: Path, frames: str = "20bn-jester-v1", labels: str = ".") -> Path:
    (folder / labels).mkdir(parents=True, exist_ok=True)
    number = 0
    for part, count in (("train", 4), ("validation", 2), ("test", 1)):
        lines = []
        for k in range(count):
            number += 1
            shots = [grey(10 * k + shot) for shot in range(1, 21)]
            write_pictures(folder / frames / str(number), shots, ".jpg")
            lines.append(str(number) if part == "test" else f"{number};{Jester.classes[k]}")
        (folder / labels / f"jester-v1-{part}.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_jester_is_sixteen_colour_frames_of_a_video(tmp_path: Path) -> None:
    parts = prepared("jester", write_jester(tmp_path / "set"), 16)
    assert (len(parts.train), len(parts.validation)) == (4, 2)
    assert parts.test is None, "the published list of the test has no labels"
    assert parts.train.example(0).shape == (16, 3, 24, 32)
    assert (parts.train.frame, parts.train.classes[1]) == ("bgr", "Drumming Fingers")
    assert len(parts.train.classes) == 27


def test_jesters_frames_and_lists_may_be_in_folders_of_their_own(tmp_path: Path) -> None:
    items = listed("jester", write_jester(tmp_path, "frames", "labels"))
    assert [(item.key, item.label, item.part) for item in items][3:] == [
        ("4", 3, "train"),
        ("5", 0, "validation"),
        ("6", 1, "validation"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1;Dancing", r"line 1 must be ID;label with a label of Jester's, got '1;Dancing'"),
        ("99;Thumb Up", r"99 is not there, and .*jester-v1-train\.csv lists it; were all"),
    ],
)
def test_a_wrong_line_of_jesters_is_named(tmp_path: Path, line: str, message: str) -> None:
    write_jester(tmp_path)
    (tmp_path / "jester-v1-train.csv").write_text(line + "\n")
    with pytest.raises(ConfigError, match=message):
        listed("jester", tmp_path)


def test_pictures_are_shown_for_all_steps(tmp_path: Path) -> None:
    for name in ("n02123045", "n01443537"):
        write_pictures(tmp_path / "set" / name, [grey(value) for value in (1, 2, 3)], ".png")
    parts = prepared("image_folder", tmp_path / "set", 4, validation=0.34)
    assert parts.train.classes == ("n01443537", "n02123045")
    frames = parts.train.example(0)
    assert frames.shape == (4, 3, 224, 224)
    assert (frames == frames[0]).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rgb_gesture", r"get RGB-gesture from Lynxi"),
        ("jester", r"get 20BN-Jester V1 from Qualcomm's developer page"),
        ("image_folder", r"get ImageNet-1K .* from image-net\.org, where one has to register"),
    ],
)
def test_a_set_that_is_not_there_says_what_to_get(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        listed(name, tmp_path)

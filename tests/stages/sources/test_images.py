"""Pictures as a source: read, scaled, cut, and shown for some steps each."""

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from shared import SHARED

from pipeline.config import parse_config
from pipeline.errors import ConfigError, RecordingError
from pipeline.graph import build_graph
from pipeline.messages import EndRecording, Frames, Message, Start
from pipeline.stage import PortError
from stages.sources.bicubic import bicubic
from stages.sources.frame_files import FrameFilesState
from stages.sources.images import Images, ImagesConfig
from stages.sources.opencv import import_opencv


def images(path: Path | list[Path], **options: Any) -> Images:
    return Images("pictures", ImagesConfig(**{"path": path, "steps": 4, **options}))


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def write(path: Path, rgb: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), rgb[..., ::-1])
    return path


def messages_of(source: Images, state: FrameFilesState | None = None) -> list[Message]:
    played = source.play(source.initial_state() if state is None else state)
    return [message for turn in played for message in turn.messages]


def starts_of(messages: list[Message]) -> list[Start]:
    return [m.header for m in messages if isinstance(m.header, Start)]


def frames_of(messages: list[Message]) -> list[NDArray[np.uint8]]:
    return [frame for m in messages if isinstance(m.header, Frames) for frame in m.array]


def last_state(source: Images) -> FrameFilesState:
    *_, last = source.play(source.initial_state())
    return last.state


def test_a_picture_is_a_recording_of_equal_frames(tmp_path: Path) -> None:
    picture = noise(6, 8)
    path = write(tmp_path / "one.png", picture)
    source = images(path, step_us=500)
    start, frames, end = messages_of(source)
    assert isinstance(start.header, Start)
    assert (start.header.source, start.header.width, start.header.height) == (str(path), 8, 6)
    assert isinstance(frames.header, Frames)
    assert frames.array.shape == (4, 3, 6, 8)
    assert frames.array.dtype == np.uint8
    np.testing.assert_array_equal(frames.array, [picture.transpose(2, 0, 1)] * 4)
    assert [frames.header.windows.span_us(k) for k in (0, 3)] == [(0, 500), (1500, 2000)]
    assert isinstance(end.header, EndRecording)
    account = source.account(last_state(source))
    assert (account.taken, account.used, account.made, account.due) == (1, 1, 4, 4)


def test_colours_are_in_the_order_asked_for(tmp_path: Path) -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    path = write(tmp_path / "red.png", red)
    pixels = {
        colour: frames_of(messages_of(images(path, colour=colour)))[0][:, 0, 0].tolist()
        for colour in ("rgb", "bgr", "grey")
    }
    assert pixels == {"rgb": [200, 0, 0], "bgr": [0, 0, 200], "grey": pytest.approx([60], abs=1)}
    assert images(path, colour="grey").port().channels == 1
    assert images(path, colour="bgr").port().frame == "bgr"


def test_a_folder_is_played_by_name_and_then_its_folders(tmp_path: Path) -> None:
    for name in ("10.png", "2.png", "cat/1.png", "bird/1.jpg", "bird/.hidden.png"):
        write(tmp_path / name, noise(4, 4))
    (tmp_path / "notes.txt").write_text("no picture")
    messages = messages_of(images(tmp_path))
    played = [Path(start.source).relative_to(tmp_path) for start in starts_of(messages)]
    assert [str(path) for path in played] == ["2.png", "10.png", "bird/1.jpg", "cat/1.png"]
    assert [start.epoch for start in starts_of(messages)] == [0, 1, 2, 3]


def test_a_pattern_stands_for_the_pictures_that_match_it(tmp_path: Path) -> None:
    for name in ("cat/10.png", "cat/9.png", "bird/1.jpg", "bird/11.png"):
        write(tmp_path / name, noise(4, 4))
    (tmp_path / "cat" / "1.txt").write_text("no picture")
    messages = messages_of(images(tmp_path / "*" / "1*"))
    played = [Path(start.source).relative_to(tmp_path) for start in starts_of(messages)]
    assert [str(path) for path in played] == ["bird/1.jpg", "bird/11.png", "cat/10.png"]
    with pytest.raises(PortError, match="holds no pictures; their names end in"):
        images(tmp_path / "*.gif").port()


def test_scaled_by_the_shorter_side_and_cut_from_the_middle(tmp_path: Path) -> None:
    picture = noise(30, 50)
    path = write(tmp_path / "wide.png", picture)
    source = images(path, resize_px=20, size=(12, 16))
    scaled = bicubic(picture, 20, 33)  # 33.3 rounded down
    (first, *_) = frames_of(messages_of(source))
    np.testing.assert_array_equal(first, scaled[4:16, 8:24].transpose(2, 0, 1))
    assert (source.port().height, source.port().width) == (12, 16)


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), size=st.tuples(*[st.integers(1, 30)] * 2)
)
@settings(max_examples=30)
def test_any_picture_covers_any_size(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, size: tuple[int, int]
) -> None:
    path = write(tmp_path_factory.mktemp("any") / "a.png", noise(height, width))
    (frame, *_) = frames_of(messages_of(images(path, size=size)))
    assert frame.shape == (3, *size)


@pytest.mark.parametrize("shape", [(40, 31), (74, 58), (60, 20), (23, 17), (5, 5)])
def test_resizing_is_pillows(shape: tuple[int, int]) -> None:
    picture = noise(37, 29)
    height, width = shape
    pillow = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    away = bicubic(picture, height, width).astype(int) - np.asarray(pillow)
    assert np.abs(away).max() <= 1
    assert np.mean(away != 0) < 1e-3


@given(stop=st.integers(0, 14), speed=st.sampled_from([0.0, 2.0]))
@settings(max_examples=25)
def test_it_resumes_behind_any_message(
    tmp_path_factory: pytest.TempPathFactory, stop: int, speed: float
) -> None:
    folder = tmp_path_factory.mktemp("resume")
    for k in range(3):
        write(folder / f"{k}.png", noise(3, 3, seed=k))
    source = images(folder, speed=speed)
    before: list[Message] = []
    state = source.initial_state()
    for number, turn in enumerate(source.play(state)):
        if number > stop:
            break
        before += turn.messages
        state = turn.state
    behind = messages_of(source, state)
    whole = messages_of(images(folder))
    np.testing.assert_array_equal(frames_of(before + behind), frames_of(whole))
    assert starts_of(before + behind) == starts_of(whole)


def test_paced_steps_leave_when_they_begin(tmp_path: Path) -> None:
    source = images(write(tmp_path / "a.png", noise(3, 3)), speed=1.0, step_us=1000)
    turns = list(source.play(source.initial_state()))
    assert [turn.due_us for turn in turns] == [None, 0, 1000, 2000, 3000, 4000]
    for turn in turns[1:-1]:
        (message,) = turn.messages
        assert isinstance(message.header, Frames)
        assert message.header.windows.last_event_us == (turn.due_us,)


def damaged(folder: Path) -> Path:
    """A folder of three pictures, the middle one cut short."""
    for k in range(3):
        write(folder / f"{k}.jpg", noise(20, 20, seed=k))
    whole = (folder / "1.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


def test_a_broken_picture_ends_the_run_when_those_before_were_shown(tmp_path: Path) -> None:
    source = images(damaged(tmp_path))
    turns = source.play(source.initial_state())
    first, frames, end = (next(turns) for _ in range(3))
    assert len(frames_of([*first.messages, *frames.messages, *end.messages])) == 4
    with pytest.raises(RecordingError, match=r"1\.jpg: is no whole picture of a known kind; copy"):
        next(turns)


def test_broken_pictures_are_passed_over_said_and_counted(tmp_path: Path) -> None:
    (damaged(tmp_path) / "3.png").touch()
    source = images(tmp_path, on_damage="drop")
    turns = list(source.play(source.initial_state()))
    remarks = [turn.remark for turn in turns if turn.remark]
    assert [remark.partition(":")[0] for remark in remarks] == [
        str(tmp_path / name) for name in ("1.jpg", "3.png")
    ]
    account = source.account(turns[-1].state)
    assert (account.taken, account.used, account.refused) == (4, 2, {"damaged": 2})
    assert account.made == account.due == 8


@pytest.mark.parametrize(
    ("options", "key", "problem"),
    [
        ({"path": "none.png"}, "path", r"none\.png: there is no such file or folder; check"),
        ({"path": "empty"}, "path", r"empty: holds no pictures; their names end in \.jpg, "),
        ({"path": []}, "path", "the list is empty; name at least one file or folder"),
        ({"size": (9, 30), "resize_px": 20}, "resize_px", "must be >= 30, the longer side of size"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_the_check(
    tmp_path: Path, options: dict[str, Any], key: str, problem: str
) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "some.png", noise(3, 3))
    name = options.get("path", "some.png")
    path = tmp_path / name if isinstance(name, str) else name
    with pytest.raises(PortError, match=problem) as caught:
        images(**{**options, "path": path}).port()
    assert caught.value.key == key


def test_the_check_tells_the_size_from_the_headers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.jpg", "c.bmp", "d.ppm"):
        write(tmp_path / name, noise(30, 50))
    Image.new("P", (50, 30)).save(tmp_path / "e.png")
    (tmp_path / "f.pgm").write_bytes(b"P5\n# by hand\n50 30\n255\n" + bytes(1500))
    with monkeypatch.context() as without:
        without.delattr("stages.sources.images.read_picture")
        port = images(tmp_path).port()
        scaled = images(tmp_path, resize_px=20).port()
    assert (port.height, port.width) == (30, 50)
    assert (scaled.height, scaled.width) == (20, 33)
    assert frames_of(messages_of(images(tmp_path, resize_px=20)))[0].shape == (3, 20, 33)
    write(tmp_path / "g.png", noise(31, 50))
    assert images(tmp_path).port().height is None
    assert images(tmp_path, size=(8, 8)).port().height == 8


def test_of_a_picture_that_is_turned_the_check_tells_the_turned_size(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (50, 30)).save(tmp_path / "a.jpg", exif=turned)
    port = images(tmp_path / "a.jpg").port()
    assert (port.height, port.width) == frames_of(messages_of(images(tmp_path)))[0].shape[1:]
    assert (port.height, port.width) == (50, 30)


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"BM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"P6 0 4 "]
)
def test_the_first_picture_must_be_one(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(PortError, match=r"a\.jpg: is no whole picture of a known kind") as caught:
        images(tmp_path).port()
    assert caught.value.key == "path"
    assert images(tmp_path, on_damage="drop").port().height is None


def test_a_picture_that_would_be_too_long_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "thread.png", noise(1, 400))
    with pytest.raises(RecordingError, match="would be scaled to 102400×256, at most"):
        images(path, resize_px=256).read(path)
    with pytest.raises(PortError, match="would be scaled to 102400×256, at most"):
        images(path, resize_px=256).port()


def test_steps_must_be_said(tmp_path: Path) -> None:
    write(tmp_path / "a.png", noise(3, 3))
    table = {"name": "pictures", "use": "images", "path": "a.png"}
    with pytest.raises(ConfigError, match=r"stage\.pictures\.steps: is required"):
        build_graph(parse_config({"stage": [table]}, tmp_path / "p.toml"))


def test_without_opencv_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match=r'images needs OpenCV, .*install "event-pipeline\[video'):
        import_opencv("images")
    monkeypatch.setattr("stages.sources.opencv.find_spec", lambda name: None)
    with pytest.raises(PortError, match="which is not installed") as caught:
        images(write(tmp_path / "a.png", noise(3, 3))).port()
    assert caught.value.key == "use"


@pytest.mark.shared
def test_real_photographs_are_those_of_imagenets_evaluation() -> None:
    """Pillow's decoding, resizing and cutting; a picture in thirty thousand pixels is off by 1."""
    folder = SHARED / "other" / "imagenet_sample"
    messages = messages_of(images(folder, steps=1, resize_px=256, size=(224, 224)))
    assert len(starts_of(messages)) == 6
    for start, frame in zip(starts_of(messages), frames_of(messages), strict=True):
        photograph = Image.open(start.source).convert("RGB")
        short = min(photograph.size)
        scaled = photograph.resize(
            (256 * photograph.width // short, 256 * photograph.height // short),
            Image.Resampling.BICUBIC,
        )
        left, top = round((scaled.width - 224) / 2), round((scaled.height - 224) / 2)
        cut = np.asarray(scaled.crop((left, top, left + 224, top + 224)))
        away = frame.astype(int) - cut.transpose(2, 0, 1)
        assert np.abs(away).max() <= 1
        assert np.mean(away != 0) < 2e-4

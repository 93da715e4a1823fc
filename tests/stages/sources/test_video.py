"""Video: clips of frames, from video files and from folders of pictures."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import clips
import cv2
import numpy as np
import pytest
from clips import write_pictures, write_video
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from streams import rows

from pipeline.errors import RecordingError
from pipeline.messages import EndRecording, Frames, Message, Start
from pipeline.ports import FramesPort
from pipeline.stage import PortError
from stages.sources import video as module
from stages.sources.clip import VideoFile
from stages.sources.spread import spread
from stages.sources.video import Video, VideoConfig, VideoState

PERIOD_US = 40_000


def video(path: Path | list[Path], **options: Any) -> Video:
    return Video("camera", VideoConfig(**{"path": path, "colour": "grey", **options}))


def messages_of(source: Video, state: VideoState | None = None) -> list[Message]:
    played = source.play(source.initial_state() if state is None else state)
    return [message for turn in played for message in turn.messages]


def times_us(messages: list[Message]) -> list[int]:
    headers = [m.header for m in messages if isinstance(m.header, Frames)]
    return [h.windows.span_us(k)[0] for h in headers for k in range(len(h.windows))]


def numbers(messages: list[Message]) -> list[int]:
    return clips.numbers(np.concatenate([rows(messages)]))


def pictures(count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (6, 8, 3), np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "clip_001.avi")


def test_a_video_is_a_recording_of_its_frames_at_their_times(clip: Path) -> None:
    start, *middle, end = messages_of(video(clip))
    assert isinstance(start.header, Start)
    assert (start.header.width, start.header.height) == (32, 24)
    assert (start.header.source, start.header.t_first_us) == (str(clip), 0)
    assert isinstance(end.header, EndRecording)
    assert numbers(middle) == list(range(12))
    assert times_us(middle) == [k * PERIOD_US for k in range(12)]
    (header,) = (m.header for m in middle)
    assert isinstance(header, Frames)
    assert header.windows.span_us(3) == (3 * PERIOD_US, 4 * PERIOD_US)
    assert header.windows.last_event_us[3] == 3 * PERIOD_US


@pytest.mark.parametrize(
    ("ending", "codec", "rate_hz", "first_us"),
    [
        (".avi", "FFV1", 12.5, [0, 80_000, 160_000]),
        (".mp4", "mp4v", 30, [0, 33_333, 66_667]),
        (".mkv", "MJPG", 29.97, [0, 33_000, 67_000]),  # Matroska counts in milliseconds
    ],
)
def test_other_containers_say_their_times_too(
    tmp_path: Path, ending: str, codec: str, rate_hz: float, first_us: list[int]
) -> None:
    source = video(write_video(tmp_path / f"clip{ending}", 12, rate_hz, codec))
    port = source.port()
    period_us = round(1e6 / rate_hz)
    assert (port.height, port.width, port.window_us, port.step_us) == (24, 32, *[period_us] * 2)
    messages = messages_of(source)
    assert numbers(messages) == list(range(12))
    assert times_us(messages)[:3] == first_us


def test_a_rate_that_is_given_goes_before_that_of_the_file(clip: Path) -> None:
    source = video(clip, rate_hz=10)
    assert source.port().window_us == 100_000
    assert times_us(messages_of(source))[:3] == [0, 100_000, 200_000]


@pytest.mark.parametrize("colour", ["bgr", "rgb", "grey"])
def test_pictures_are_frames_in_the_order_of_their_numbers(tmp_path: Path, colour: str) -> None:
    given_pictures = pictures(11)
    folder = write_pictures(tmp_path / "clip", given_pictures)
    (folder / "notes.txt").write_text("no frame")
    source = video(folder, colour=colour, rate_hz=12)
    channels = 1 if colour == "grey" else 3
    assert source.port() == FramesPort(channels, 6, 8, 83_333, 83_333, colour, "video")
    messages = messages_of(source)
    frames = np.concatenate([m.array for m in messages if isinstance(m.header, Frames)])
    expected = {
        "bgr": np.stack(given_pictures).transpose(0, 3, 1, 2),
        "rgb": np.stack(given_pictures)[..., ::-1].transpose(0, 3, 1, 2),
        "grey": np.stack([cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p in given_pictures])[:, None],
    }
    np.testing.assert_array_equal(frames, expected[colour])
    assert frames.dtype == np.uint8
    assert times_us(messages)[:3] == [0, 83_333, 166_667]


def test_a_folder_stands_for_the_clips_in_it(tmp_path: Path) -> None:
    write_video(tmp_path / "clip10.avi", 3)
    write_video(tmp_path / "clip2.avi", 2)
    write_pictures(tmp_path / "clip3", pictures(4))
    (tmp_path / "empty").mkdir()
    source = video(tmp_path, rate_hz=25)
    messages = messages_of(source)
    starts = [m.header for m in messages if isinstance(m.header, Start)]
    assert [Path(start.source).name for start in starts] == ["clip2.avi", "clip3", "clip10.avi"]
    assert [start.epoch for start in starts] == [0, 1, 2]
    assert [len(m.array) for m in messages if isinstance(m.header, Frames)] == [2, 4, 3]
    assert source.port() == FramesPort(1, None, None, PERIOD_US, PERIOD_US, "grey", "video")


def test_a_pattern_stands_for_the_clips_that_match_it(tmp_path: Path) -> None:
    write_video(tmp_path / "wave" / "clip10.avi", 1)
    write_video(tmp_path / "wave" / "clip9.avi", 1)
    write_pictures(tmp_path / "clap" / "clip11", pictures(1))
    (tmp_path / "clap" / "clip1.txt").write_text("no clip")
    messages = messages_of(video(tmp_path / "*" / "clip*", rate_hz=25))
    starts = [m.header for m in messages if isinstance(m.header, Start)]
    assert [Path(s.source).stem for s in starts] == ["clip11", "clip9", "clip10"]
    with pytest.raises(PortError, match="holds no video"):
        video(tmp_path / "*" / "*.mkv").port()


@settings(max_examples=30)
@given(
    size=st.integers(1, 5),
    stop=st.integers(0, 12),
    options=st.sampled_from(
        [{}, {"speed": 2.0}, {"steps": 5}, {"steps": 20}, {"start_us": 50_000}]
    ),
)
def test_cut_and_resumed_in_any_place_it_says_the_same(
    clip: Path, size: int, stop: int, options: dict[str, Any]
) -> None:
    whole = messages_of(video(clip, **options))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MESSAGE_BYTES", size * 24 * 32)
        source = video(clip, **options)
        before: list[Message] = []
        state = source.initial_state()
        for turn in list(source.play(state))[:stop]:
            before += turn.messages
            state = turn.state
        account = source.account(state)
        assert account.taken == account.used == account.made == len(times_us(before))
        messages = before + messages_of(source, state)
    np.testing.assert_array_equal(rows(messages), rows(whole))
    assert times_us(messages) == times_us(whole)
    kinds = [type(m.header) for m in messages]
    assert (kinds.count(Start), kinds.count(EndRecording)) == (1, 1)


def test_a_paced_frame_is_due_at_its_time(clip: Path) -> None:
    source = video(clip, speed=1.0)
    turns = list(source.play(source.initial_state()))
    dues = [t.due_us for t in turns for m in t.messages if isinstance(m.header, Frames)]
    assert dues == [k * PERIOD_US for k in range(12)]


def test_only_the_frames_between_start_and_stop_are_played(clip: Path) -> None:
    messages = messages_of(video(clip, start_us=3 * PERIOD_US, stop_us=5 * PERIOD_US))
    assert numbers(messages) == [3, 4]
    assert isinstance(messages[0].header, Start)
    assert messages[0].header.t_first_us == 3 * PERIOD_US
    steps = messages_of(video(clip, start_us=3 * PERIOD_US, stop_us=5 * PERIOD_US, steps=4))
    assert numbers(steps) == [3, 3, 4, 4]


def test_steps_are_spread_over_the_clip_and_have_no_length_in_time(clip: Path) -> None:
    source = video(clip, steps=4)
    assert source.port().window_us is None
    messages = messages_of(source)
    assert numbers(messages) == [1, 4, 7, 10]
    assert times_us(messages) == [k * PERIOD_US for k in (1, 4, 7, 10)]
    assert numbers(messages_of(video(clip, steps=4, spacing=1))) == [4, 5, 6, 7]
    state = [turn.state for turn in source.play(source.initial_state())][-1]
    assert (source.account(state).made, source.account(state).due) == (4, 4)


@given(count=st.integers(1, 200), steps=st.integers(1, 40), spacing=st.none() | st.floats(1, 5))
def test_what_is_taken_lies_in_the_clip_in_order_and_in_its_middle(
    count: int, steps: int, spacing: float | None
) -> None:
    taken = spread(count, steps, spacing)
    assert len(taken) == steps
    assert taken == sorted(taken)
    assert 0 <= taken[0] <= taken[-1] < count
    if count >= steps:
        assert len(set(taken)) == steps
        assert abs(taken[0] - (count - 1 - taken[-1])) <= 1
    else:
        assert set(taken) == set(range(count))


def cut(clip: Path, path: Path) -> Path:
    """Copy an AVI file up to the middle of its seventh frame; its header has the name once too."""
    chunks = clip.read_bytes().split(b"00dc")
    path.write_bytes(b"00dc".join(chunks[:8]) + b"00dc" + chunks[8][:100])
    return path


def test_a_truncated_video_is_played_to_the_cut(clip: Path, tmp_path: Path) -> None:
    source = video(cut(clip, tmp_path / "cut.avi"))
    messages: list[Message] = []
    turns = (turn.messages for turn in source.play(source.initial_state()))
    with pytest.raises(
        RecordingError, match=r"cut\.avi: is truncated or damaged: of 12 frames that it announces"
    ):
        messages.extend(message for turn in turns for message in turn)
    heard = numbers(messages)
    assert heard == list(range(6))
    assert isinstance(messages[-1].header, EndRecording)


def test_what_a_truncated_video_lacks_is_counted(clip: Path, tmp_path: Path) -> None:
    source = video([cut(clip, tmp_path / "cut.avi"), clip], on_damage="drop")
    turns = list(source.play(source.initial_state()))
    account = source.account(turns[-1].state)
    assert (account.taken, account.used, account.refused) == (24, 18, {"damaged": 6})
    (remark,) = (turn.remark for turn in turns if turn.remark)
    assert "cut.avi: is truncated or damaged" in remark


def test_a_clip_that_cannot_be_opened_ends_the_run_or_is_passed_over(
    clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "1.avi").write_bytes(b"")
    (tmp_path / "2.avi").write_bytes(clip.read_bytes())
    with pytest.raises(RecordingError, match=r"1\.avi: is empty; copy it again"):
        messages_of(video(tmp_path))
    source = video(tmp_path, on_damage="drop")
    assert source.port().height == 24
    turns = list(source.play(source.initial_state()))
    assert numbers([m for turn in turns for m in turn.messages]) == list(range(12))
    assert turns[0].remark == f"{tmp_path / '1.avi'}: is empty; copy it again; passed over"
    assert source.account(turns[-1].state).notes["clips passed over"] == 1


def test_steps_that_a_clip_does_not_have_are_told(clip: Path) -> None:
    options = {"steps": 2, "start_us": 480_000}
    with pytest.raises(RecordingError) as caught:
        messages_of(video(clip, **options))
    problem = f"{clip}: has no frame between start_us and stop_us, of 12 in all"
    assert str(caught.value) == problem
    source = video(clip, on_damage="drop", **options)
    (turn,) = source.play(source.initial_state())
    assert turn.remark == f"{problem}; passed over"
    account = source.account(turn.state)
    assert (account.made, account.due) == (0, 0)


@pytest.mark.parametrize("damage", ["other size", "no picture", "empty"])
def test_a_damaged_picture_ends_the_clip_or_is_left_out(tmp_path: Path, damage: str) -> None:
    folder = write_pictures(tmp_path / "clip", pictures(5))
    third = folder / "3.png"
    if damage == "other size":
        assert cv2.imwrite(str(third), np.zeros((5, 8, 3), np.uint8))
    else:
        third.write_bytes(b"GIF?" if damage == "no picture" else b"")
    source = video(folder, rate_hz=10)
    messages: list[Message] = []
    turns = (turn.messages for turn in source.play(source.initial_state()))
    with pytest.raises(RecordingError) as caught:
        messages.extend(message for turn in turns for message in turn)
    problem = "is 8×5, those before it are 8×6" if damage == "other size" else "is damaged"
    assert str(caught.value) == f"{third}: the picture {problem}"
    assert times_us(messages) == [0, 100_000]
    assert isinstance(messages[-1].header, EndRecording)
    source = video(folder, rate_hz=10, on_damage="drop")
    played = list(source.play(source.initial_state()))
    assert times_us([m for turn in played for m in turn.messages]) == [0, 100_000, 300_000, 400_000]
    assert source.account(played[-1].state).refused == {"damaged": 1}


def test_a_video_whose_times_stand_still_needs_a_rate(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VideoFile, "_time_us", lambda self, number: min(number, 3) * PERIOD_US)
    with pytest.raises(RecordingError) as caught:
        messages_of(video(clip))
    assert str(caught.value) == (
        f"{clip}: frame 4 is of 120000 µs, not later than the one before it; set rate_hz"
    )


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.avi", b"", "is empty; copy it again"),
        ("other.mp4", b"RIFF no video at all", "is no whole video of a known kind"),
        ("one.png", b"", "is a picture; name its folder to play it as a clip"),
        ("none.avi", None, "cannot be read: No such file or directory; check the path"),
    ],
)
def test_what_is_no_video_is_said_by_check(
    tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PortError) as caught:
        video(tmp_path / name).port()
    assert caught.value.key == "path"
    assert str(caught.value).startswith(f"{tmp_path / name}: {problem}")


def test_folders_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="holds no video, no pictures and no folder of pictures"):
        video(tmp_path).port()
    write_video(tmp_path / "ben" / "wave" / "1.mp4", 1)
    with pytest.raises(PortError, match=r"its folders hold videos, name .*/\*/\*/\*\.mp4"):
        video(tmp_path).port()
    video(tmp_path / "*" / "*" / "*.mp4").port()
    write_pictures(tmp_path, pictures(1))
    with pytest.raises(PortError, match=r"says nothing of how many frames .* set rate_hz"):
        video(tmp_path).port()
    write_video(tmp_path / "clip.avi", 1)
    with pytest.raises(PortError, match="holds pictures and videos; name one of the videos"):
        video(tmp_path, rate_hz=25).port()


@pytest.mark.parametrize(
    ("options", "key", "problem"),
    [
        ({"start_us": 7, "stop_us": 7}, "stop_us", "must be > start_us = 7, got 7"),
        ({"spacing": 1.5}, "spacing", "has no meaning without steps, got 1.5"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    clip: Path, options: dict[str, Any], key: str, problem: str
) -> None:
    with pytest.raises(PortError) as caught:
        video(clip, **options).port()
    assert (caught.value.key, str(caught.value)) == (key, problem)


def test_opencv_is_imported_when_a_video_is_opened_and_keeps_quiet(tmp_path: Path) -> None:
    broken = write_video(tmp_path / "clip.mp4", codec="mp4v")
    broken.write_bytes(broken.read_bytes()[:500])
    program = (
        "import sys\n"
        "from stages.sources.video import Video, VideoConfig\n"
        "assert 'cv2' not in sys.modules\n"
        f"try: Video('v', VideoConfig(path={str(broken)!r})).port()\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "is no whole video" in done.stdout
    assert done.stderr == ""

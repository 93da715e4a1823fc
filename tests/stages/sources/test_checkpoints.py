"""Sources that go on from a checkpoint, wherever it was made, play what was still to come."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from clips import write_video

from pipeline.checkpoint.snapshot import classes_of, pack, unpack
from pipeline.messages import Data, Message
from pipeline.registry import load_stage
from recordings import some_events, write_recording

Make = Callable[[], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings, one of them cut short, texts, a video, pictures and a volume."""
    folder = tmp_path_factory.mktemp("sources")
    rng = np.random.default_rng(0)
    for number in range(3):
        (folder / "events").mkdir(exist_ok=True)
        events = some_events(200 + number, span_us=10_000, seed=number)
        write_recording(folder / "events" / f"{number}.aedat4", events)
    (folder / "damaged").mkdir()
    for number, kept in enumerate((1.0, 0.7, 1.0)):
        raw = (folder / "events" / f"{number}.aedat4").read_bytes()
        (folder / "damaged" / f"{number}.aedat4").write_bytes(raw[: int(kept * len(raw))])
    (folder / "words.txt").write_text("good\nbad\nfilm\n")
    (folder / "texts.txt").write_text("A good film!\n\nbad bad bad bad\n")
    write_video(folder / "clip_001.avi")
    (folder / "pictures").mkdir()
    for number in range(2):
        picture = rng.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), picture)
    np.save(folder / "scan.npy", rng.integers(0, 256, (7, 6, 5), np.uint8))
    return folder


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "one": ("replay", {"path": "events/0.aedat4"}),
    "loop": ("replay", {"path": "events/1.aedat4", "loop": 3}),
    "folder": ("replay", {"path": "events"}),
    "joined": ("replay", {"path": "events", "join": True, "loop": 2}),
    "span": ("replay", {"path": "events", "start_us": 2000, "stop_us": 8000}),
    "paced": ("replay", {"path": "events", "speed": 2.0, "stop_us": 9000}),
    "skipping": ("replay", {"path": "damaged", "on_error": "skip"}),
    "texts": ("text", {"path": "texts.txt", "vocabulary": "words.txt", "steps": 3}),
    "video": ("video", {"path": "clip_001.avi", "colour": "grey"}),
    "spread": ("video", {"path": "clip_001.avi", "colour": "grey", "steps": 4}),
    "pictures": ("images", {"path": "pictures", "steps": 3}),
    "volume": ("slices", {"path": "scan.npy"}),
}


@pytest.fixture(params=CASES)
def make(request: pytest.FixtureRequest, folder: Path) -> Make:
    """Makes a source that is open, as a new process would."""
    name, options = CASES[request.param]
    found = load_stage(name)
    paths = {key: folder / options[key] for key in ("path", "vocabulary") if key in options}
    few = {"batch_events": 37} if name == "replay" else {}

    def make() -> Any:
        source = found("camera", found.Config(**(options | few | paths)))
        source.port()
        source.open()
        return source

    return make


def told(messages: Iterator[Message]) -> list[tuple[str, bytes]]:
    """Control messages as they are, and the data between them, however they are cut."""
    found: list[tuple[str, bytes]] = []
    for message in messages:
        kind = type(message.header).__name__
        if not isinstance(message.header, Data):
            found.append((kind, msgspec.json.encode(message.header)))
        elif found and found[-1][0] == kind:
            found[-1] = kind, found[-1][1] + message.array.tobytes()
        else:
            found.append((kind, message.array.tobytes()))
    return found


def test_it_goes_on_behind_every_turn(make: Make) -> None:
    source = make()
    turns = [*source.play(source.initial_state())]
    end = source.account(turns[-1].state)
    assert end.made > 0
    states = [source.initial_state(), *(turn.state for turn in turns)]
    for number, state in enumerate(states):
        other = make()
        saved = unpack(pack(source.snapshot(state)), classes_of(type(source)))
        rest = [*other.play(other.restore(saved))]
        before = [message for turn in turns[:number] for message in turn.messages]
        behind = [message for turn in rest for message in turn.messages]
        whole = told(message for turn in turns for message in turn.messages)
        assert told(iter(before + behind)) == whole
        assert other.account(rest[-1].state if rest else saved) == end

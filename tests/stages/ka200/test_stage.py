"""The stage on a double of Lynxi's runtime: what it calls, what it gives, what it releases."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chip_double import ChipDouble, Kinds, Leaky
from compiled_models import compiled_model, emptied
from numpy.typing import NDArray
from streams import account, rows, through

from models.ka200.compiled import BURST, PAIRS
from pipeline.checkpoint.snapshot import classes_of, pack, unpack
from pipeline.errors import ConfigError, DeviceError, StageError
from pipeline.messages import EndRecording, Frames, Message, Reset, Start, Windows, control, data
from pipeline.ports import FramesPort
from pipeline.stage import PortError
from stages.ka200.stage import Ka200, Ka200Config

PORT = FramesPort(2, 40, 40, 25_000, 25_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled_model(tmp_path_factory.mktemp("compiled") / "gesture")


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> ChipDouble:
    return put_in(monkeypatch)


def put_in(monkeypatch: pytest.MonkeyPatch, **options: Any) -> ChipDouble:
    double = ChipDouble(**options)
    monkeypatch.setitem(sys.modules, "pylynchipsdk", double)
    return double


def stage(model: Path, port: FramesPort = PORT, **options: Any) -> Ka200:
    return Ka200("net", Ka200Config(**{"model": model, **options}), [port])


def frames(steps: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).poisson(2, (steps, 2, 40, 40)).astype(np.uint8)


def messages(array: NDArray[Any], size: int, stream: str = "cam") -> Iterator[Message]:
    for first in range(0, len(array), size):
        part = array[first : first + size]
        windows = Windows(first, first * 25_000, 25_000, 25_000, (None,) * len(part))
        yield data(Frames, part, stream=stream, t_first_us=0, t_last_us=0, windows=windows)


def start(stream: str = "cam") -> Message:
    return control(Start(stream=stream, width=128, height=128, source="test"))


def recording(array: NDArray[Any], size: int = 50) -> list[Message]:
    return [start(), *messages(array, size), control(EndRecording(stream="cam"))]


def wanted(array: NDArray[Any]) -> NDArray[np.float32]:
    """What the double's network makes of a recording, in the chip's numbers."""
    network = Leaky(11)
    made = [network.step(frame).astype(np.float16) for frame in array]
    return np.array(made, np.float32)


def test_200_windows_are_called_for_by_the_rules_and_everything_is_released(
    model: Path, chip: ChipDouble
) -> None:
    array = frames(200)
    outputs = rows(through([stage(model)], recording(array, 50)))
    np.testing.assert_array_equal(outputs, wanted(array))
    assert (chip.broken, chip.live) == ([], {})
    names = chip.names()
    counts = {name: names.count(name) for name in names}
    assert counts["lyn_model_send_input_async"] == counts["lyn_model_recv_output_async"] == 200
    assert counts["lyn_model_reset_async"] == 1
    bursts = 4 * -(-50 // BURST)
    assert counts["lyn_memcpy_async"] == 2 * bursts
    assert counts["lyn_record_event"] == counts["lyn_stream_add_callback"] == bursts
    assert counts["lyn_malloc"] == counts["lyn_free"] == 2 * PAIRS
    opening = ["context", "set_current", "error_handler", "event", "stream", "stream", "load"]
    assert all(part in name for part, name in zip(opening, names[1:], strict=False))
    assert names[-(2 * PAIRS + 8) :] == [
        "lyn_set_current_context",
        "lyn_synchronize_stream",
        "lyn_synchronize_stream",
        *["lyn_free"] * 2 * PAIRS,
        "lyn_unload_model",
        "lyn_destroy_stream",
        "lyn_destroy_stream",
        "lyn_destroy_event",
        "lyn_destroy_context",
    ]
    # A receive follows each send, and the reset stands before the first of them.
    sends = [k for k, name in enumerate(names) if name == "lyn_model_send_input_async"]
    assert all(names[k + 1] == "lyn_model_recv_output_async" for k in sends)
    assert names.index("lyn_model_reset_async") < sends[0]


class Held(Leaky):
    """Holds the chip back until what should overlap a step has happened.

    Args:
        chip: What it runs on.
        after: Step -> the copy that must have ended meanwhile.
    """

    def __init__(self, chip: ChipDouble, after: dict[int, tuple[str, int]]) -> None:
        super().__init__(11)
        self._chip, self._after, self._steps = chip, after, 0

    def step(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        copy, self._steps = self._after.get(self._steps), self._steps + 1
        if copy is not None and not self._chip.log.has_ended(*copy, within_s=5.0):
            self._chip.broken.append(f"{copy} did not happen while a step was computed")
        return super().step(frame)


@pytest.mark.parametrize("steps", [PAIRS, PAIRS * BURST])
def test_copies_in_and_back_overlap_computing(
    model: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    of_pair, array = steps // PAIRS, frames(steps)
    chip = put_in(monkeypatch)
    after = {0: ("copy in", PAIRS - 1), of_pair: ("copy back", 0), 2 * of_pair: ("copy back", 1)}
    chip.network = lambda: Held(chip, after)
    np.testing.assert_array_equal(
        rows(through([stage(model)], recording(array, steps))), wanted(array)
    )
    assert (chip.broken, chip.live) == ([], {})
    when = chip.log.place
    # The chip is held in a step of one pair until the copy of another is done.
    for step, (what, number) in after.items():
        assert when(what, number, True) < when("compute", step, True)
    copies = [call.arguments for call in chip.calls if call.name == "lyn_memcpy_async"]
    targets = [copy[1] for copy in copies if copy[4] == chip.lyn_memcpy_dir_t.ClientToServer]
    assert len(targets) == len({*targets}) == PAIRS, "each pair has a buffer of its own"


def test_a_pair_is_used_again_when_its_steps_are_done(model: Path, chip: ChipDouble) -> None:
    array = frames(5 * PAIRS * BURST + 1)
    outputs = rows(through([stage(model)], recording(array, len(array))))
    np.testing.assert_array_equal(outputs, wanted(array))
    assert chip.names().count("lyn_malloc") == 2 * PAIRS
    assert chip.broken == []


def test_membranes_are_reset_once_a_recording_and_where_the_stream_says_so(
    model: Path, chip: ChipDouble
) -> None:
    one, other = frames(30), frames(20, seed=1)
    outputs = rows(through([stage(model)], [*recording(one, 1), *recording(other, 7)]))
    np.testing.assert_array_equal(outputs, np.concatenate([wanted(one), wanted(other)]))
    assert chip.names().count("lyn_model_reset_async") == 2
    # Before the second the sending stream waits for the last receive of the first.
    assert chip.names().count("lyn_stream_wait_event") == 1
    reset = control(Reset(stream="cam"))
    begin, *rest = messages(one, 10)
    outputs = rows(through([stage(model)], [start(), reset, begin, reset, reset, *rest]))
    np.testing.assert_array_equal(outputs, np.concatenate([wanted(one[:10]), wanted(one[10:])]))
    assert chip.names().count("lyn_model_reset_async") == 4
    assert chip.broken == []


def test_a_recording_without_windows_asks_the_chip_for_nothing(
    model: Path, chip: ChipDouble
) -> None:
    assert account(stage(model), recording(frames(0))).taken == 0
    assert "lyn_model_reset_async" not in chip.names()


_CALLED = [
    "get_device_count",
    "create_context",
    "set_current_context",
    "register_error_handler",
    "create_event",
    "create_stream",
    "load_model",
    "model_get_desc",
    "malloc",
    "memcpy_async",
    "model_reset_async",
    "model_send_input_async",
    "model_recv_output_async",
    "record_event",
    "stream_wait_event",
    "stream_add_callback",
    "synchronize_stream",
    "free",
    "unload_model",
    "destroy_stream",
    "destroy_event",
    "destroy_context",
]
_RELEASED = {
    "lyn_free": "buffer",
    "lyn_unload_model": "model",
    "lyn_destroy_stream": "stream",
    "lyn_destroy_event": "event",
    "lyn_destroy_context": "context",
}


def test_an_error_of_any_call_is_told_and_everything_else_is_released(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [*recording(frames(4)), *recording(frames(1))]
    whole = put_in(monkeypatch)
    through([stage(model)], given)
    plain = ("lyn_addr_seek", "lyn_numpy_to_ptr")  # they return no code
    for place, name in enumerate(whole.names()):
        if name in plain:
            continue
        nth = whole.names()[:place].count(name)
        chip = put_in(monkeypatch)
        chip.fails[name, nth] = 1234
        with pytest.raises(DeviceError, match=f"KA200 device 0: {name} returned error 1234"):
            through([stage(model)], given)
        # What the driver does not let go stays, and the context that it is in.
        left = {kind for kind, _ in chip.live.values()} - {"context"}
        assert left == {_RELEASED[name]} - {"context"} if name in _RELEASED else not chip.live
        assert not chip.broken or left
    assert {call.name for call in whole.calls} >= {f"lyn_{name}" for name in _CALLED}


def test_an_error_of_the_driver_by_itself_ends_the_run(model: Path, chip: ChipDouble) -> None:
    chip.fault_at = 5
    with pytest.raises(DeviceError, match="the driver reported error 7007; look at the driver's"):
        through([stage(model)], recording(frames(20)))
    assert (chip.broken, chip.live) == ([], {})


def test_a_chip_that_does_not_answer_ends_the_run(model: Path, chip: ChipDouble) -> None:
    chip.stuck_at = 5
    with pytest.raises(DeviceError, match=r"the chip did not answer within 0.05 s"):
        through([stage(model, timeout_s=0.05)], recording(frames(20)))
    assert (chip.broken, chip.live) == ([], {})


def test_each_stream_has_a_chip_of_its_own(model: Path, chip: ChipDouble) -> None:
    one, other = frames(10), frames(10, seed=1)
    turns = [
        message
        for both in zip(messages(one, 2), messages(other, 2, "second"), strict=True)
        for message in both
    ]
    made = list(run_streams(stage(model, device=[0, 1]), [start(), start("second"), *turns]))
    for stream, array in (("cam", one), ("second", other)):
        its = [message for message in made if message.header.stream == stream]
        np.testing.assert_array_equal(rows(its), wanted(array))
    assert [c.arguments for c in chip.calls if c.name == "lyn_create_context"] == [(0,), (1,)]
    assert (chip.broken, chip.live) == ([], {})
    with pytest.raises(StageError, match="stream 'second' has no chip: 'cam' took 1, and a chip"):
        list(run_streams(stage(model), [start(), start("second")]))


def test_a_stream_never_gets_the_chip_of_another(model: Path, chip: ChipDouble) -> None:
    before = stage(model, device=[0, 1])
    before.open()
    saved = [before.start(start(name).header) for name in ("ended", "cam")]  # type: ignore[arg-type]
    before.close()
    after = stage(model, device=[0, 1])
    after.open()
    assert after.restore(saved[1]).chip == 1  # of the first stream nothing was left to keep
    assert after.start(start("new").header).chip == 0  # type: ignore[arg-type]
    assert after.start(start("cam").header).chip == 1  # type: ignore[arg-type]
    after.close()


def test_a_chip_that_is_stuck_is_left_in_its_own_context(model: Path, chip: ChipDouble) -> None:
    chip.stuck_at = 5
    net = stage(model, device=[0, 1], timeout_s=0.05)
    with pytest.raises(DeviceError, match="KA200 device 0: the chip did not answer"):
        list(run_streams(net, recording(frames(20))))
    net.close()
    assert (chip.broken, chip.live) == ([], {})


def run_streams(stage: Ka200, given: list[Message]) -> Iterator[Message]:
    """Drive a stage with a state for each stream."""
    stage.open()
    states: dict[str, Any] = {}
    for message in given:
        stream = message.header.stream
        states[stream] = yield from stage.step(states.get(stream), message)
    stage.close()


def resumed(
    model: Path, monkeypatch: pytest.MonkeyPatch, array: NDArray[Any], at: int, **options: Any
) -> tuple[NDArray[Any], Ka200, Any]:
    """Outputs of a recording whose run went on from a checkpoint behind `at` windows."""
    first, begun = stage(model, **options), []
    put_in(monkeypatch)
    first.open()
    state: Any = None
    for message in recording(array[:at], 3)[:-1]:
        turn = first.step(state, message)
        try:
            while True:
                begun.append(next(turn))
        except StopIteration as end:
            state = end.value
    raw = pack(first.snapshot(state))
    first.close()
    second = stage(model, **options)
    put_in(monkeypatch)
    second.open()
    state = second.restore(unpack(raw, classes_of(Ka200)))
    for message in messages(array[at:], 5):
        turn = second.step(state, message)
        try:
            while True:
                begun.append(next(turn))
        except StopIteration as end:
            state = end.value
    return rows(begun), second, state


@pytest.mark.parametrize("at", [0, 1, 12])
def test_a_run_goes_on_from_a_checkpoint_as_if_nothing_had_been(
    model: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    array = frames(20)
    outputs, second, state = resumed(model, monkeypatch, array, at)
    np.testing.assert_array_equal(outputs, wanted(array))
    done = second.account(state)
    assert (done.taken, done.counts["model resets"], done.counts["approximate"]) == (20, 1, 0)


def test_membranes_brought_back_from_too_few_frames_are_told(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = frames(20)
    for kept in (0, 4):
        outputs, second, state = resumed(model, monkeypatch, array, 12, replay_steps=kept)
        expected = np.concatenate([wanted(array)[:12], wanted(array[12 - kept :])[kept:]])
        np.testing.assert_array_equal(outputs, expected)
        told = second.remarks(second.account(state))[-1]
        assert told.startswith(
            f"membranes were brought back once from the latest {kept} frames only"
        )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"weights_sha256": "0"}, "made with another network than is in .*; put that one back"),
        ({"chip": 1}, "made with 2 devices or more, `device` names 1; name as many"),
        (
            {"memory": {"v": np.zeros(2)}},
            "made by the emulator, whose membranes cannot be put into",
        ),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    model: Path, chip: ChipDouble, changes: dict[str, Any], text: str
) -> None:
    net = stage(model)
    net.open()
    begun = net.start(start().header)._replace(due=False)  # type: ignore[arg-type]
    with pytest.raises(StageError, match=text):
        net.restore(begun._replace(**changes))
    net.close()


def test_the_chips_time_is_told(model: Path, chip: ChipDouble) -> None:
    net = stage(model)
    done = account(net, recording(frames(10), 5))
    net.close()
    done += account(net, recording(frames(10), 5))
    told = re.fullmatch(
        r"20 steps on the KA200 in (\S+) s, (\S+) steps/s; outputs (\S+) ms behind their frames, at"
        r" most (\S+) ms; 2 model resets",
        net.remarks(done)[0],
    )
    assert told is not None
    busy_s, rate_hz, mean_ms, most_ms = map(float, told.groups())
    assert done.counts["chip calls"] == 4
    assert rate_hz == pytest.approx(20e6 / done.counts["chip us"], rel=0.01)
    assert busy_s == pytest.approx(done.counts["chip us"] / 1e6, abs=0.006)
    assert mean_ms == pytest.approx(done.counts["chip us"] / 4e3, abs=0.006)
    assert mean_ms <= most_ms <= 4 * mean_ms + 0.01, "of one message, not of all"
    shown = net.gauges(None)  # type: ignore[arg-type]
    assert shown["chip latency ms"] == pytest.approx(mean_ms, abs=0.006)
    assert shown["chip steps/s"] == pytest.approx(rate_hz, rel=0.01)
    assert net.gauges(None) == {}, "since the last call"  # type: ignore[arg-type]
    net.close()


def test_a_chip_may_want_channels_last_and_give_float32(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"dtype": Kinds.DT_FLOAT, "out_dtype": Kinds.DT_FLOAT}
    chip = put_in(monkeypatch, channels_last=True, **kinds)
    array = frames(20)
    network = Leaky(11)
    expected = np.array([network.step(frame) for frame in array])
    np.testing.assert_array_equal(rows(through([stage(model)], recording(array))), expected)
    assert chip.broken == []


def test_a_count_that_a_byte_does_not_hold_is_refused(model: Path, chip: ChipDouble) -> None:
    array = frames(3).astype(np.uint16)
    np.testing.assert_array_equal(rows(through([stage(model)], recording(array))), wanted(array))
    array[1, 0, 0, 0] = 256
    for backend in ("chip", "emulator"):
        with pytest.raises(StageError, match="compiled for bytes, and a frame has numbers from 0 "):
            through([stage(model, backend=backend)], recording(array))
        with pytest.raises(StageError, match="of type float32; compile it again with --input floa"):
            through([stage(model, backend=backend)], recording(array.astype(np.float32)))
    assert chip.live == {}


def test_a_count_that_a_byte_does_not_hold_needs_floats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = compiled_model(tmp_path / "floats", input_type="float32")
    chip = put_in(monkeypatch, dtype=Kinds.DT_FLOAT)
    array = frames(3).astype(np.uint16)
    array[1, 0, 0, 0] = 256
    np.testing.assert_array_equal(rows(through([stage(model)], recording(array))), wanted(array))
    put_in(monkeypatch)
    with pytest.raises(ConfigError, match="takes bytes, and was compiled for float32; compile"):
        stage(model).open()
    assert chip.broken == []


def test_which_axis_is_last_is_told_where_the_shape_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.random.default_rng(0).poisson(2, (5, 3, 3, 3)).astype(np.uint8)
    port = FramesPort(3, 3, 3, 25_000, 25_000)
    for layout, seen in (("nchw", array), ("nhwc", array.transpose(0, 2, 3, 1))):
        shape = {"input_shape": (3, 3, 3), "layout": layout}
        model = compiled_model(tmp_path / layout, **shape)
        put_in(monkeypatch, shape=(3, 3, 3))
        outputs = rows(through([stage(model, port)], recording(array)))
        np.testing.assert_array_equal(outputs, wanted(np.ascontiguousarray(seen)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"shape": (2, 32, 32)}, r"takes frames of \(2, 32, 32\), not \(2, 40, 40\); compile"),
        ({"features": 10}, "puts out 10 numbers, not 11; compile the network again"),
        ({"batch": 4}, "runs batches of 4, and a stream is one of 1; compile the network"),
        ({"dtype": Kinds.DT_INT32}, "has numbers of type DT_INT32, known are DT_UINT8, DT_FLOAT"),
        ({"outputs": 2}, "has 1 inputs and 2 outputs, not one; compile the network again"),
        ({"devices": 0}, "device 0 is not there, this machine has no KA200; choose another"),
    ],
)
def test_a_chip_or_network_that_does_not_fit_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], text: str
) -> None:
    chip = put_in(monkeypatch, **options)
    with pytest.raises(ConfigError, match=text):
        through([stage(model)], recording(frames(3)))
    assert (chip.broken, chip.live) == ([], {})


def test_without_the_runtime_it_says_where_to_get_it(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pylynchipsdk", None)
    with pytest.raises(ConfigError, match=r"needs Lynxi's runtime pylynchipsdk .*; install it"):
        stage(model).open()


@pytest.mark.parametrize(
    ("lacks", "text"),
    [
        ("_lyn_create_event", r"lyn_create_event failed: .*has no attribute"),
        ("_lyn_numpy_to_ptr", r"lyn_numpy_to_ptr failed: .*has no attribute"),
        ("lyn_memcpy_dir_t", r"pylynchipsdk is not as it was when .*; install a version with"),
        ("lyn_data_type_t", r"pylynchipsdk is not as it was when .*; install a version with"),
    ],
)
def test_a_runtime_of_another_version_is_an_error_of_the_device(
    model: Path, monkeypatch: pytest.MonkeyPatch, lacks: str, text: str
) -> None:
    chip = put_in(monkeypatch)
    monkeypatch.setattr(ChipDouble, lacks, property())
    with pytest.raises(DeviceError, match=f"KA200 device 0: {text}"):
        through([stage(model)], recording(frames(3)))
    assert chip.live == {}


@pytest.mark.parametrize(
    ("options", "key", "text"),
    [
        ({"device": [1, 1]}, "device", r"names a device twice, got \[1, 1\]"),
        ({"model": Path("nowhere")}, "model", "must be a folder that `pipeline compile` made"),
    ],
)
def test_options_that_cannot_be_are_refused(
    model: Path, options: dict[str, Any], key: str, text: str
) -> None:
    with pytest.raises(PortError, match=text) as caught:
        stage(**{"model": model, **options}).port()
    assert caught.value.key == key


def test_frames_that_do_not_fit_are_said_of_the_option_model(model: Path) -> None:
    for port, text in (
        (FramesPort(2, 32, 32, 25_000, 25_000), r"takes frames of \(2, 40, 40\), its input gives"),
        (
            FramesPort(2, 40, 40, 5_000, 5_000),
            "was trained on bins of 25000 µs, its input gives 50",
        ),
    ):
        with pytest.raises(PortError, match=text) as caught:
            stage(model, port).port()
        assert caught.value.key == "model"


def test_each_input_needs_a_device_and_windows_alike(model: Path) -> None:
    def network(*ports: FramesPort) -> Ka200:
        return Ka200("net", Ka200Config(model=model, device=(0, 3), mismatch="allow"), ports)

    assert network(PORT, PORT).port().window_us == 25_000
    with pytest.raises(PortError, match=r"a device for each of the 3 inputs, .*, got \[0, 3\]"):
        network(PORT, PORT, PORT).port()
    with pytest.raises(PortError, match=r"must have windows alike, got frames .*25 ms, and fra"):
        network(PORT, FramesPort(2, 40, 40, 5_000, 5_000)).port()


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    halved = compiled_model(tmp_path / "halved", batch_size=4, n_slice=2)
    with pytest.raises(PortError, match="batch_size and n_slice must be equal, got 4 and 2"):
        stage(halved).port()
    with pytest.raises(PortError, match="compiled for 4 streams at a time"):
        stage(compiled_model(tmp_path / "four", batch=4)).port()
    emulated = emptied(compiled_model(tmp_path / "emulated"))
    stage(emulated, backend="emulator").port()
    with pytest.raises(PortError, match=r'no network for the chip, .*set backend = "emulator"'):
        stage(emulated).port()
    weights = emulated / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b"!")
    with pytest.raises(PortError, match="must be the weights that were compiled"):
        stage(emulated, backend="emulator").port()


def test_a_mean_on_the_chip_ends_with_its_steps(tmp_path: Path, chip: ChipDouble) -> None:
    model = compiled_model(tmp_path / "mean", mean_steps=10)
    through([stage(model)], recording(frames(10), 5))
    with pytest.raises(StageError, match="keeps the mean of 10 steps on the chip, and a recording"):
        through([stage(model)], recording(frames(11), 5))

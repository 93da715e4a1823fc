"""The parts of the main job, each beside a peer or the machine's own limit, in one run.

Usage: python -m benchmarks [RECORDING]. Without one, a recording of random events is made. Every
figure is the median of five runs; machines are noisy, so read the ratios.
"""

import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dv_processing
import numpy as np
import torch
import zmq
from rich import box
from rich.console import Console
from rich.table import Table

import models
from benchmarks.measure import Rate, measure
from pipeline.events import EventArray, concatenate_events, events_from_columns
from pipeline.messages import EndStream, Events, Message, control, data
from pipeline.offline import play, run_chain
from pipeline.queues import Receiver, Sender
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.formats import open_recording
from stages.formats.aedat.aedat4_writer import Aedat4Writer
from stages.sources.replay import Replay, ReplayConfig

STEPS = 60
QUEUE_BATCHES = 200


def random_recording(path: Path, count: int = 5_000_000, size: int = 240) -> None:
    """Write a recording of random events; its compression is worse than that of real ones."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 2_000_000, count))
    x, y = rng.integers(0, size, (2, count))
    with Aedat4Writer(path, size, size) as writer:
        writer.write(events_from_columns(t, x, y, rng.integers(0, 2, count)))


def read_ours(path: Path) -> int:
    with open_recording(path) as reader:
        return sum(len(packet.events) for packet in reader.packets())


def read_dv(path: Path) -> int:
    recording, count = dv_processing.io.MonoCameraRecording(str(path)), 0
    while recording.isRunning():
        batch = recording.getNextEventBatch()
        if batch is not None:
            count += len(batch.numpy())
    return count


def bin_file(path: Path) -> int:
    source = Replay("camera", ReplayConfig(path=path))
    stage = TimeBin("bins", TimeBinConfig(window_us=10_000, size=(40, 40)), [source.port()])
    for _ in run_chain(play(source), [stage]):
        pass
    return read_count


def bin_arrays(messages: list[Message], path: Path) -> int:
    port = Replay("camera", ReplayConfig(path=path)).port()
    stage = TimeBin("bins", TimeBinConfig(window_us=10_000, size=(40, 40)), [port])
    for _ in run_chain(messages, [stage]):
        pass
    return read_count


def queue(scheme: str, batch: EventArray, folder: Path) -> int:
    """Send batches through one queue, sender and receiver in two threads."""
    endpoint = {"inproc": "inproc://q", "ipc": f"ipc://{folder}/q", "tcp": "tcp://127.0.0.1:*"}
    times = {"t_first_us": 0, "t_last_us": 0, "watermark_us": 0}
    message = data(Events, batch, stream="bench", **times)
    with zmq.Context() as context:
        receiver = Receiver(context, endpoint[scheme], "q", capacity=8)

        def send() -> None:
            sender = Sender(context, receiver.endpoint, "q")
            for _ in range(QUEUE_BATCHES):
                sender.send(message)
            sender.send(control(EndStream(stream="bench")))
            sender.drain()
            sender.close()

        thread = threading.Thread(target=send)
        thread.start()
        while not isinstance(receiver_message(receiver).header, EndStream):
            receiver.deal()
        receiver.deal()
        thread.join()
        receiver.close()
    return QUEUE_BATCHES * len(batch)


def receiver_message(receiver: Receiver) -> Message:
    message = receiver.receive()
    assert message is not None
    return message


def network_steps(network: Any, frames: torch.Tensor) -> int:
    with torch.inference_mode():
        network(frames)
    return STEPS


def products_alone(layers: list[torch.nn.Module], frames: torch.Tensor) -> int:
    """The convolutions and matrix products of the network without its neurons."""
    with torch.inference_mode():
        for frame in frames[0]:
            x = frame[None]
            for layer in layers:
                x = layer(x.flatten(1) if isinstance(layer, torch.nn.Linear) else x)
    return STEPS


read_count = 0


def main() -> None:
    """Measure, and print one table."""
    global read_count
    torch.set_num_threads(1)
    table = Table("work", "rate", "spread", "ratio", box=box.SIMPLE_HEAD)

    def rows(unit: str, scale: float, *work: tuple[str, Callable[[], int]]) -> None:
        """Measure a group; the first row is what the others are compared with."""
        first: Rate | None = None
        for name, run in work:
            rate = measure(run)
            first = first or rate
            spread = f"{rate.low / scale:.3g} to {rate.high / scale:.3g}"
            ratio = f"{rate.median / first.median:.2f}"
            table.add_row(name, f"{rate.median / scale:.3g} {unit}", spread, ratio)
        table.add_section()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "random.aedat4"
        if len(sys.argv) < 2:
            random_recording(path)
        read_count = read_ours(path)
        messages = list(play(Replay("camera", ReplayConfig(path=path))))
        events = concatenate_events([m.array for m in messages if isinstance(m.header, Events)])
        copy = events.copy()

        def memcpy() -> int:
            copy.view(np.int64)[:] = events.view(np.int64)
            return len(events)

        rows(
            "Mev/s",
            1e6,
            ("AEDAT4 to arrays, dv-processing", lambda: read_dv(path)),
            ("AEDAT4 to arrays, ours", lambda: read_ours(path)),
            ("arrays to 10 ms frames of 40×40, ours", lambda: bin_arrays(messages, path)),
            ("AEDAT4 to 10 ms frames of 40×40, ours", lambda: bin_file(path)),
            ("copy of the records (the limit)", memcpy),
        )
        batch = events[:16_384]
        rows(
            "Mev/s",
            1e6,
            *(
                (f"queue, batches of {len(batch)}, {s}", lambda s=s: queue(s, batch, folder))
                for s in ("inproc", "ipc", "tcp")
            ),
        )
        network = models.build("dvs_gesture").eval()
        frames = (torch.rand(1, STEPS, 2, 40, 40) < 0.05).float()
        layers = [network.conv1.conv, network.conv2.conv, network.conv3.conv]
        layers += [network.fc1.fc, network.fc2.fc]
        rows(
            "steps/s",
            1,
            ("its products alone, torch, 1 thread", lambda: products_alone(layers, frames)),
            ("DVS Gesture network, batch 1", lambda: network_steps(network, frames)),
        )
    Console().print(table)


if __name__ == "__main__":
    main()

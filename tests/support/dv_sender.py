"""A camera on the network: sends a recording with dv-processing's own `NetworkWriter`.

    python dv_sender.py RECORDING (--port PORT | --path SOCKET) [--speed 1] [--repeat 1] [--stay]
                        [--packet-us 10000]

It says ``listening``, begins when somebody has connected, sends packets of so many µs, each when
its end is due, and says ``sent EVENTS PACKETS``. With ``--stay`` it then keeps the connection open.
"""

import argparse
import sys
import time

import dv_processing as dv

PATIENCE_S = 60


def batches(path: str, packet_us: int, repeat: int) -> "list[dv.EventStore]":
    """Cut a recording into packets."""
    recording = dv.io.MonoCameraRecording(path)
    everything = dv.EventStore()
    while (batch := recording.getNextEventBatch()) is not None:
        everything.add(batch)
    first_us, last_us = everything.getLowestTime(), everything.getHighestTime()
    steps = range(first_us, last_us + 1, packet_us)
    packets = [everything.sliceTime(begin, begin + packet_us) for begin in steps]
    return packets * repeat


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recording")
    parser.add_argument("--port", type=int)
    parser.add_argument("--path")
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--packet-us", type=int, default=10_000)
    parser.add_argument("--stay", action="store_true")
    parser.add_argument("--compression", default="NONE")
    parser.add_argument("--tls", nargs=3, metavar=("CHAIN", "KEY", "AUTHORITY"))
    options = parser.parse_args()

    recording = dv.io.MonoCameraRecording(options.recording)
    name, size = recording.getCameraName(), recording.getEventResolution()
    stream = dv.io.Stream.EventStream(0, "events", name, size)
    stream.setCompression(getattr(dv.CompressionType, options.compression))
    if options.path:
        writer = dv.io.NetworkWriter(dv.Path(options.path), stream)
    elif options.tls:
        files = [dv.Path(file) for file in options.tls]
        writer = dv.io.NetworkWriter("127.0.0.1", options.port, stream, *files)
    else:
        writer = dv.io.NetworkWriter("127.0.0.1", options.port, stream)
    packets = batches(options.recording, options.packet_us, options.repeat)
    print("listening", flush=True)
    given_up = time.monotonic() + PATIENCE_S
    while not writer.getClientCount():
        if time.monotonic() > given_up:
            sys.exit("nobody has connected")
        time.sleep(0.002)
    sent, began = 0, time.monotonic()
    for number, packet in enumerate(packets, start=1):
        if options.speed:
            due = began + number * options.packet_us / 1e6 / options.speed
            time.sleep(max(0.0, due - time.monotonic()))
        if packet.size():
            writer.writeEvents(packet)
            sent += packet.size()
    while writer.getQueuedPacketCount() and writer.getClientCount():
        time.sleep(0.002)
    print("sent", sent, len(packets), flush=True)
    if options.stay:
        sys.stdin.read()
    # What the writer has handed to the system may still be on its way when it is closed.
    time.sleep(0.1)


if __name__ == "__main__":
    main()

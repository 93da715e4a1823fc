"""Make ``golden/nir.zip``: small networks of other frameworks as NIR, and what they put out there.

Run it where the frameworks are, which is not where the tests run, once for those that go together
(Sinabs 3.1 wants an older ``nir``)::

    python tests/golden_nir.py RECORDING.bin snntorch norse spikingjelly
    python tests/golden_nir.py RECORDING.bin sinabs

RECORDING.bin is N-MNIST's ``Train/3/00008.bin``. Of it only what the networks put out is kept.
Made with snnTorch 1.0.0, norse 1.1.0, SpikingJelly 2.0.0 (nir 1.0.8) and Sinabs 3.1.3 (nir 1.0.4),
on torch 2.13.0.
"""

import io
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = Path(__file__).parent / "golden" / "nir.zip"
CONV_SHAPE = (3, 8, 8)
MAP, POOLED, CLASSES = (34, 34), (3, 4, 4), 10


def drawn_frames() -> NDArray[np.uint8]:
    """Draw frames, (steps, channels, height, width), about as full as those of N-MNIST."""
    return np.random.default_rng(7).poisson(0.04, (60, 2, *MAP)).astype(np.uint8)


def recorded_frames(path: str | Path) -> NDArray[np.uint8]:
    """Count an N-MNIST recording in 60 bins of 5 ms from its first event on, OFF before ON."""
    raw = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64)
    t_us = (raw[:, 2] & 127) << 16 | raw[:, 3] << 8 | raw[:, 4]
    t_us -= t_us[0]
    frames = np.zeros((60, 2, *MAP), np.uint8)
    inside = t_us < 300_000
    at = (t_us // 5000, raw[:, 2] >> 7, raw[:, 1], raw[:, 0])
    np.add.at(frames, tuple(axis[inside] for axis in at), 1)
    return frames


def _weights(net: Any, gain: float) -> Any:
    """Draw weights that make neurons fire."""
    import torch
    from torch import nn

    torch.manual_seed(5)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0, gain / module.weight[0].numel() ** 0.5)
            nn.init.uniform_(module.bias, -0.05, 0.1)
    return net


def _layers(first: Any, pool: Any, last: Any) -> Any:
    from torch import nn

    conv = nn.Conv2d(2, 3, 5, stride=4, padding=1)
    return nn.Sequential(conv, first, pool, nn.Flatten(), nn.Linear(48, CLASSES), last)


def snntorch(frames: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, graph and a maker of outputs; ``_NAME`` says what differs from the defaults."""
    import snntorch as snn
    import torch
    from snntorch.export_nir import export_to_nir
    from torch import nn

    def many(value: float, *shape: int) -> Any:  # its exporter wants a value for every neuron
        return torch.full(shape or (CLASSES,), value)

    def plain(**options: Any) -> Any:
        return snn.Leaky(many(0.8), many(1.0), init_hidden=True, **options)

    def synaptic(**options: Any) -> Any:
        return snn.Synaptic(many(0.7), many(0.85), many(1.0), init_hidden=True, **options)

    def recurrent(**options: Any) -> Any:
        return snn.RLeaky(0.8, linear_features=CLASSES, init_hidden=True, **options)

    def recurrent_synaptic(**options: Any) -> Any:
        return snn.RSynaptic(0.6, 0.8, linear_features=CLASSES, init_hidden=True, **options)

    zero, now = {"reset_mechanism": "zero"}, {"reset_mechanism": "zero", "reset_delay": False}
    for name, last, options in [
        ("leaky", plain, {}),
        ("leaky_zero", plain, zero),
        ("synaptic", synaptic, {}),
        ("synaptic_zero", synaptic, now),
        ("rleaky", recurrent, {}),
        ("rsynaptic", recurrent_synaptic, {}),
    ]:
        torch.manual_seed(1)
        leaky = snn.Leaky(
            many(0.9, *CONV_SHAPE), many(0.8, *CONV_SHAPE), init_hidden=True, **options
        )
        net = _weights(_layers(leaky, nn.AvgPool2d(2), last(**options)), 2.0)

        def run(frames: Any, net: Any = net) -> Any:
            for module in net.modules():
                if isinstance(module, snn.SpikingNeuron):
                    module.reset_mem()
            return [net(frame[None]) for frame in frames]

        yield f"snntorch_{name}", export_to_nir(net, frames[:1], ignore_dims=[0]), run


def norse(frames: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield likewise; norse writes neither Flatten nor the shapes of maps."""
    import norse.torch as nt
    from norse.torch.utils.export_nir import to_nir
    from torch import nn

    for name, kind, last, gain in [
        ("lifbox", nt.LIFBoxCell, nt.LIFBoxCell, 25.0),
        ("li", nt.LIFBoxCell, nt.LIBoxCell, 10.0),
        ("lif", nt.LIFCell, nt.LIFCell, 8.0),
        ("iaf", nt.IAFCell, nt.IAFCell, 1.0),
    ]:
        conv = nn.Conv2d(2, 3, 5, stride=4, padding=1)
        net = _weights(nt.SequentialState(conv, kind(), nn.Conv2d(3, CLASSES, 8), last()), gain)
        graph = to_nir(net, frames[:1])
        graph.nodes["0"].input_shape, graph.nodes["2"].input_shape = MAP, CONV_SHAPE[1:]

        def run(frames: Any, net: Any = net) -> Any:
            outputs, state = [], None
            for frame in frames:
                output, state = net(frame[None], state)
                outputs.append(output)
            return outputs

        yield f"norse_{name}", graph, run


def sinabs(frames: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield likewise; Sinabs writes no shapes of maps."""
    import sinabs
    import sinabs.layers as sl
    from sinabs.nir import to_nir

    one = {"batch_size": 1}
    normed = sl.ExpLeakSqueeze(tau_mem=5.0, norm_input=True, **one)
    for name, first, last, gain in [
        ("iaf", sl.IAFSqueeze(**one), sl.IAFSqueeze(**one), 1.0),
        ("lif", sl.LIFSqueeze(tau_mem=8.0, **one), sl.LIFSqueeze(tau_mem=5.0, **one), 12.0),
        ("leak", sl.LIFSqueeze(tau_mem=8.0, **one), sl.ExpLeakSqueeze(tau_mem=5.0, **one), 3.0),
        ("leak_normed", sl.IAFSqueeze(**one), normed, 3.0),
    ]:
        net = _weights(_layers(first, sl.SumPool2d(2), last), gain)
        graph = to_nir(net, frames[:1])
        graph.nodes["0"].input_shape = MAP
        graph.nodes["3"].input_type = {"input": np.array(POOLED)}

        def run(frames: Any, net: Any = net) -> Any:
            sinabs.reset_states(net)
            return [net(frame[None]) for frame in frames]

        yield f"sinabs_{name}", graph, run


def spikingjelly(frames: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield likewise."""
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir
    from torch import nn

    for name, first, last in [
        ("lif", neuron.LIFNode(tau=3.0), neuron.LIFNode(tau=2.0, decay_input=False)),
        ("if", neuron.IFNode(), neuron.IFNode(v_threshold=0.5)),
        ("cuba", neuron.LIFNode(tau=2.0), neuron.CUBALIFNode(c_decay=0.6, v_decay=0.75)),
    ]:
        conv = layer.Conv2d(2, 3, 5, stride=4, padding=1)
        after = (layer.AvgPool2d(2), layer.Flatten(), layer.Linear(48, CLASSES))
        net = _weights(nn.Sequential(conv, first, *after, last), 8.0)

        def run(frames: Any, net: Any = net) -> Any:
            functional.reset_net(net)
            return [net(frame[None]) for frame in frames]

        yield f"spikingjelly_{name}", export_to_nir(net, frames[:1]), run


def main(recording: str, *frameworks: str) -> None:
    """Write the networks of some frameworks; those of others that are there already are kept."""
    import nir
    import torch

    kept = {}
    if GOLDEN.exists():
        with zipfile.ZipFile(GOLDEN) as old:
            kept = {name: old.read(name) for name in old.namelist()}
    stretches = {"drawn": drawn_frames(), "recorded": recorded_frames(recording)}
    tensors = {name: torch.from_numpy(frames).float() for name, frames in stretches.items()}
    for framework in frameworks:
        kept = {name: data for name, data in kept.items() if not name.startswith(framework)}
        for name, graph, run in globals()[framework](tensors["drawn"]):
            with tempfile.TemporaryDirectory() as folder:
                # norse leaves arrays of no axis, which cannot be compressed
                plain = {"compression": None} if framework == "norse" else {}
                nir.write(f"{folder}/graph.nir", graph, **plain)
                kept[f"{name}.nir"] = Path(folder, "graph.nir").read_bytes()
            with torch.no_grad():
                outputs = {
                    stretch: torch.cat([y.reshape(1, -1) for y in run(frames)]).numpy()
                    for stretch, frames in tensors.items()
                }
            print(name, {stretch: float(y.mean().round(4)) for stretch, y in outputs.items()})
            buffer = io.BytesIO()
            np.savez(buffer, **outputs)
            kept[f"{name}.npz"] = buffer.getvalue()
    with zipfile.ZipFile(GOLDEN, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for name, data in sorted(kept.items()):
            new.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main(*sys.argv[1:])

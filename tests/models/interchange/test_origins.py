"""Networks of snnTorch, norse, Sinabs and SpikingJelly put out here what they put out there."""

import io
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import models
from models.interchange.network import NirNetwork
from models.interchange.nir_in import Imported, read
from models.interchange.nir_out import write
from models.weights import save
from pipeline.messages import Outputs
from pipeline.offline import play, run_chain
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.inference.snn import Snn, SnnConfig
from stages.sources.replay import Replay, ReplayConfig
from tests.golden_nir import GOLDEN, drawn_frames, recorded_frames
from tests.support.shared import SHARED

OPTIONS: dict[str, dict[str, Any]] = {
    "snntorch_leaky": {},
    "snntorch_leaky_zero": {"reset": "value"},
    "snntorch_synaptic": {},
    "snntorch_synaptic_zero": {"reset": "value"},
    "snntorch_rleaky": {},
    "snntorch_rsynaptic": {},
    "norse_lifbox": {},
    "norse_li": {},
    "norse_lif": {},
    "norse_iaf": {},
    "sinabs_iaf": {},
    "sinabs_lif": {},
    "sinabs_leak": {},
    "sinabs_leak_normed": {"inflow": "rate"},
    "spikingjelly_lif": {},
    "spikingjelly_if": {},
    "spikingjelly_cuba": {},
}
"""Name of a network, its origin first -> what differs from that framework's defaults."""

FRAME = {"input_channels": 2, "size": [34, 34]}


@cache
def archive() -> dict[str, bytes]:
    with zipfile.ZipFile(GOLDEN) as file:
        return {name: file.read(name) for name in file.namelist()}


def imported(name: str, **options: Any) -> Imported:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.nir")
        path.write_bytes(archive()[path.name])
        return read(path, {"origin": name.split("_")[0]} | FRAME | OPTIONS[name] | options)


@cache
def network_of(name: str) -> NirNetwork:
    network = imported(name).network
    assert isinstance(network, NirNetwork)
    return network


def differences(name: str, stretch: str, frames: np.ndarray[Any, Any]) -> float:
    """Return the largest difference of any output of any step."""
    wanted = np.load(io.BytesIO(archive()[f"{name}.npz"]))[stretch]
    assert len(np.unique(wanted)) > 1  # neurons fire, and not all the time
    network = network_of(name)
    with torch.no_grad():
        found = network(torch.from_numpy(frames)[None])[0][0].numpy()
    return float(np.abs(found - wanted).max())


def test_all_networks_are_held_against_their_origin() -> None:
    assert {Path(name).stem for name in archive()} == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_output_is_that_of_the_origin(name: str) -> None:
    assert differences(name, "drawn", drawn_frames()) <= 1e-6


@pytest.mark.shared
@pytest.mark.parametrize("name", OPTIONS)
def test_every_output_on_a_recording_is_that_of_the_origin(name: str) -> None:
    frames = recorded_frames(SHARED / "nmnist" / "Train" / "3" / "00008.bin")
    assert differences(name, "recorded", frames) <= 1e-6


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("snntorch_leaky", {"reset": "value"}),
        ("snntorch_leaky", {"reset": "subtract"}),
        ("sinabs_lif", {"decay": "euler"}),
        ("sinabs_iaf", {"fires": "at"}),
        ("norse_lif", {"inflow": "rate"}),
        ("norse_lifbox", {"dt_s": 1e-3}),
        ("sinabs_leak", {"inflow": "rate"}),
    ],
)
def test_stepped_otherwise_the_outputs_differ(name: str, option: dict[str, Any]) -> None:
    frames = torch.from_numpy(drawn_frames())[None]
    with torch.no_grad():
        own = network_of(name)(frames)[0]
        other = imported(name, **option).network(frames)[0]
    assert not torch.allclose(own, other)


@pytest.mark.parametrize("name", OPTIONS)
def test_written_again_by_nirs_own_rules_it_does_the_same(name: str, tmp_path: Path) -> None:
    network = network_of(name)
    subtracts = network.scheme.reset != "value" or network.scheme.fires == "many"
    if subtracts:
        with pytest.raises(models.ModelError, match="NIR cannot say what it does: its neurons hav"):
            write(network, tmp_path / "again.nir", 5000)
        return
    write(network, tmp_path / "again.nir", 5000)
    again = read(tmp_path / "again.nir", FRAME).network
    frames = torch.from_numpy(drawn_frames())[None]
    with torch.no_grad():
        torch.testing.assert_close(again(frames)[0], network(frames)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["snntorch_rleaky", "norse_lif", "sinabs_lif", "spikingjelly_cuba"]
)
def test_a_pipeline_puts_out_what_the_origin_does(name: str, tmp_path: Path) -> None:
    """The recording replayed, binned and stepped by the stages, window by window."""
    network = network_of(name)
    card = models.ModelCard(
        network="nir",
        options=network.options,
        classes=tuple(f"class {k}" for k in range(10)),
        sensor_size=(34, 34),
        input_size=(34, 34),
        window_us=None,
        steps=60,
        data="none",
        accuracy="none",
        licence="none",
        created_by="a test",
    )
    save(network, card, tmp_path / "net.safetensors", network.dtype)
    source = Replay("camera", ReplayConfig(path=SHARED / "nmnist" / "Train" / "3" / "00008.bin"))
    bins = TimeBin("bins", TimeBinConfig(window_us=5000), [source.port()])
    snn = Snn("net", SnnConfig(weights=tmp_path / "net.safetensors"), [bins.port()])
    messages = run_chain(play(source), [bins, snn])
    found = np.concatenate([m.array for m in messages if isinstance(m.header, Outputs)])
    wanted = np.load(io.BytesIO(archive()[f"{name}.npz"]))["recorded"]
    np.testing.assert_array_equal(found[:60], wanted)

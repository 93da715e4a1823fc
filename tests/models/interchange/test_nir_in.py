"""Files of NIR: whose they are, their time step, and what is wrong with them."""

from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from graphs import FRAME, chain, imported, written

from models import ModelError
from models.interchange.nir_in import read
from models.interchange.scheme import ORIGINS

FULL = np.full((2, 3, 4), 1.0)


def leaky(**metadata: Any) -> Any:
    graph = chain(nir.LIF(8 * FULL, FULL, 0 * FULL, FULL, 0 * FULL))
    graph.metadata = metadata
    return graph


def test_the_time_step_of_a_file_is_the_length_of_a_window(tmp_path: Path) -> None:
    path = written(leaky(dt=0.005), tmp_path)
    network, window_us = read(path, {})
    assert (network.options["dt_s"], window_us) == (0.005, 5000)
    assert read(path, {"dt_s": 0.005}).window_us == 5000
    with pytest.raises(ModelError) as caught:
        read(path, {"dt_s": 0.001})
    assert str(caught.value) == (
        f"{path}: its time step is 0.005 s, but dt_s = 0.001; leave dt_s out"
    )


def test_a_time_step_that_is_told_counts_as_one_of_real_time(tmp_path: Path) -> None:
    assert imported(leaky(), tmp_path, dt_s=0.002).window_us == 2000


@pytest.mark.parametrize("origin", ["snntorch", "norse", "sinabs", "spikingjelly"])
def test_the_time_step_of_a_framework_is_no_length_of_time(origin: str, tmp_path: Path) -> None:
    network, window_us = read(written(leaky(), tmp_path), {"origin": origin})
    assert window_us is None
    assert network.options["dt_s"] == ORIGINS[origin].scheme.dt_s
    assert network.options["fires"] == ORIGINS[origin].scheme.fires


def test_without_a_time_step_one_is_asked_for(tmp_path: Path) -> None:
    path = written(leaky(), tmp_path)
    with pytest.raises(ModelError) as caught:
        read(path, {})
    assert str(caught.value) == (
        f"{path}: does not say its time step, which LIF need; say who wrote it, --option "
        "origin=NAME (snntorch, norse, sinabs, spikingjelly), or the step, --option dt_s=SECONDS"
    )
    scaled = written(chain(nir.Scale(FULL)), tmp_path)
    assert read(scaled, {}).network.options["mode"] == "analog"  # to a scale time means nothing


def test_where_the_input_is_no_frame_one_is_asked_for(tmp_path: Path) -> None:
    path = written(chain(nir.Scale(np.ones(24)), shape=(24,)), tmp_path)
    with pytest.raises(ModelError, match=r"its input has shape \(24,\), which is no frame; say"):
        read(path, {})
    assert read(path, FRAME).network.input_shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"origin": "snn"}, "origin: unknown 'snn'; did you mean 'snntorch'? (choices: nir, "),
        ({"origin": 3}, "origin: unknown 3; choices: nir, norse"),
        ({"dt_s": "long"}, "dt_s must be a number of seconds above 0, got 'long'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = written(leaky(), tmp_path)
    with pytest.raises(ModelError) as caught:
        read(path, options)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_wrong_time_step_in_a_file_is_named(tmp_path: Path) -> None:
    path = written(leaky(dt=-1.0), tmp_path)
    with pytest.raises(ModelError, match="metadata dt must be a number of seconds above 0, got -1"):
        read(path, {})


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"n_0\.scale must be finite, but it has NaN"):
        imported(chain(nir.Scale(FULL * np.nan)), tmp_path)


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    graph = leaky()
    graph.nodes["other"] = nir.Input(np.array([2, 3, 4]))
    with pytest.raises(ModelError, match="must have one Input to be run here, it has 2"):
        imported(graph, tmp_path)


def test_files_that_are_no_graphs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "graph.nir"
    with pytest.raises(ModelError, match="there is no such file"):
        read(path, {})
    path.write_bytes(b"not HDF5")
    with pytest.raises(ModelError, match="must be a graph of NIR in HDF5, but reading it fails"):
        read(path, {})
    nir.write(path, nir.Scale(FULL))
    with pytest.raises(ModelError, match="must be a graph of NIR in HDF5, but reading it fails"):
        read(path, {})
    whole = written(leaky(), tmp_path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="must be a graph of NIR in HDF5, but reading it fails"):
        read(path, {})


def test_a_small_file_cannot_claim_all_memory(tmp_path: Path) -> None:
    path = written(leaky(), tmp_path)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/0/r"]
        file["node/nodes/0"].create_dataset("r", (1 << 40,), np.float64, chunks=(1 << 16,))
    with pytest.raises(ModelError, match=r"its arrays are \d{13} bytes, at most"):
        read(path, {})

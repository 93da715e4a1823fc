"""Compiling with a double of Lynxi's compiler: what is called, what is left, what goes wrong."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lynxi_compiler import Lyngor
from weights import random_weights

import models
from models.errors import ModelError
from models.ka200 import compiler
from models.ka200.compiled import read_compiled
from models.ka200.compiler import compile_weights, open_lyngor
from models.ka200.preflight import Preflight, preflight


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights") / "net.safetensors")


def report(**asked: Any) -> Preflight:
    return preflight("dvs_gesture", {}, **asked)


def test_the_compiler_is_called_as_in_the_public_sample(weights: Path, tmp_path: Path) -> None:
    lyngor, folder = Lyngor(), tmp_path / "chip"
    compiled = compile_weights(weights, folder, report(), lyngor)
    assert lyngor.calls == [
        ("DLModel",),
        ("load", "Pytorch", {"data_0": (1, 2, 40, 40)}, "uint8"),
        ("Builder", "apu", True),
        ("build", 3, str(folder), 0, 1),
    ]
    assert lyngor.graph.count("custom::load") == lyngor.graph.count("custom::save") == 5
    assert read_compiled(folder, for_chip=True) == compiled
    assert compiled.card == models.read_card(weights)
    assert compiled.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (compiled.features, compiled.batch, compiled.mean_steps) == (11, 1, None)


def test_a_batch_is_run_by_a_module_of_one(weights: Path, tmp_path: Path) -> None:
    lyngor = Lyngor()
    asked = report(batch=7, input_type="float32", mean_steps=60)
    compiled = compile_weights(weights, tmp_path / "chip", asked, lyngor)
    assert lyngor.calls[1] == ("load", "Pytorch", {"data_0": (1, 2, 40, 40)}, "float32")
    assert lyngor.calls[-1] == ("build", 3, str(tmp_path / "chip"), 1, 7)
    assert (compiled.batch, compiled.input_type, compiled.mean_steps) == (7, "float32", 60)


def test_frames_go_in_with_channels_last_where_asked(weights: Path, tmp_path: Path) -> None:
    lyngor = Lyngor()
    compiled = compile_weights(weights, tmp_path / "chip", report(layout="nhwc"), lyngor)
    assert lyngor.calls[1] == ("load", "Pytorch", {"data_0": (1, 40, 40, 2)}, "uint8")
    assert (compiled.layout, compiled.input_shape) == ("nhwc", (2, 40, 40))


def test_without_the_compiler_the_folder_is_for_the_emulator(weights: Path, tmp_path: Path) -> None:
    compiled = compile_weights(weights, tmp_path / "chip", report())
    assert read_compiled(tmp_path / "chip") == compiled
    with pytest.raises(ModelError, match="there is no network for the chip"):
        read_compiled(tmp_path / "chip", for_chip=True)


@pytest.mark.parametrize(
    ("lyngor", "message"),
    [
        (
            {"fails": RuntimeError("no such\n  operator")},
            "dvs_gesture: lyngor could not compile it: RuntimeError: no such operator; what it"
            " printed tells more",
        ),
        ({"slices": 2}, "batch_size and n_slice must be equal, got 1 and 2"),
        ({"makes": False}, "lyngor made no Net_0 and raised no error"),
    ],
)
def test_what_the_compiler_does_wrong_is_said_and_nothing_is_left(
    weights: Path, tmp_path: Path, lyngor: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        compile_weights(weights, tmp_path / "chip", report(), Lyngor(**lyngor))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_written_over_only_where_it_was_compiled(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chip"
    compile_weights(weights, folder, report())
    with pytest.raises(ModelError, match="chip: exists already; remove it or give --replace"):
        compile_weights(weights, folder, report())
    (folder / "old").touch()
    compile_weights(weights, folder, report(), replace=True)
    assert not (folder / "old").exists()
    (tmp_path / "photos").mkdir()
    with pytest.raises(ModelError, match="removes only what `pipeline compile` made"):
        compile_weights(weights, tmp_path / "photos", report(), replace=True)


def test_what_cannot_run_is_not_compiled(weights: Path, tmp_path: Path) -> None:
    refused = preflight("nir", {})
    with pytest.raises(ModelError, match="cannot be compiled: nir: cannot run on the KA200"):
        compile_weights(weights, tmp_path / "chip", refused, Lyngor())
    assert list(tmp_path.iterdir()) == []


def test_an_absent_sdk_is_one_error() -> None:
    with pytest.raises(ModelError) as error:
        open_lyngor()
    assert str(error.value) == (
        "compiling for ka200 needs Lynxi's compiler, the Python package lyngor (No module named"
        " 'lyngor'); it comes with the driver of the KA200; without it --emulator makes what the"
        " emulator runs"
    )


class TestOperators:
    @pytest.fixture(autouse=True)
    def installed(self, monkeypatch: pytest.MonkeyPatch) -> Lyngor:
        lyngor = Lyngor()
        monkeypatch.setitem(sys.modules, "lyngor", lyngor)
        return lyngor

    def test_are_those_that_the_compiler_brings(self, installed: Lyngor) -> None:
        assert open_lyngor() is installed

    def test_must_be_a_library(self, tmp_path: Path) -> None:
        library = tmp_path / "libcustom_ops.so"
        library.write_text("no library")
        with pytest.raises(ModelError, match=r"--operators: .* cannot be loaded"):
            open_lyngor(library)

    def test_must_be_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compiler, "OPERATORS", ("load", "never_made"))
        assert not hasattr(torch.ops.custom, "never_made")
        with pytest.raises(ModelError, match=r"needs the operators never_made in .*--operators"):
            open_lyngor()

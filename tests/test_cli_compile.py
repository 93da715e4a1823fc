"""``pipeline compile``: the report, compiling for the chip and for the emulator, parity."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from lynxi_compiler import Lyngor
from weights import random_weights

from models.ka200.compiled import read_compiled


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return random_weights(
        tmp_path / "net.safetensors",
        size=(16, 16),
        network="mnist_dvs",
        mode="spike",
        steps=3,
    )


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    drawn = np.random.default_rng(0).poisson(0.3, (6, 2, 16, 16)).astype(np.uint8)
    np.save(tmp_path / "frames.npy", drawn)
    return tmp_path / "frames.npy"


def test_the_report_needs_no_weights_and_no_sdk(command_line: CommandLine) -> None:
    code, out, err = command_line("compile", "mnist_dvs", "--mean")
    assert (code, err) == (0, "")
    assert "custom::cmpandfire" not in out, "analog neurons put out the membrane"
    assert ["aten::max_pool2d", "3", "4", "yes"] in [line.split() for line in out.split("\n")]
    assert "mnist_dvs: 1×2×40×40 uint8 in, 10 outputs a step" in out
    assert "note: the mean is of the 20 steps since a model reset" in out
    assert "note: bytes hold up to 255 events of a pixel and step; a frame with more ends" in out
    assert out.endswith("can run on the KA200; nothing more is known without its compiler\n")


def test_what_cannot_run_says_why(command_line: CommandLine) -> None:
    code, out, _ = command_line("compile", "nir")
    assert code == 0
    assert out.startswith("cannot run: nir: cannot run on the KA200: its neurons are of another")


def test_tokens_are_no_bytes(command_line: CommandLine) -> None:
    report = json.loads(command_line("compile", "imdb", "--json").out)["preflight"]
    assert (report["input_type"], report["problems"]) == ("float32", [])
    assert report["memory_bytes"] > report["weights_bytes"] == 2 * 21_137


def test_verify_sets_it_beside_the_network(
    command_line: CommandLine, weights: Path, frames: Path
) -> None:
    code, out, _ = command_line("compile", weights, "--verify", frames, "--json")
    assert code == 0
    half, single = json.loads(out)["parity"]
    assert (half["arithmetic"], single["arithmetic"]) == ("float16", "float32")
    assert (single["agreed"], single["predictions"], single["difference_max"]) == (2, 2, 0)
    assert [layer["name"] for layer in half["layers"]] == ["conv1", "conv2", "conv3"]
    shown = command_line("compile", weights, "--verify", frames).out
    assert "float32: 2 of 2 predictions agree over 6 steps; outputs up to 1 differ by" in shown
    assert "never" in shown


def test_what_a_byte_does_not_hold_is_not_verified_as_if_it_did(
    command_line: CommandLine, weights: Path, tmp_path: Path
) -> None:
    many = np.zeros((3, 2, 16, 16), np.uint16)
    many[1, 0, 3, 3] = 300
    np.save(tmp_path / "many.npy", many)
    asked = ("compile", weights, "--verify", tmp_path / "many.npy")
    code, _, err = command_line(*asked)
    assert code == 2
    assert err.endswith(
        "many.npy has numbers up to 300, more than a byte holds; compile with --input float32\n"
    )
    assert command_line(*asked, "--input", "float32").code == 0


def test_frames_may_go_in_with_channels_last(
    command_line: CommandLine, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "chip"
    code, shown, _ = command_line(
        "compile", weights, "--out", out, "--emulator", "--layout", "nhwc"
    )
    assert code == 0
    assert "mnist_dvs: 1×16×16×2 uint8 in" in shown
    assert read_compiled(out).layout == "nhwc"


def test_for_the_emulator_no_sdk_is_needed(
    command_line: CommandLine, weights: Path, frames: Path, tmp_path: Path
) -> None:
    out = tmp_path / "chip"
    asked = ("compile", weights, "--out", out, "--emulator", "--mean", "--verify", frames)
    code, shown, err = command_line(*asked)
    assert (code, err) == (0, f"written: {out}\n")
    assert "predictions agree" in shown
    compiled = read_compiled(out)
    assert (compiled.mean_steps, compiled.features) == (3, 11)
    again = command_line(*asked)
    assert again.code == 2
    assert again.err == f"error: {out}: exists already; remove it or give --replace\n"


def test_with_the_sdk_it_is_compiled_for_the_chip(
    command_line: CommandLine, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lyngor = Lyngor()
    monkeypatch.setitem(sys.modules, "lyngor", lyngor)
    code, _, err = command_line(
        *("compile", weights, "--out", tmp_path / "chip", "--batch", "4", "--input", "float32")
    )
    assert (code, err) == (0, f"written: {tmp_path / 'chip'}\n")
    assert lyngor.calls[-1] == ("build", 3, str(tmp_path / "chip"), 1, 4)
    assert read_compiled(tmp_path / "chip").batch == 4


def test_mistakes_are_one_line(
    command_line: CommandLine, weights: Path, frames: Path, tmp_path: Path
) -> None:
    out = tmp_path / "chip"
    for asked, message in [
        ((weights, "--out", out), "compiling for ka200 needs Lynxi's compiler, the Python package"),
        (("jester", "--out", out, "--emulator"), "MODEL: jester is a network without weights"),
        ((weights, "--out", out, "--verify", frames), "--verify: runs the emulator, whose"),
        ((weights, "--batch", "3"), "batch must be one that the compiler takes, 1, 2, 4, 7, 14"),
        (("jster",), "jster: there is no such file"),
    ]:
        ended = command_line("compile", *asked)
        assert ended.code == 2
        assert ended.err.startswith(f"error: {message}")
        assert ended.err.count("\n") == 1
    assert not out.exists()

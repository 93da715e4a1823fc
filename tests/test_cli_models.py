"""``pipeline models``: the list, a card, an import, untrained weights."""

import json
from pathlib import Path

import pytest
import torch
from command_line import CommandLine
from msgspec.structs import replace
from weights import random_weights

import models
from models.card import TrainedWords
from models.weights import save
from recordings import some_events, write_recording
from tests.golden_draw import tensors


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint as BIDL's training writes it."""
    path = tmp_path / "best.pth"
    wrapped = {f"module.{name}": t.float() for name, t in tensors("mnist_dvs_spike").items()}
    torch.save({"state_dict": wrapped, "epoch": 19, "seed": None}, path)
    return path


def test_the_list_has_every_network(command_line: CommandLine) -> None:
    code, out, err = command_line("models", "list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    names = [line.split()[0] for line in lines[:-1] if not line.startswith(" ")]
    assert names == list(models.NETWORKS)
    facts = "dvs_gesture 2.01 M 2×40×40 counts 60 steps 11 classes spike"
    assert " ".join(lines[0].split()) == facts
    assert lines[1].split()[0] == "recipes"
    assert max(map(len, lines[:-1])) <= 80


def test_the_list_as_json_names_files_that_exist(command_line: CommandLine) -> None:
    rows = {row["network"]: row for row in json.loads(command_line("models", "list", "--json").out)}
    assert rows["imdb"]["parameters"] == 21_137
    assert rows["imdb"]["input_shape"] == [1, 1, 1]
    recipes = rows["dvs_gesture"]["recipes"]
    assert [Path(path).name for path in recipes] == ["dvs_gesture.toml"]
    files = [path for row in rows.values() for path in row["recipes"] + row["pipelines"]]
    assert all(Path(path).is_file() for path in files)


def test_a_card_is_shown(command_line: CommandLine, tmp_path: Path) -> None:
    path = random_weights(tmp_path / "w.safetensors")
    code, out, _ = command_line("models", "show", path)
    assert code == 0
    rows = [line.split(maxsplit=1) for line in out.splitlines()[1:]]
    assert ["network", "dvs_gesture"] in rows
    assert ["window_us", "25000 µs"] in rows
    assert ["sensor_size", "[128, 128] (height, width), px"] in rows
    assert ["mode", "spike"] in rows
    assert "  classes       11: gesture 0, gesture 1, " in out
    shown = json.loads(command_line("models", "show", path, "--json").out)
    assert shown["options"] == models.read_card(path).options
    assert shown["bytes"] == path.stat().st_size


def test_the_card_of_a_network_of_words_tells_its_vocabulary(
    command_line: CommandLine, tmp_path: Path
) -> None:
    path = random_weights(tmp_path / "w.st", None, (1, 1), "imdb", "tokens", ("no", "yes"))
    assert "vocabulary  " not in command_line("models", "show", path).out.partition("options")[0]
    card = replace(models.read_card(path), vocabulary=TrainedWords(1001, "ab" * 32))
    save(models.load(path), card, path)
    assert (
        f"  vocabulary    1001 ids, sha256 {'ab' * 8}…\n"
        in command_line("models", "show", path).out
    )


def test_a_checkpoint_is_imported(command_line: CommandLine, checkpoint: Path) -> None:
    names = checkpoint.with_name("names.txt")
    names.write_text("zero\none\ntwo\nthree\nfour\n five\n\nsix\nseven\neight\nnine\n")
    code, out, err = command_line(
        *("models", "import", checkpoint, "--as", "mnist_dvs"),
        *("--option", "mode=spike", "--option", "head=per_step", "--classes", names),
        *("--window-us", "15000", "--size", "34x34", "--licence", "Apache-2.0"),
    )
    target = checkpoint.with_suffix(".safetensors")
    assert (code, out, err) == (0, f"written: {target}\n", "")
    card = models.read_card(target)
    assert (card.options["mode"], card.options["head"]) == ("spike", "per_step")
    assert (card.classes[3], card.window_us, card.sensor_size) == ("three", 15_000, (34, 34))
    assert (card.data, card.accuracy, card.licence) == ("unknown", "unknown", "Apache-2.0")
    theirs = models.from_reference("mnist_dvs", tensors("mnist_dvs_spike")).state_dict()
    for name, tensor in models.load(target).state_dict().items():  # float32, as it came
        assert torch.equal(tensor, theirs[name].to(tensor.dtype))


def test_an_old_file_is_left_alone(command_line: CommandLine, checkpoint: Path) -> None:
    target = checkpoint.with_suffix(".safetensors")
    target.write_text("mine")
    asked = ("models", "import", checkpoint, "--as", "mnist_dvs")
    assert command_line(*asked) == (
        2,
        "",
        f"error: {target}: exists already; remove it or give --replace\n",
    )
    assert target.read_text() == "mine"
    assert command_line(*asked, "--replace").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--as", "mnist"), "unknown network 'mnist'; did you mean 'mnist_dvs'?"),
        (
            ("--as", "imdb"),
            "best.pth: must fit imdb, but embedding.weight is missing, lif.p0.weight is missing,",
        ),
        (
            ("--as", "mnist_dvs", "--option", "classes=7"),
            "best.pth: must fit mnist_dvs with 7 classes, but its head (module.head.4.weight) has"
            " 10; set classes = 10, on the command line --option classes=10 or --classes with 10",
        ),
        (("--as", "mnist_dvs", "--option", "mode"), "--option mode: must be KEY=VALUE"),
        (("--as", "mnist_dvs", "--option", "mood=1"), "unknown option 'mood'; did you mean 'mode'"),
        (("--as", "mnist_dvs", "--classes", "none.txt"), "--classes: none.txt cannot be read"),
        (("--as", "mnist_dvs", "--size", "34"), "--size: must be WIDTHxHEIGHT"),
    ],
)
def test_a_wrong_request_is_one_line(
    command_line: CommandLine, checkpoint: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = command_line("models", "import", checkpoint, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not checkpoint.with_suffix(".safetensors").exists()


def test_a_folder_is_no_checkpoint(command_line: CommandLine) -> None:
    code, _, err = command_line("models", "import", ".", "--as", "imdb")
    assert (code, err) == (2, "error: .: cannot be read (Is a directory); check the path\n")


def test_too_few_names_of_classes_are_refused(
    command_line: CommandLine, checkpoint: Path, tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    asked = ("models", "import", checkpoint, "--as", "mnist_dvs", "--classes", names)
    names.write_text("one\ntwo\n")
    code, _, err = command_line(*asked, "--option", "classes=10")
    assert (code, err) == (2, "error: --classes: must name the network's 10 classes, got 2\n")
    names.write_text("\n")
    assert "must have a name a line, it is empty" in command_line(*asked).err


def test_untrained_weights_say_so(command_line: CommandLine, tmp_path: Path) -> None:
    first, again, other = (tmp_path / f"{name}.safetensors" for name in ("a", "b", "c"))
    asked = ("models", "new", "luna16cls", "--option", "size=[16, 16]", "--out")
    code, out, _ = command_line(*asked, first)
    assert (code, out) == (0, f"written: {first}; these weights are untrained\n")
    card = models.read_card(first)
    assert card.accuracy == "none: untrained weights, drawn with seed 0"
    assert (card.frame, card.window_us, card.input_size) == ("slices", None, (16, 16))
    assert models.load(first).input_shape == (1, 16, 16)
    assert command_line(*asked, again).code == command_line(*asked, other, "--seed", 1).code == 0
    assert again.read_bytes() == first.read_bytes() != other.read_bytes()


def test_untrained_layers_that_stay_silent_are_named(
    command_line: CommandLine, tmp_path: Path
) -> None:
    asked = ("models", "new", "imdb", "--out", tmp_path / "w.safetensors", "--option")
    code, out, _ = command_line(*asked, "lif={theta = 1e4}")
    assert code == 0
    assert out.endswith("\nuntrained: silent on random frames, 1 layer: fc1\n")


PIPELINE = """
[[stage]]
name = "camera"
use = "replay"
path = "recording.aedat4"
[[stage]]
name = "bins"
use = "time_bin"
window_us = 5000
size = [12, 16]
[[stage]]
name = "network"
use = "snn"
weights = "weights/new.safetensors"
expects = { network = "dvs_gesture", classes = 3 }
[[stage]]
name = "decision"
use = "aggregate"
steps = 4
[[stage]]
name = "screen"
use = "console"
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline whose weights are not there."""
    monkeypatch.chdir(tmp_path)
    write_recording(tmp_path / "recording.aedat4", some_events())
    path = tmp_path / "job.toml"
    path.write_text(PIPELINE)
    return Path("job.toml")


def test_untrained_weights_fit_the_pipeline_that_they_are_for(
    command_line: CommandLine, job: Path
) -> None:
    asked = ("models", "new", "--for", job)
    assert "`pipeline models new --for job.toml` makes untrained" in command_line("check", job).err
    written = "written: weights/new.safetensors; these weights are untrained\n"
    assert command_line(*asked) == (0, written, "")
    assert command_line("check", job).code == 0
    card = models.read_card("weights/new.safetensors")
    assert (card.network, card.window_us, card.frame) == ("dvs_gesture", 5000, "counts")
    fitted = {"input_channels": 2, "size": [12, 16], "steps": 4, "classes": 3}
    assert card.options | fitted == card.options
    assert "exists already; remove it or give --replace" in command_line(*asked).err
    smaller = ("--set", "bins.size=[8, 8]", "--set", "network.expects.classes=5")
    assert command_line(*asked, *smaller, "--option", "mode=analog", "--replace").code == 0
    assert command_line("check", job, *smaller).code == 0
    assert models.read_card("weights/new.safetensors").options["mode"] == "analog"
    assert "expects.classes: asks for 3, but new.saf" in command_line("check", job).err


def test_a_vocabulary_that_is_not_there_is_made_with_untrained_weights(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("a good film\nnot good\n")
    stages = [
        {"name": "texts", "use": "text", "path": "texts.txt", "vocabulary": "w/v.txt", "steps": 4},
        {"name": "network", "use": "snn", "weights": "w/new.safetensors"},
        {"name": "decision", "use": "aggregate", "over": "recording"},
        {"name": "screen", "use": "console"},
    ]
    rows = ["\n".join(f"{k} = {json.dumps(v)}" for k, v in stage.items()) for stage in stages]
    Path("job.toml").write_text("".join(f"[[stage]]\n{row}\n" for row in rows))
    missing = command_line("check", "job.toml").err
    assert "stage.texts.vocabulary: " in missing
    assert "`pipeline models new --for job.toml` with untrained ones" in missing
    code, out, err = command_line("models", "new", "imdb", "--for", "job.toml")
    assert (code, err) == (0, "")
    assert out.startswith("written: w/v.txt, of the pipeline's own texts\nwritten: w/new.safeten")
    assert Path("w/v.txt").read_text().split() == ["good", "a", "film", "not"]
    assert command_line("check", "job.toml").code == 0
    card = models.read_card("w/new.safetensors")
    assert card.options["vocabulary"] == card.vocabulary.ids == 6
    Path("w/v.txt").write_text("other\n")
    assert (
        "new.safetensors (imdb) was trained with another" in command_line("check", "job.toml").err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "NETWORK: is required, unless --for PIPELINE.toml tells it"),
        (("imdb",), "--out: is required, unless --for PIPELINE.toml tells it"),
        (("imdb", "--out", "a.st", "--stage", "x"), "--stage: has no meaning without --for PIPELI"),
        (("imdb", "--out", "a.st", "--set", "a.b=1"), "--set: has no meaning without --for PIPELI"),
        (("imdb", "--for", "job.toml"), "network.expects asks for dvs_gesture, got imdb"),
        (
            ("--for", "job.toml", "--stage", "netwrk"),
            "--stage netwrk: no such network in job.toml; ",
        ),
        (("--for", "none.toml"), "none.toml: no such file; name a pipeline TOML file"),
        (("--for", "job.toml", "--set", "bins.size=[999, 99]"), "stage.bins.size: height must be"),
        (("--for", "job.toml", "--set", "network.from=camera"), "takes frames, it is given events"),
        (("--for", "job.toml", "--set", "network.expects={}"), "does not say which network; add"),
        (
            ("--for", "job.toml", "--set", "network.use=relay"),
            "stage.network.use: no stage is called",
        ),
        (("--for", "job.toml", "--set", "network.use=resize"), "has no stage that uses snn, so no"),
        (
            ("--for", "job.toml", "--set", "network.expects.network=dvs"),
            "unknown network 'dvs'; did you mean",
        ),
    ],
)
def test_what_new_weights_are_for_must_be_told(
    command_line: CommandLine, job: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = command_line("models", "new", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert not Path("weights").exists()


def test_one_of_several_networks_is_named(command_line: CommandLine, job: Path) -> None:
    second = PIPELINE[PIPELINE.index('[[stage]]\nname = "network"') :]
    for name in ("network", "decision", "screen"):
        second = second.replace(f'"{name}"', f'"{name}2"')
    second = second.replace('snn"', 'snn"\nfrom = "bins"').replace("new.saf", "second.saf")
    job.write_text(PIPELINE + second)
    asked = ("models", "new", "--for", job)
    assert command_line(*asked).err == (
        "error: job.toml: has several networks; say --stage network or network2\n"
    )
    assert command_line(*asked, "--stage", "network2").code == 0
    assert Path("weights/second.safetensors").exists()


def test_weights_travel_through_nir(command_line: CommandLine, tmp_path: Path) -> None:
    path, again = tmp_path / "w.safetensors", tmp_path / "again.safetensors"
    assert command_line("models", "new", "nir", "--out", path, "--window-us", "5000").code == 0
    code, out, _ = command_line("models", "export", path, "--to", "nir")
    assert (code, out) == (0, f"written: {tmp_path / 'w.nir'}\n")
    told = ("--option", "steps=60", "--data", "drawn")
    code, out, _ = command_line(
        "models", "import", tmp_path / "w.nir", "--as", "nir", "--out", again, *told
    )
    assert (code, out) == (0, f"written: {again}\n")
    card = models.read_card(again)
    assert (card.window_us, card.steps, card.data) == (5000, 60, "drawn")
    x = torch.poisson(torch.full((1, 10, 2, 34, 34), 0.5))
    one, other = models.load(path), models.load(again)
    assert torch.equal(one(x)[0], other(x)[0])
    code, _, err = command_line(
        "models", "import", tmp_path / "w.nir", "--as", "nir", "--window-us", "1000", "--replace"
    )
    assert (code, err) == (
        2,
        f"error: --window-us: {tmp_path / 'w.nir'} says that a step is 5000 µs, got 1000;"
        " leave it out\n",
    )


def test_an_export_says_why_it_is_none(command_line: CommandLine, tmp_path: Path) -> None:
    path = random_weights(tmp_path / "w.safetensors", network="mnist_dvs", mode="spike")
    code, out, err = command_line("models", "export", path, "--to", "nir")
    assert (code, out) == (2, "")
    reason = "NIR cannot say what it does: it pools by the maximum; export it to onnx"
    assert err == f"error: mnist_dvs: {reason}\n"
    assert not path.with_suffix(".nir").exists()


def test_one_step_is_exported(command_line: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    assert command_line("models", "new", "nir", "--out", path).code == 0
    for to, name in (("onnx", "w.onnx"), ("torch", "w.pt2")):
        code, out, err = command_line("models", "export", path, "--to", to)
        assert (code, out, err) == (0, f"written: {tmp_path / name}\n", "")
        code, _, err = command_line("models", "export", path, "--to", to)
        assert (code, err.startswith(f"error: {tmp_path / name}: exists already")) == (2, True)
    deep = tmp_path / "new" / "folder" / "w.onnx"
    assert command_line("models", "export", path, "--to", "onnx", "--out", deep).code == 0
    assert deep.exists()

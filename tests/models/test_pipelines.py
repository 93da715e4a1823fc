"""Every pipeline that is shipped checks, and runs over its samples to the end."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from weights import random_weights

import models
from models.training.recipe import load_recipe
from pipeline.config import read_config
from pipeline.graph import Graph, build_graph
from pipeline.messages import Message, Outputs, Predictions, Start
from pipeline.offline import play, run_chain
from pipeline.ports import PredictionsPort
from pipeline.registry import load_stage
from pipeline.stage import Source, StageConfig
from stages.inference.untrained import fitting, network_place
from stages.sources.vocabulary import read_vocabulary

REPOSITORY = Path(__file__).parents[2]
PIPELINES = REPOSITORY / "models" / "pipelines"
RECIPES = REPOSITORY / "models" / "recipes"


class Case(NamedTuple):
    """A pipeline's network and the frames that it makes; fresh weights are made for these."""

    network: str
    window_us: int | None
    size: tuple[int, int]
    frame: str
    settings: tuple[str, ...] = ()
    """What makes it quick, and what training would have left."""
    each: int | None = None
    """Windows to a prediction; None: each recording makes one."""


CASES = {
    "dvs_gesture": Case(
        "dvs_gesture",
        25_000,
        (40, 40),
        "counts",
        ("camera.stop_us=3_100_000", "screen.judge=false"),  # its labels are of 11 classes
        each=60,
    ),
    "rgb_gesture": Case("rgb_gesture", 40_000, (40, 40), "counts", each=60),
    "nmnist": Case("mnist_dvs", 16_000, (34, 34), "counts", ("camera.speed=0",)),
    "mnist_dvs": Case("mnist_dvs", 50_000, (40, 40), "counts"),
    "cifar10_dvs": Case("cifar10_dvs", 5000, (64, 64), "counts", ("bins.size=[64, 64]",), each=10),
    "es_imagenet": Case(
        "es_imagenet",
        1000,
        (32, 32),
        "counts",
        ("bins.size=[32, 32]", "network.expects.classes=2"),
    ),
    "jester": Case("jester", None, (32, 32), "bgr", ("size.size=[32, 32]",)),
    "imdb": Case("imdb", None, (1, 1), "tokens", ("reviews.vocabulary={folder}/vocabulary.txt",)),
    "luna16cls": Case("luna16cls", None, (32, 32), "slices"),
    "meta_spikeformer_8_512": Case(
        "meta_spikeformer_8_384",  # the smallest of its kind
        None,
        (32, 32),
        "rgb",
        (
            "pictures.size=[32, 32]",
            "pictures.resize_px=36",
            "network.expects={{network = 'meta_spikeformer_8_384'}}",
        ),
    ),
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each pipeline is run with: random weights, and what else is not shipped."""
    folder = tmp_path_factory.mktemp("pipelines")
    (folder / "vocabulary.txt").write_text("the\nfilm\ngood\nbad\nnot\n")
    found = {}
    for name, case in CASES.items():
        path = random_weights(
            folder / f"{name}.safetensors",
            case.window_us,
            case.size,
            case.network,
            case.frame,
            ("no", "yes"),
        )
        found[name] = [one.format(folder=folder) for one in case.settings]
        found[name].append(f"network.weights={path}")
    return found


def graph_of(name: str, settings: dict[str, list[str]]) -> Graph:
    """Build a pipeline as `pipeline check` does."""
    return build_graph(read_config(PIPELINES / f"{name}.toml", settings[name]))


def run(graph: Graph) -> list[Message]:
    """What each stage in front of the sinks puts out, one behind the other."""
    source, *stages = (node.stage for node in graph.nodes if node.port is not None)
    assert isinstance(source, Source)
    messages = list(play(source))
    passed = [message for message in messages if isinstance(message.header, Start)]
    for stage in stages:
        assert not isinstance(stage, Source)
        messages = list(run_chain(messages, [stage]))
        passed += [m for m in messages if isinstance(m.header, Outputs | Predictions)]
    return passed


def units(messages: list[Message], kind: type[Any]) -> Counter[int]:
    """Rows of a kind of message, by recording."""
    counts: Counter[int] = Counter()
    for message in messages:
        if isinstance(message.header, kind):
            counts[message.header.epoch] += len(message.array)
    return counts


def test_every_pipeline_has_its_case() -> None:
    assert sorted(CASES) == sorted(path.stem for path in PIPELINES.glob("*.toml"))


@pytest.mark.parametrize("name", CASES)
def test_a_pipeline_runs_over_its_samples_to_the_end(
    name: str, settings: dict[str, list[str]]
) -> None:
    graph, each = graph_of(name, settings), CASES[name].each
    (port,) = (node.port for node in graph.nodes if isinstance(node.port, PredictionsPort))
    messages = run(graph)
    recordings = sum(isinstance(m.header, Start) for m in messages)
    outputs, made = units(messages, Outputs), units(messages, Predictions)
    assert len(outputs) == recordings > 0
    expected = {epoch: 1 if each is None else n // each for epoch, n in outputs.items()}
    assert made == Counter(expected)
    assert made.total() > 0
    scores = np.concatenate([m.array for m in messages if isinstance(m.header, Predictions)])
    assert scores.shape == (made.total(), len(port.classes))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", sorted(CASES.keys() & {path.stem for path in RECIPES.glob("*")}))
def test_frames_are_made_as_for_training(name: str) -> None:
    source, *tables = read_config(PIPELINES / f"{name}.toml").stages
    behind = next(k for k, table in enumerate(tables) if table.use == "snn")
    # Training itself gives each example the network's number of steps.
    streamed = [(t.use, t.options) for t in tables[:behind] if t.use != "steps"]
    counts = [t.options.get("count" if t.use == "steps" else "steps") for t in tables[:behind]]
    trained = []
    for variants in ([], ["simulated"]):
        recipe = load_recipe(RECIPES / f"{name}.toml", variants)
        stages = recipe.input.stage
        alike = made_alike([(s["use"], {k: v for k, v in s.items() if k != "use"}) for s in stages])
        trained.append((recipe.network.options["steps"], alike))
    assert made_alike(streamed) in [alike for _, alike in trained]
    told = {count for count in [source.options.get("steps"), *counts] if count is not None}
    assert told <= {steps for steps, alike in trained if made_alike(streamed) == alike}


@pytest.mark.parametrize("name", CASES)
def test_untrained_weights_of_a_pipeline_fit_it(name: str, tmp_path: Path) -> None:
    words = [f"reviews.vocabulary={tmp_path / 'new' / 'words.txt'}"] if name == "imdb" else []
    config = read_config(PIPELINES / f"{name}.toml", words)
    place = network_place(config, None)
    fits = fitting(config, place)
    with torch.device("meta"):
        network = models.build(place.config.expects["network"], **fits.options)
    frames = fits.frames
    assert network.input_shape == (frames.channels, frames.height, frames.width)
    assert frames.steps in (None, network.options["steps"])
    if words:
        assert fits.made == [tmp_path / "new" / "words.txt"]
        assert network.options["vocabulary"] == read_vocabulary(fits.made[0]).ids
        assert fitting(config, place).made == []


def made_alike(stages: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, StageConfig]]:
    """Stages with all their options, whether these were named or left out."""
    return [(use, load_stage(use).Config(**options)) for use, options in stages]


def test_checking_them_loads_nothing_heavy(settings: dict[str, list[str]]) -> None:
    heavy = ["torch", "numba", "h5py", "tonic", "sklearn", "lightning"]
    code = "import sys; from pathlib import Path; from pipeline.config import read_config;"
    code += "from pipeline.graph import build_graph\n"
    for name in CASES:
        code += (
            f"build_graph(read_config(Path({str(PIPELINES)!r}, '{name}.toml'), {settings[name]}))\n"
        )
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"

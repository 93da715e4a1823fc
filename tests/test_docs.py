"""The documentation says what the code does: pages made from it, links, commands and examples."""

import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from live import Playing
from reference_pages import PAGES
from resuming import read
from senders import free_port
from weights import random_weights

from models.training import load_recipe
from pipeline.config import read_config, value_of
from pipeline.errors import ConfigError
from pipeline.events import events_from_columns
from pipeline.graph import build_graph
from recordings import some_events, write_recording
from stages.datasets.labels import Label, write_labels
from stages.sources.dv_network import DvNetwork, DvNetworkConfig
from stages.sources.udp import Udp, UdpConfig

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
PAGES_BY_NAME = {
    str(path.relative_to(REPOSITORY)): path
    for path in [*sorted(DOCS.rglob("*.md")), REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md"]
}


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", PAGES)
def test_reference_pages_are_what_the_code_makes(name: str) -> None:
    page = DOCS / "reference" / f"{name}.md"
    assert page.exists()
    remedy = "out of date: run `python docs/reference_pages.py --write docs/reference`"
    assert page.read_text() == PAGES[name](), f"{page} is {remedy}"


@pytest.mark.parametrize("name", PAGES_BY_NAME)
def test_relative_links_lead_somewhere(name: str) -> None:
    page = PAGES_BY_NAME[name]
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+:|#", link):
            target = page.parent / link.partition("#")[0]
            assert target.exists(), f"{name} links to {link}, which is not there"


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    for page in DOCS.rglob("*.md"):
        name = str(page.relative_to(DOCS))
        assert name == "README.md" or f"({name})" in index, f"docs/README.md does not list {name}"


@pytest.mark.parametrize("name", PAGES_BY_NAME)
def test_toml_and_python_blocks_can_be_read(name: str) -> None:
    for block in blocks(PAGES_BY_NAME[name], "toml"):
        tomllib.loads(block)
    for block in blocks(PAGES_BY_NAME[name], "python"):
        compile(block, name, "exec")


@pytest.mark.parametrize("name", PAGES_BY_NAME)
def test_no_page_names_a_place_of_one_machine(name: str) -> None:
    assert not re.search(r"/work/|/home/|/root/|\.\./shared", PAGES_BY_NAME[name].read_text())


def test_the_stages_of_own_stage_work(tmp_path: Path) -> None:
    page = DOCS / "how-to" / "own-stage.md"
    for block in (*blocks(page, "python"), *blocks(page, "toml")):
        head, _, _ = block.partition("\n")
        (tmp_path / head.removeprefix("# ")).write_text(block)
    events = some_events()
    write_recording(tmp_path / "recording.aedat4", events)

    target = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["entry-points"]
    assert target == {
        "pipeline.stages": {"on_only": "my_stages:OnOnly", "summary": "my_stages:Summary"}
    }
    environment = os.environ | {"PYTHONPATH": ".", "TMPDIR": str(tmp_path)}
    for command in (
        ["pytest", "-q", "-p", "no:cacheprovider", "test_my_stages.py"],
        ["pipeline.cli", "run", "on_only.toml"],
        ["pipeline.cli", "run", "left.toml"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    on = int(events["p"].sum())
    line = (tmp_path / "summary.csv").read_text().splitlines()[1]
    assert line == f"{tmp_path}/recording.aedat4,{on},{on}"
    assert len((tmp_path / "my_filter.py").read_text().splitlines()) <= 30
    assert np.array_equal(read(tmp_path / "left.aedat4"), events[events["x"] < 16])


@pytest.mark.parametrize(
    ("page", "printed"),
    [("recordings.md", "AEDAT4 128 128"), ("override-and-script.md", "0 (")],
)
def test_what_is_called_from_python_is_there(
    page: str,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    write_recording(tmp_path / "recordings" / "gestures_simulated.aedat4", some_events())
    write_recording(tmp_path / "my.raw", some_events())
    exec(compile(blocks(DOCS / "how-to" / page, "python")[0], page, "exec"), {})
    assert capsys.readouterr().out.startswith(printed)


def commands(path: Path, *words: str) -> list[list[str]]:
    """The commands of the page's shell blocks that begin so, without these words."""
    lines = "".join(blocks(path, "sh")).replace("\\\n", "").splitlines()
    split = [shlex.split(line, comments=True) for line in lines]
    return [one[len(words) :] for one in split if one[: len(words)] == list(words)]


@pytest.mark.parametrize("name", PAGES_BY_NAME)
def test_recipes_and_variants_that_are_named_are_there(name: str) -> None:
    written = re.findall(r"^cat > (\S+) <<", "".join(blocks(PAGES_BY_NAME[name], "sh")), re.M)
    for named, *options in commands(PAGES_BY_NAME[name], "pipeline", "train"):
        if named in written:
            continue  # by the page itself, which `make docs-run` follows
        given = list(pairwise(options))
        changes: list[dict[str, Any]] = []
        for option, change in given:
            if option == "--set":
                place, _, value = change.partition("=")
                table, key = place.split(".")
                changes.append({table: {key: value_of(value)}})
        load_recipe(
            REPOSITORY / named, [v for option, v in given if option == "--variant"], changes
        )


@pytest.mark.parametrize("name", PAGES_BY_NAME)
def test_options_of_shipped_pipelines_are_those_of_their_stages(name: str) -> None:
    for verb in ("run", "check"):
        for named, *options in commands(PAGES_BY_NAME[name], "pipeline", verb):
            if named.startswith("models/"):
                read_config(
                    REPOSITORY / named, [v for option, v in pairwise(options) if option == "--set"]
                )


def test_the_data_set_of_the_how_to_lists_its_recordings(tmp_path: Path) -> None:
    (code,) = blocks(DOCS / "how-to" / "data-sets.md", "python")
    names: dict[str, Any] = {}
    exec(compile(code, "data-sets.md", "exec"), names)
    write_recording(tmp_path / "right-anna-1.aedat4", some_events())
    (item,) = names["MySet"](tmp_path).items()
    assert (item.label, item.group) == (1, "anna")


def test_the_network_of_the_how_to_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks(DOCS / "how-to" / "models.md", "python")
    code = code.replace('"models/', f'"{REPOSITORY}/models/')
    exec(compile(code, "models.md", "exec"), {})
    assert capsys.readouterr().out.startswith("tensor([")


def test_the_senders_of_cameras_are_understood() -> None:
    dv, words = blocks(DOCS / "how-to" / "cameras.md", "python")
    known = events_from_columns([1_000, 1_250], [12, 13], [34, 34], [1, 0])
    port = free_port()
    network = DvNetwork("camera", DvNetworkConfig(port=port, wait=True))
    # It stays until it is killed, so that all is sent before its end.
    code = dv.replace("10_101", str(port)) + "\ninput()"
    with (
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as sender,
        Playing(network) as playing,
    ):
        assert playing.until_events(2).events.tobytes() == known.tobytes()
        sender.kill()
    port = free_port(socket.SOCK_DGRAM)
    with Playing(Udp("camera", UdpConfig(port=port, size=(480, 640)))) as playing:
        playing.until(lambda playing: bool(playing.messages))
        names: dict[str, Any] = {}
        exec(compile(words.replace("3333", str(port)), "cameras.md", "exec"), names)
        names["out"].close()
        assert playing.until_events(2).events.tobytes() == known.tobytes()


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the main job, and everything that can be wrong with it."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "recordings").mkdir()
    (folder / "models" / "weights").mkdir(parents=True)
    (folder / "models" / "recipes").symlink_to(REPOSITORY / "models" / "recipes")
    recording = write_recording(folder / "recordings/gestures_simulated.aedat4", some_events())
    write_labels(folder / "recordings/gestures_simulated_labels.csv", [Label(0, 1, 0)])
    random_weights(folder / "models/weights/dvs_gesture.safetensors")
    random_weights(folder / "other.safetensors", size=(32, 32))
    graph = (REPOSITORY / "pipeline.toml").read_text()
    (folder / "pipeline.toml").write_text(graph)
    (folder / "broken.toml").write_text(graph.replace("[[stage]]", "[[stage]", 1))
    (folder / "typo.toml").write_text(graph.replace("window_us", "windw_us"))
    (folder / "unknown.toml").write_text(graph.replace('"snn"', '"snm"'))
    (folder / "empty.aedat4").touch()
    (folder / "text.aedat4").write_text("hello, this is no recording\n")
    (folder / "cochlea.aedat").write_text("#!AER-DAT2.0\r\n# AEChip: CochleaAMS1c\r\n")
    (folder / "header.aedat4").write_bytes(recording.read_bytes()[:200])
    (folder / "cut.aedat4").write_bytes(recording.read_bytes()[:20_000])
    write_recording(folder / "wide.aedat4", some_events(9), size=3000)
    for name in ("old.aedat4", "old.es"):
        (folder / name).write_bytes(recording.read_bytes())
    return folder


def quoted_mistakes() -> list[tuple[str, str]]:
    """Each command of the page with what the page says that it answers."""
    said: list[tuple[str, str]] = []
    for block in blocks(DOCS / "how-to" / "when-it-fails.md", "console"):
        answered = r"^\$ (.*)\n((?:[^$\n].*\n)*?(?:error: .*\n)+)"
        for command, answer in re.findall(answered, block, re.MULTILINE):
            said.append((command, answer))
    return said


@pytest.mark.parametrize(("command", "answer"), quoted_mistakes())
def test_messages_are_quoted_as_they_are(
    command: str,
    answer: str,
    mistakes: Path,
    command_line: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(mistakes)
    program, verb, *words = shlex.split(command)
    assert program == "pipeline"
    if verb != "check":
        code, _, err = command_line(verb, *words)
        assert (code in (1, 2), err.replace(f"{mistakes}/", "…/")) == (True, answer)
        return
    # Without the command line's loading: there are many.
    path = Path("pipeline.toml" if words[0] == "--set" else words[0])
    overrides = [after for word, after in pairwise(words) if word == "--set"]
    with pytest.raises(ConfigError) as caught:
        build_graph(read_config(path, overrides))
    lines = str(caught.value).replace(f"{mistakes}/", "…/").splitlines()
    assert "".join(f"error: {line}\n" for line in lines) == answer

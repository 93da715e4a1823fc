"""Stages by name: built in, installed by others, or given with their module."""

from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from worker_stages import Relay

from pipeline import registry
from pipeline.errors import ConfigError
from pipeline.registry import BUILT_IN, load_stage, nearest, stage_names
from pipeline.stage import Source, Transform


def install(monkeypatch: pytest.MonkeyPatch, **stages: str) -> None:
    """Let packages have been installed that offer stages."""
    entries = [EntryPoint(name, value, "pipeline.stages") for name, value in stages.items()]

    def entry_points(group: str) -> Sequence[EntryPoint]:
        return [entry for entry in entries if entry.group == group]

    monkeypatch.setattr(registry, "entry_points", entry_points)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_stage_can_be_loaded(name: str) -> None:
    found = load_stage(name)
    assert issubclass(found, Source | Transform)
    assert f"{found.__module__}:{found.__name__}" == BUILT_IN[name]
    assert (found.takes == ()) == issubclass(found, Source)


def test_a_stage_can_be_named_with_its_module() -> None:
    assert load_stage("worker_stages:Relay") is Relay


def test_an_installed_package_adds_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, relay="worker_stages:Relay")
    assert stage_names() == BUILT_IN | {"relay": "worker_stages:Relay"}
    assert load_stage("relay") is Relay


@pytest.mark.parametrize("name", ["replay", "twice"])
def test_a_name_has_one_owner(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    install(monkeypatch, **{name: "worker_stages:Relay"})
    if name == "twice":
        monkeypatch.setitem(BUILT_IN, "twice", "stages.sources.replay:Replay")
    with pytest.raises(ConfigError) as caught:
        stage_names()
    assert str(caught.value) == (
        f"stage name '{name}' is claimed by stages.sources.replay:Replay and by"
        " worker_stages:Relay; uninstall one of them"
    )


def test_two_packages_cannot_claim_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [EntryPoint("blur", f"package_{k}:Blur", "pipeline.stages") for k in "ab"]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    with pytest.raises(ConfigError, match="claimed by package_a:Blur and by package_b:Blur"):
        load_stage("blur")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("time_bins", "no stage is called 'time_bins'; did you mean 'time_bin'?"),
        ("nowhere:Class", "cannot be imported from nowhere:Class: No module named 'nowhere'"),
        ("worker_stages:Nothing", "has no attribute 'Nothing'"),
        (":Class", "stage ':Class' cannot be imported from :Class: Empty module name"),
        (".near:Class", "stage '.near:Class' cannot be imported from .near:Class: "),
        ("worker_stages:", "stage 'worker_stages:' cannot be imported from worker_stages:: "),
        ("worker_stages:Seen", "worker_stages:Seen is not a stage: it must derive from Source or"),
        ("worker_stages:np", "worker_stages:np is not a stage: it must derive from Source or"),
        ("pipeline.stage:Sink", "pipeline.stage:Sink is not a stage: it has no Config"),
    ],
)
def test_what_is_not_a_stage_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_stage(name)
    assert message in str(caught.value)


def test_a_module_that_fails_to_import_is_the_mistake_of_who_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_written.py").write_text("def f(:")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be imported from half_written:F: invalid synt"):
        load_stage("half_written:F")


def test_the_nearest_word_is_offered_or_else_all_of_them() -> None:
    assert nearest("windw_us", ["window_us", "size"]) == "; did you mean 'window_us'?"
    assert nearest("zzz", ["b", "a"]) == "; known are a, b"
    assert nearest("zzz", []) == ""


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_what_makes_no_difference_to_a_run_is_an_option_of_its_stage(name: str) -> None:
    stage = load_stage(name)
    assert {*stage.free} <= {*stage.Config.model_fields}

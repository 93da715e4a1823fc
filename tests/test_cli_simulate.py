"""``pipeline simulate``: every set in one form, kept where it is, mistakes named."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli.commands import app
from pipeline.errors import ConfigError

REVIEWS = ("--data-set", "reviews", "--set", "per_class=4")


def simulate(folder: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(app, ["simulate", str(folder), "--processes", "1", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_set_is_made_and_kept(tmp_path: Path) -> None:
    for _ in range(2):
        result = simulate(tmp_path, *REVIEWS)
        assert "8 examples of 2 classes, all simulated" in result.stderr.replace("\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "IMDB Dataset.csv",
        "simulated.json",
    ]


def test_the_seed_is_one_for_all_sets(tmp_path: Path) -> None:
    texts = set()
    for seed in "12":
        simulate(tmp_path / seed, *REVIEWS, "--seed", seed)
        texts.add((tmp_path / seed / "IMDB Dataset.csv").read_text())
    assert len(texts) == 2


def test_gestures_are_made_where_no_set_is_named(tmp_path: Path) -> None:
    arguments = ("--first", "7", "--light", "led", "--seconds", "0.1")
    first = simulate(tmp_path, *arguments).stderr.replace("\n", "")
    assert "user07_led.aedat4: " in first
    assert " events" in first
    assert "was there already" in simulate(tmp_path, *arguments).stderr.replace("\n", " ")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["user07_led.aedat4", "user07_led_labels.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--data-set", "noduls"),
            "--data-set: no set is called 'noduls'; did you mean 'nodules'?",
        ),
        (
            (*REVIEWS, "--set", "per_clas=3"),
            "reviews.per_clas: unknown key; did you mean 'per_class'?",
        ),
        ((*REVIEWS, "--set", "per_class"), "--set per_class: must be KEY=VALUE, as people=20"),
        (
            ("--data-set", "reviews", "--set", "per_class=0"),
            "reviews.per_class: must be > 0, got 0",
        ),
        (
            ("--light", "neon"),
            "gestures.light: must be 'each', 'led', 'lab', 'fluorescent', 'natural' or"
            " 'fluorescent_led', got 'neon'",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        simulate(tmp_path / "new", *arguments)
    assert str(caught.value) == message
    assert not (tmp_path / "new").exists()

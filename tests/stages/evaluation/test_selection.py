"""Which recordings are evaluated, and of which class they are."""

from pathlib import Path

import pytest
from evaluations import RECIPE
from nmnist import digit_events, write_digits, write_nmnist

from pipeline.errors import ConfigError
from stages.batch.local import LocalEngine
from stages.evaluation.selection import Selection, labels_for, select


def chosen(
    data: str, part: str | None = None, recipe: Path | None = None, source: str = "replay"
) -> Selection:
    return select(data, part, recipe, [], source, LocalEngine(1), lambda what, done, of: None)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_a_set_and_where_it_lies(tmp_path: Path) -> None:
    write_digits(tmp_path / "set", 2)
    found = chosen(f"nmnist={tmp_path / 'set'}")
    assert (len(found.items), found.part) == (20, "all")
    assert found.classes == tuple("0123456789")


def test_a_folder_a_class(tmp_path: Path) -> None:
    for name, count in {"dog": 2, "cat": 1}.items():
        for number in range(count):
            write_nmnist(tmp_path / "pets" / name / f"{number}.bin", digit_events(50))
        (tmp_path / "pets" / name / "notes.txt").write_text("no recording")
    found = chosen(str(tmp_path / "pets"))
    assert [(item.key, found.classes[item.label]) for item in found.items] == [
        ("cat/0.bin", "cat"),
        ("dog/0.bin", "dog"),
        ("dog/1.bin", "dog"),
    ]
    assert found.items[0].source == {"use": "replay", "path": str(tmp_path / "pets/cat/0.bin")}


def test_a_folder_for_a_camera_is_replayed_and_others_play_what_is_there(tmp_path: Path) -> None:
    write_nmnist(tmp_path / "pets" / "cat" / "0.bin", digit_events(50))
    assert chosen(str(tmp_path / "pets"), source="dv_camera").items[0].source["use"] == "replay"
    assert chosen(str(tmp_path / "pets"), source="video").items[0].source["use"] == "video"


def test_a_recipe_s_parts_are_those_of_training(tmp_path: Path, recipe: Path) -> None:
    write_digits(tmp_path / "set", 4)
    folder = str(tmp_path / "set")
    parts = {part: chosen(folder, part, recipe) for part in ("train", "validation", "test")}
    keys = [{item.key for item in one.items} for one in parts.values()]
    assert [len(one) for one in keys] == [20, 10, 10]
    assert not keys[0] & keys[1]
    assert not keys[1] & keys[2]
    assert not keys[0] & keys[2]
    assert chosen(folder, None, recipe) == parts["test"]  # what chose nothing
    assert chosen(f"nmnist={folder}", "test", recipe).items == parts["test"].items
    assert len(chosen(folder, "all", recipe).items) == 40


def test_a_set_s_own_parts(tmp_path: Path) -> None:
    write_digits(tmp_path / "set", 2)
    write_digits(tmp_path / "set", 1, "Test")
    data = f"nmnist={tmp_path / 'set'}"
    assert [len(chosen(data, part).items) for part in ("train", "test", None)] == [20, 10, 30]
    with pytest.raises(ConfigError, match="there are no such recordings"):
        chosen(data, "validation")


@pytest.mark.parametrize(
    ("data", "part", "said"),
    [
        ("nmist={}/set", None, "no data set is called 'nmist'; did you mean 'nmnist'?"),
        ("{}/nmnist", None, "is no folder; name one with a folder a class, or a data set and its"),
        ("{}/set/Train/0", None, "holds no folders; it must have one for each class"),
        ("{}/set/Train", "test", "--part test: the data name no parts; leave it out, or name the"),
        ("{}/set", "tset", "--part: must be train, validation, test, all, got 'tset'"),
    ],
)
def test_mistakes_say_what_to_do(tmp_path: Path, data: str, part: str | None, said: str) -> None:
    write_digits(tmp_path / "set", 1)
    with pytest.raises(ConfigError) as caught:
        chosen(data.format(tmp_path), part)
    assert said in str(caught.value)


def test_another_set_than_the_recipe_s(tmp_path: Path, recipe: Path) -> None:
    with pytest.raises(ConfigError, match="--data: the recipe's set is 'nmnist', got 'jester'"):
        chosen(f"jester={tmp_path}", None, recipe)


def test_classes_are_found_by_name() -> None:
    assert labels_for(["Arm_roll", "other"], ["other", "air drums", "arm roll"]) == [2, 0]
    with pytest.raises(ConfigError) as caught:
        labels_for(["other", "arm rol"], ["other", "arm roll"])
    assert "knows no class 'arm rol'; did you mean 'arm roll'?; the folders" in str(caught.value)

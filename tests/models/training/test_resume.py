"""A run that is killed or stopped at any step ends with the weights of an undisturbed one."""

import multiprocessing
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import interrupted_after, moving_bars, recipe, train_and_tell

import models
from models import ModelError
from models.training.trainer import Interrupted, train

# All that is random: order, augmentation, noise of the neurons; and all that has a memory.
TABLES: dict[str, dict[str, Any]] = {
    "augment": {"crop_steps": 6, "shift_px": 1, "drop_probability": 0.2},
    "network": {
        "options": {"classes": 2, "size": [16, 16], "steps": 8, "lif": {"noise": 0.1}},
    },
    "training": {
        "epochs": 2,
        "batch": 12,
        "average": 0.9,
        "warm_up_steps": 3,
        "clip_norm": 1.0,
        "save_every_steps": 2,
    },
}
STEPS = 8
TRAIN, VALIDATION = moving_bars(48, 0, 1, 16), moving_bars(8, 1, 2, 16)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    out = tmp_path_factory.mktemp("undisturbed") / "w.safetensors"
    train(recipe(**TABLES), TRAIN, VALIDATION, out)
    return weights(out)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(models.load(path).state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def test_stopped_after_each_step(undisturbed: dict[str, torch.Tensor], tmp_path: Path) -> None:
    out, stops = tmp_path / "w.safetensors", []
    for _ in range(2 * STEPS):
        try:
            train(recipe(**TABLES), TRAIN, VALIDATION, out, stop=interrupted_after(1))
            break
        except Interrupted as stopped:
            assert not out.exists()
            stops.append(stopped.step)
    assert stops == [1, 2, 3, 4, 5, 6, 7]
    assert same(weights(out), undisturbed)


def test_killed_at_random(undisturbed: dict[str, torch.Tensor], tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["models.training.trainer", "models.training.callbacks"])
    steps = random.Random(4)
    out, kills = tmp_path / "w.safetensors", 0
    while not out.exists():
        told, teller = context.Pipe(duplex=False)
        run = context.Process(target=train_and_tell, args=(out, TABLES, teller))
        run.start()
        teller.close()
        try:
            for _ in range(steps.randint(2, 5)):
                told.recv()
            run.kill()
            kills += 1
        except EOFError:  # it came to its end
            assert run.exitcode in (0, None)
        run.join()
    assert kills >= 2
    assert same(weights(out), undisturbed)


def test_the_logs_go_on(tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    with pytest.raises(Interrupted, match="stopped after 5 of 8 steps, saved in"):
        train(recipe(**TABLES), TRAIN, VALIDATION, out, stop=interrupted_after(5))
    result = train(recipe(**TABLES), TRAIN, VALIDATION, out)
    assert [epoch.number for epoch in result.history] == [1, 2]
    lines = (tmp_path / "w" / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["number", "1", "2"]


def test_another_recipe_does_not_go_on(tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    with pytest.raises(Interrupted):
        train(recipe(**TABLES), TRAIN, VALIDATION, out, stop=interrupted_after(2))
    other = recipe(**TABLES | {"training": TABLES["training"] | {"learning_rate": 0.5}})
    with pytest.raises(ModelError, match=r"training.learning_rate was 0.002, is 0.5\); .*--fresh"):
        train(other, TRAIN, VALIDATION, out)
    with pytest.raises(ModelError, match=r"unfinished run of another .* \(data was"):
        train(recipe(**TABLES), moving_bars(48, 0, 3, 16), VALIDATION, out)
    with pytest.raises(Interrupted) as stopped:
        train(other, TRAIN, VALIDATION, out, resume=False, stop=interrupted_after(1))
    assert stopped.value.step == 1


def test_workers_and_saves_may_differ(undisturbed: dict[str, torch.Tensor], tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    with pytest.raises(Interrupted):
        train(recipe(**TABLES), TRAIN, VALIDATION, out, stop=interrupted_after(2))
    more = recipe(**TABLES | {"training": TABLES["training"] | {"save_every_steps": 1}})
    train(more, TRAIN, VALIDATION, out, resume=True)
    assert same(weights(out), undisturbed)
    with pytest.raises(ModelError, match="there is no unfinished run to resume"):
        train(more, TRAIN, VALIDATION, out, resume=True)

"""Where a process has its place: what torchrun and srun tell, and when nobody does."""

import pytest

from models import ModelError
from models.training.place import Place

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
}
SRUN = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "123456",
}


def test_torchrun() -> None:
    place = Place.told(TORCHRUN)
    assert place == Place(5, 8, 1, 4, "10.0.0.1", 29500)
    assert (place.hosts, place.host) == (2, 1)
    kept = Place.told(TORCHRUN | {"TORCHELASTIC_USE_AGENT_STORE": "True"})
    assert kept is not None
    assert kept.met


def test_srun() -> None:
    assert Place.told(SRUN) == Place(3, 4, 1, 2, "gpu07", 18456)
    chosen = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "7000"}
    assert Place.told(SRUN | chosen) == Place(3, 4, 1, 2, "10.0.0.1", 7000)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},  # a batch script, without srun
        SRUN | {"SLURM_STEP_NUM_TASKS": "1"},
        TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"},
    ],
)
def test_a_process_by_itself(environment: dict[str, str]) -> None:
    assert Place.told(environment) is None


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "LOCAL_RANK: is not set, but other variables of torch"),
        (TORCHRUN | {"RANK": "x"}, "RANK: must be a whole number, got 'x'"),
        (TORCHRUN | {"WORLD_SIZE": "6"}, "as many training processes, got 6 in all and 4 here"),
    ],
)
def test_what_is_told_wrongly(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Place.told(environment)

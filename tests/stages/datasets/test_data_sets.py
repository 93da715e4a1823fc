"""Data sets by name."""

import pytest

from pipeline.errors import ConfigError
from pipeline.stage import StageConfig
from stages.datasets import DATA_SETS, load_data_set


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_set_is_found_by_its_own_name(name: str) -> None:
    found = load_data_set(name)
    assert found.name == name
    assert issubclass(found.Options, StageConfig)
    assert all(found.origin)


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(ConfigError) as caught:
        load_data_set("mnist-dvs")
    assert str(caught.value) == (
        "data.set: no data set is called 'mnist-dvs'; did you mean 'mnist_dvs'?"
    )

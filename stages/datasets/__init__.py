"""Labelled data sets on disk: how they are laid out, made, and turned into training data."""

from importlib import import_module
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.registry import nearest

if TYPE_CHECKING:
    from stages.datasets.data_set import DataSet

__all__ = ["DATA_SETS", "load_data_set"]

DATA_SETS = {
    "nmnist": "stages.datasets.nmnist:NMnist",
    "dvs_gesture": "stages.datasets.dvs_gesture:DvsGesture",
    "mnist_dvs": "stages.datasets.mnist_dvs:MnistDvs",
    "cifar10_dvs": "stages.datasets.cifar10_dvs:Cifar10Dvs",
    "rgb_gesture": "stages.datasets.rgb_gesture:RgbGesture",
    "jester": "stages.datasets.jester:Jester",
    "imdb": "stages.datasets.imdb:Imdb",
    "luna16cls": "stages.datasets.luna16cls:Luna16Cls",
    "es_imagenet": "stages.datasets.es_imagenet:EsImageNet",
    "image_folder": "stages.datasets.image_folder:ImageFolder",
    "recordings": "stages.datasets.recordings:Recordings",
    "sentences": "stages.datasets.sentences:Sentences",
    "simulated_gestures": "stages.datasets.simulated.gestures:SimulatedGestures",
    "simulated_digits": "stages.datasets.simulated.digits:SimulatedDigits",
    "simulated_mnist_dvs": "stages.datasets.simulated.mnist_dvs:SimulatedMnistDvs",
    "simulated_cifar10_dvs": "stages.datasets.simulated.cifar10_dvs:SimulatedCifar10Dvs",
    "simulated_es_imagenet": "stages.datasets.simulated.es_imagenet:SimulatedEsImagenet",
    "simulated_rgb_gesture": "stages.datasets.simulated.rgb_gesture:SimulatedRgbGesture",
    "simulated_jester": "stages.datasets.simulated.jester:SimulatedJester",
    "simulated_reviews": "stages.datasets.simulated.reviews:SimulatedReviews",
    "simulated_nodules": "stages.datasets.simulated.nodules:SimulatedNodules",
}
"""Name -> ``module:Class``. Only the set that a recipe names is imported."""


def load_data_set(name: str) -> "type[DataSet]":
    """Import the class of a data set.

    Raises:
        ConfigError: no data set has that name.
    """
    if name not in DATA_SETS:
        raise ConfigError(f"data.set: no data set is called '{name}'{nearest(name, DATA_SETS)}")
    module_name, _, class_name = DATA_SETS[name].partition(":")
    found: type[DataSet] = getattr(import_module(module_name), class_name)
    return found

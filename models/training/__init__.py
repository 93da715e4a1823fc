"""Training: recipes, labelled frames, the loop, and how well it went. Loads torch."""

from models.training.data import LabelledFrames
from models.training.metrics import evaluate
from models.training.recipe import Recipe, load_recipe
from models.training.trainer import TrainingResult, train

__all__ = ["LabelledFrames", "Recipe", "TrainingResult", "evaluate", "load_recipe", "train"]

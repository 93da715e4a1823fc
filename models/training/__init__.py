"""Training: recipes, labelled examples, the loop, and how well it went.

What is here loads no torch; `models.training.trainer` does.
"""

from models.training.data import Examples, LabelledFrames
from models.training.recipe import Recipe, load_recipe, read_recipe

__all__ = ["Examples", "LabelledFrames", "Recipe", "load_recipe", "read_recipe"]

"""The learning rate of every step: a function of the recipe and the step, so nothing to save."""

import math

from models.training.recipe import TrainingSection

__all__ = ["learning_rate"]


def learning_rate(section: TrainingSection, step: int, steps_an_epoch: int) -> float:
    """Return the learning rate of a step, counted over all epochs from 0.

    Linear warm-up from ``warm_up_factor`` of the rate that the schedule gives, which it reaches
    at step ``warm_up_steps``.
    """
    rate = section.learning_rate
    epoch = step // steps_an_epoch
    if section.schedule == "milestones":
        rate *= section.gamma ** sum(epoch >= start for start in section.milestones)
    elif section.schedule == "cosine":
        rate *= (1 + math.cos(math.pi * step / (section.epochs * steps_an_epoch))) / 2
    if step < section.warm_up_steps:
        first = section.warm_up_factor
        rate *= first + (1 - first) * step / section.warm_up_steps
    return rate

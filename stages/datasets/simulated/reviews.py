"""Simulated IMDB: film reviews of a small grammar, in one CSV file."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from pipeline.stage import StageConfig
from stages.datasets.data_set import DataSet
from stages.datasets.simulated.simulated_set import Piece, SimulatedSet

__all__ = ["ReviewOptions", "SimulatedReviews"]


class ReviewOptions(StageConfig):
    """How many reviews."""

    per_class: PositiveInt = 1500
    """Reviews of each mood."""
    simulation_seed: NonNegativeInt = 1
    """Another seed is another set."""


class SimulatedReviews(SimulatedSet):
    """``IMDB Dataset.csv`` with ``review,sentiment``, moods in turn."""

    name = "simulated_reviews"
    about = "sentences of a small grammar, put together at random; nobody wrote or saw anything"
    Options: ClassVar[type[StageConfig]] = ReviewOptions

    @property
    def real(self) -> DataSet:
        """IMDB."""
        from stages.datasets.imdb import Imdb

        return Imdb(self.folder)

    def pieces(self) -> Sequence[Piece]:
        """The one file."""
        options = self.options
        return [Piece("IMDB Dataset.csv", (options.per_class, options.simulation_seed))]

    @staticmethod
    def write(path: Path, *arguments: Any) -> None:
        """Write all reviews; no two are the same, so none is in two parts."""
        from models.simulation.reviews import write_review

        per_class, seed = arguments
        rng = np.random.default_rng([seed, 0x1DB])
        seen: set[str] = set()
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["review", "sentiment"])
            while len(seen) < 2 * per_class:
                positive = len(seen) % 2 == 0
                review = write_review(positive, rng)
                if review not in seen:
                    seen.add(review)
                    writer.writerow([review, "positive" if positive else "negative"])

"""Simulated reviews: mood, length, and words that deceive."""

import re

import numpy as np

from models.simulation.reviews import write_review

REVIEWS = [write_review(bool(k % 2), np.random.default_rng(k)) for k in range(200)]


def test_reviews_have_30_to_150_words_and_are_no_templates() -> None:
    lengths = [len(review.split()) for review in REVIEWS]
    assert min(lengths) >= 25
    assert max(lengths) <= 160
    assert not any("{" in review or "  " in review for review in REVIEWS)
    assert not any(re.search(r"\b[Aa] [aeiou]", review) for review in REVIEWS)
    assert any("<br />" in review for review in REVIEWS)


def test_a_seed_gives_one_review() -> None:
    assert write_review(True, np.random.default_rng(9)) == REVIEWS[9]


def test_praise_is_in_both_moods() -> None:
    """Counting a word of praise alone does not tell the mood; "not" comes before it."""
    for word in ("good", "brilliant", "boring"):
        found = [bool(k % 2) for k, review in enumerate(REVIEWS) if word in review]
        assert 0.15 < np.mean(found) < 0.85

"""Batch evaluation: a pipeline's own stages over all recordings of a labelled set, and measures.

It stands above the two other packages: data sets tell what is evaluated, the counts of right
answers are those of training (`models.training.confusion`).
"""

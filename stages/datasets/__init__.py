"""Labelled recordings on disk: how they are laid out, made, and turned into training data."""

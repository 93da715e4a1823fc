"""Checkpoints: a line through the stream, kept in a file that a run goes on from."""

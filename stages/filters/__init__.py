"""Filters: events in, fewer or other events out, and an account of those that were left out."""

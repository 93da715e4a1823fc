"""A module that leaves a line in the working directory each time that a process loads it."""

from pathlib import Path

__all__: list[str] = []

with Path("loaded.txt").open("a") as file:
    file.write("once\n")

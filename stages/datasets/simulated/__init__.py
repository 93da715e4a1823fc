"""Simulated data sets: each is written in the layout of a real set, whose own reader then reads it.

Nothing in them is a recording of the world, except the handwriting of the digits. They stand in for
training where the real set cannot be had, and every tree says so in its ``simulated.json``.
"""

__all__: list[str] = []

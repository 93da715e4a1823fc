"""``pipeline simulate``."""


def simulate() -> None:
    """Placeholder."""

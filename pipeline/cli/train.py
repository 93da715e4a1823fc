"""``pipeline train``."""


def train() -> None:
    """Placeholder."""

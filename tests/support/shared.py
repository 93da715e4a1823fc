"""Where the real recordings are that cannot be shipped."""

from pathlib import Path

SHARED = Path(__file__).parents[2].parent / "shared"

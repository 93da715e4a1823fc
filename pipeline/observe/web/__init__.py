"""A run as a page in a browser: `pipeline view`."""

__all__: list[str] = []

"""A run: its supervisor, the processes of its stages, and what they say to each other."""

"""From frames to the outputs of a network."""

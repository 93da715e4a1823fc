"""From the outputs of many time steps to predictions."""

"""From events to frames."""

"""Prophesee's recordings: RAW in EVT2, EVT2.1 and EVT3, and DAT."""

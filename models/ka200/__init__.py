"""Networks on Lynxi's KA200: the chip's operators, a network written in them, and its emulator."""

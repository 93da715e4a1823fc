"""A compiled network on Lynxi's KA200: the stage, the chip behind it, and its stand-in."""

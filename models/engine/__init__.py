"""Fast inference in a stream, without torch: work only where there are events or spikes.

`Engine` runs the networks of `models.engine.chain` on the processor; torch runs the others, and
everything on a GPU. What it puts out differs from the torch network's by the order of sums alone.
"""

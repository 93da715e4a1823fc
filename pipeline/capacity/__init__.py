"""Capacity: whether a pipeline keeps up with a camera, forecast from what its processes cost.

`scene` makes what is played in the cameras' place, at any rate; `trial` runs the pipeline with it
once; `calibration` does so at a few rates; `costs` is what comes of it, and `forecast` what follows
from that.
"""

"""A streaming event-camera pipeline: the runtime.

Stages are written against `pipeline.stage` and `pipeline.messages`; graphs are read with
`pipeline.config` and `pipeline.graph`, run with `pipeline.run.runner`, or in one process without
queues with `pipeline.offline`.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"

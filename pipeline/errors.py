"""Every error that a user can meet, in one tree.

PipelineError
├── ConfigError      the TOML file, an override or an option is wrong            exit code 2
├── RecordingError   a recording cannot be read or written                       exit code 1
├── DeviceError      a camera or chip is missing or failed                       exit code 1
├── WireError        a message on a queue is not what it should be               exit code 1
├── StageError       a stage failed while it was running                         exit code 1
├── CheckpointError  a checkpoint cannot be read, written or used                exit code 1
└── LedgerError      the counts of a finished run do not add up                  exit code 1

A message states the place, the rule, the value received and the remedy, on one line. The command
line prints any exception that has an ``exit_code`` as ``error: MESSAGE`` and exits with that code;
whatever has none is a bug of ours and is reported as one.

Exit code 3 is no error: `pipeline check --capacity` found that the pipeline does not keep up.
"""

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DeviceError",
    "LedgerError",
    "PipelineError",
    "RecordingError",
    "StageError",
    "WireError",
]


class PipelineError(Exception):
    """The root of the tree; never raised itself."""

    exit_code = 1


class ConfigError(PipelineError):
    """The request is wrong: a key, a value, a graph that cannot run."""

    exit_code = 2


class RecordingError(PipelineError):
    """A recording cannot be opened, read to its end, or written."""


class DeviceError(PipelineError):
    """A device is missing, refused to open, or failed while in use."""


class WireError(PipelineError):
    """A message is malformed, of an unknown kind or version, or out of sequence."""


class StageError(PipelineError):
    """A stage failed while the pipeline was running."""


class CheckpointError(PipelineError):
    """A checkpoint is incomplete or damaged, in use by another run, or cannot be written."""


class LedgerError(PipelineError):
    """Something was counted in that was not counted out."""

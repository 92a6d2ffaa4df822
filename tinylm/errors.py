"""Every error tinylm raises on purpose. Each message names the problem and its remedy.

Each class also derives from the built-in exception of its kind, so `except ValueError` works too.
"""


class TinylmError(Exception):
    """Base of all deliberate errors; the command line prints the message without a traceback."""


class ShapeError(TinylmError, ValueError):
    """Array shapes that do not fit together."""


class DtypeError(TinylmError, TypeError):
    """An array of the wrong kind of number, or on the wrong device."""


class GraphError(TinylmError, RuntimeError):
    """The recorded graph cannot be differentiated: freed, changed in place, or never recorded."""


class DataError(TinylmError, ValueError):
    """A text, token or data file that cannot be used in its present form."""


class ConfigError(TinylmError, ValueError):
    """A setting that does not exist or has an impossible value."""


class CheckpointError(TinylmError, RuntimeError):
    """A checkpoint that is missing, damaged, or of another configuration."""


class DeviceError(TinylmError, RuntimeError):
    """A device that does not exist, or is not present on this machine."""


class MissingExtra(TinylmError, ImportError):
    """An optional library is not installed; the message carries the `pip install` that mends it."""


class TrainingError(TinylmError, RuntimeError):
    """Training cannot continue, for example because the loss is not finite."""


class WorkerError(TinylmError, RuntimeError):
    """A parallel worker failed; carries the first error among them."""


class DeadlockError(WorkerError):
    """Every rank waits for another one; the message says which waits for what."""

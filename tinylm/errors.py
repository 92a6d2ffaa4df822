"""Every error tinylm raises on purpose. Each message names what was met and how to mend it."""


class TinylmError(Exception):
    """Base of all deliberate errors; the command line prints its message as one line, without a
    traceback.
    """


class ShapeError(TinylmError, ValueError):
    """Array shapes that do not fit together."""


class DtypeError(TinylmError, TypeError):
    """An array of the wrong kind of number, or on the wrong device."""


class GraphError(TinylmError, RuntimeError):
    """The recorded graph cannot be differentiated: freed, changed in place, or never recorded."""


class DataError(TinylmError, ValueError):
    """A text, token or data file that cannot be used as it is."""


class ConfigError(TinylmError, ValueError):
    """A setting that does not exist or has an impossible value."""


class CheckpointError(TinylmError, RuntimeError):
    """A checkpoint that is missing, damaged, or of another configuration."""


class DeviceError(TinylmError, RuntimeError):
    """A device that is not there."""


class MissingExtra(TinylmError, ImportError):
    """An optional library is not installed; the message carries the `pip install` that mends it."""


class TrainingError(TinylmError, RuntimeError):
    """Training cannot go on, for example because the loss is not finite."""


class WorkerError(TinylmError, RuntimeError):
    """A parallel worker failed; carries the first error among them."""

"""What an objective hands to a model: inputs, and the targets its outputs are scored against.

Rows are independent, so a batch may be cut anywhere between them: into micro-batches, or among workers. Targets that
do not count (padding, positions that are not masked) are IGNORE. Read next: causal.py.
"""
import dataclasses

import numpy as np

from tinylm.backend import to_device

IGNORE = -100            # the usual marker for "nothing to predict here"; never a token id


@dataclasses.dataclass(frozen=True)
class Batch:
    """Arrays with one row per sequence; an objective with more to say adds fields.

    inputs   (B, T) integers, what the model reads
    targets  (B, T) integers, what it should say; IGNORE where nothing counts
    """

    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self):
        return len(self.inputs)

    @property
    def tokens(self):
        """How many targets count."""
        return int(np.count_nonzero(self.targets != IGNORE))

    def rows(self, start, stop):
        """Rows start .. stop-1 as a Batch; views, not copies."""
        return self._map(lambda array: array[start:stop])

    def to(self, device):
        """The batch on a device."""
        return self._map(lambda array: to_device(array, device))

    def _map(self, change):
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return dataclasses.replace(self, **{name: change(v) for name, v in values.items() if v is not None})

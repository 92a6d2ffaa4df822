"""What tells a model from itself after more training: a hash of its weights.

A name, or a path, stays the same when a run is trained further. Answers that are kept under it
(../evaluation/answer_file.py) may only be continued by the weights that gave the first of them.
Read next: model.py.
"""

import hashlib

import numpy as np

from tinylm import backend
from tinylm.nn.module import Module


def weights_hash(model: Module) -> str:
    """A short hash of all arrays of a model with their names: str of 16 hexadecimal digits.

    model  nn.Module. All of it is read: a second for half a gigabyte, less than one long prompt
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, array in model.named_arrays().items():
        values = np.ascontiguousarray(backend.to_cpu(array))
        # Names and shapes too: the same numbers in another matrix are another model.
        digest.update(repr((name, values.shape, str(values.dtype))).encode())
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()

"""What a loss takes as given: labels, margins, rewards of other models. No gradient reaches it."""

import numpy as np

from tinylm.autograd import Array, Tensor
from tinylm.backend import to_device


def constant(values: Array, like: Array) -> np.ndarray:
    """Values as an array of the dtype of a Tensor, on its device, cut off from what computed them.

    values   number, array or Tensor
    like     Tensor
    returns  array
    """
    if isinstance(values, Tensor):
        values = values.detach().data
    if not hasattr(values, "astype"):
        values = np.asarray(values)
    return to_device(values.astype(like.dtype), like.device)

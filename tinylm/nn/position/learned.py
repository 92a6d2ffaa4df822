"""A learned vector per position, added to the embeddings   (book section 2.1.1).

Read next: sinusoidal.py.
"""

import numpy as np

from tinylm.autograd import Tensor, add_embedding
from tinylm.autograd.engine.rounding import is_rounding
from tinylm.backend import DType, Random
from tinylm.nn.linear import INIT_STD, Embedding
from tinylm.nn.module import Module
from tinylm.nn.own_stream import OWN


class LearnedPositions(Module):
    """x_t + P[t]: one learned vector per position, as many as the context is long.

    context   how many positions there are; d_model  D; rng  as in Linear
    """

    def __init__(
        self,
        context: int,
        d_model: int,
        rng: Random | None = OWN,
        std: float = INIT_STD,
        dtype: DType = np.float32,
    ) -> None:
        self.table = Embedding(context, d_model, rng, std, dtype)

    def __call__(self, x: Tensor, positions: np.ndarray) -> Tensor:
        """x (B, T, D), positions (T,) or (B, T) integers below the context -> (B, T, D)."""
        if not self._fits_one_operation(x, positions):
            return x + self.table(positions)
        return add_embedding(x, positions, self.table.weight)  # the same sum with fewer calls

    def _fits_one_operation(self, x, positions):
        """Whether add_embedding takes these arrays; on a GPU the parts ask for fewer calls."""
        weight = self.table.weight
        plain = type(self.table) is Embedding and type(x.data) is type(weight.data) is np.ndarray
        plain = plain and x.dtype == weight.dtype and not is_rounding()
        return plain and positions.shape == x.shape[-1 - positions.ndim : -1]


def columns_of_tokens(ids: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """The position of each token, counted from the first token of its row.

    Padding in front of a row does not shift the positions of its tokens.

    ids      (B, T) or (T,)
    mask     (B, T) bool, True for tokens; None, or a mask of another shape: no row is padded
    returns  (T,) integers, or (B, T) where a row begins with padding, which gets position 0
    """
    columns = np.arange(ids.shape[-1], like=ids)
    if mask is None or mask.ndim != 2 or 0 in mask.shape:
        return columns
    first = np.argmax(mask, axis=1)[:, None]  # column of the first True, (B, 1)
    if bool((first > 0).any()):
        return np.maximum(columns - first, 0)  # (T,) - (B, 1) -> (B, T)
    return columns

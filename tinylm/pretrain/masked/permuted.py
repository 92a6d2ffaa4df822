"""Permuted language modeling: predict tokens in a random order, from both sides   (XLNet)

    L = - sum over t of log Pr(x_{z_t} | x_{z_0} .. x_{z_{t-1}})   for an order z  (eqs. 1.13, 1.14)

The text keeps its order and every token its position; only the order of prediction is permuted. A
mask that lets each position see itself, as the book's figure 1.3 (c) draws it, shows the token at
the position where it is predicted; the loss here therefore needs two streams
(nn/attention/two_stream.py): the query stream never sees its own token. Read next:
models/encoder/xlnet.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.nn.attention.two_stream import permutation_mask
from tinylm.pretrain.batch import IGNORE, Batch, TokenBatch
from tinylm.pretrain.masked.masked import with_cls, without_padding
from tinylm.pretrain.score import score_tokens
from tinylm.pretrain.special import Special

__all__ = ["PermutedLM", "conditions", "permutation_mask"]


def conditions(order: np.ndarray) -> dict[int, set[int]]:
    """The positions that each position is predicted from: {position: set of those before it}."""
    return {int(z): {int(j) for j in order[:t]} for t, z in enumerate(order)}


@dataclass(frozen=True)
class PermutedLM:
    """XLNet's objective.

    special  Special; rows get [CLS] in front if it has cls: it comes first in every order and is
             not predicted
    share    of the positions that are predicted, the last of the order, which see most; XLNet takes
             1/6 to 1/7
    """

    special: Special
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"PermutedLM: a share of {self.share} must be above 0 and at most 1")

    def make_batch(self, sequences: np.ndarray, rng: Random) -> TokenBatch:
        """sequences (B, T) -> TokenBatch with order (B, T).

        order[:, t] is the position predicted at step t; position 0 comes at step 0.
        """
        ids = with_cls(sequences, self.special, "PermutedLM.make_batch")
        draws = rng.uniform(ids.shape, np.float64)
        draws[:, 0] = -1.0  # the first token starts every order
        return self.with_order(ids, np.argsort(draws, axis=1))

    def with_order(self, ids: np.ndarray, order: np.ndarray) -> TokenBatch:
        """The batch for given orders (B, T); the first of an order is never predicted."""
        T = ids.shape[1]
        rank = np.argsort(order, axis=1)  # the inverse: (B, T), the step of each position
        first = T - max(1, round(self.share * (T - 1)))  # the first step that is scored
        counts = rank >= first
        held = without_padding(ids, self.special)
        if held is not None:
            counts &= held
        return TokenBatch(ids, np.where(counts, ids, IGNORE), held, order=order)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean of -log Pr(x_{z_t} | x_{z_<t}).

        model    (inputs, order=, mask=) -> logits of its query stream (B, T, V)
        """
        return score_tokens(model, batch)

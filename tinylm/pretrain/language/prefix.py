"""Prefix language modeling: read the beginning at once, then predict token by token.

Book section 1.2.3.1, Table 1.1:  L = - sum over i >= k of log Pr(x_i | x_0 .. x_{i-1}). Within the
prefix x_0 .. x_{k-1} every token sees every other; after it, attention is causal. In one stack that
is a mask (UniLM; Dong et al. 2019); in an encoder-decoder the encoder reads the prefix. Read next:
denoising/seq2seq.py for the second form.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import ArrayLike, Random
from tinylm.errors import ConfigError
from tinylm.pretrain.batch import IGNORE, Batch, TokenBatch, as_rows
from tinylm.pretrain.score import score_tokens


def prefix_mask(T: int, prefix: ArrayLike) -> np.ndarray:
    """The attention mask: [i, j] True, i sees j, if j < prefix or j <= i.

    prefix   tokens read at once: an integer, or (B,) integers
    returns  bool (T, T), or (B, T, T); prefix <= 1 is the causal mask, prefix = T the full one
    """
    at = np.arange(T)
    in_prefix = at < np.asarray(prefix)[..., None, None]  # (..., 1, T)
    return in_prefix | (at <= at[:, None])  # (..., T, T)


def prefix_split(ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """A row as a source and a target: the first k tokens, and the rest."""
    return ids[:k], ids[k:]


@dataclass(frozen=True)
class PrefixLM:
    """Prefix LM in a single stack.

    shortest, longest   least and greatest share of a sequence that its prefix takes
    """

    shortest: float = 0.0
    longest: float = 1.0

    def make_batch(self, sequences: np.ndarray, rng: Random) -> TokenBatch:
        """Draw a prefix of k tokens for each row, 1 <= k <= T.

        sequences  (B, T + 1) integers
        returns    TokenBatch of inputs x_0 .. x_{T-1}, targets x_1 .. x_T without those of the
                   prefix, mask (B, T, T)
        raises     ShapeError if there is nothing to predict
        """
        sequences = as_rows(sequences, "PrefixLM.make_batch", shortest=2)
        B, T = sequences.shape[0], sequences.shape[1] - 1
        low, high = max(1, round(self.shortest * T)), max(1, round(self.longest * T))
        return self.with_prefix(sequences, rng.integers(low, high + 1, (B,)))

    def with_prefix(self, sequences: np.ndarray, k: np.ndarray) -> TokenBatch:
        """The batch for given prefix lengths k (B,)."""
        inputs, targets = sequences[:, :-1], sequences[:, 1:]  # (B, T + 1) -> (B, T) each
        T = inputs.shape[1]
        after = np.arange(1, T + 1) >= k[:, None]  # (B, T): target i is x_{i+1}
        return TokenBatch(inputs, np.where(after, targets, IGNORE), prefix_mask(T, k))

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy after the prefix.

        model    an Encoder, or a model that takes mask= (B, T, T) like one
        raises   ConfigError if its attention is causal, which would hide the prefix from itself
        """
        attentions = [getattr(block, "attention", None) for block in getattr(model, "blocks", ())]
        if any(getattr(attention, "causal", False) for attention in attentions):
            raise ConfigError(
                "PrefixLM.loss: this model's attention is causal, so its prefix could not be read "
                "at once: use an Encoder, which takes any mask, or an encoder-decoder with "
                "PrefixTask"
            )
        return score_tokens(model, batch)


@dataclass(frozen=True)
class PrefixTask:
    """A task for denoising/seq2seq.py: the source is a prefix, the target the rest.

    shortest, longest   as in PrefixLM
    """

    shortest: float = 0.0
    longest: float = 1.0

    def __call__(self, ids: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, ...]:
        """ids (T,), draws (5, T + 1) uniform -> source (k,), target (T - k,), 1 <= k < T."""
        most = max(1, len(ids) - 1)  # a token is left to predict
        low = min(max(1, round(self.shortest * len(ids))), most)
        high = min(max(low, round(self.longest * len(ids))), most)
        k = low + int(draws[0, 0] * (high - low + 1))  # uniform in low .. high
        return prefix_split(ids, k)

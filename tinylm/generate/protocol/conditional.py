"""An encoder-decoder and its source as a language model, so that `generate` translates   (book
section 1.2.3).

Once the source is encoded, Pr(target | source) is a language model over targets like any other, and
all code for the protocol of language_model.py runs on it. Prompts begin with the model's start
token (`config.start`), which is given, not scored. Read next: streaming.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm import backend
from tinylm.autograd import Tensor, no_grad
from tinylm.backend import DType
from tinylm.errors import ShapeError
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.generate.protocol.language_model import check_token_ids, check_tokens, padded
from tinylm.models.encoder.seq2seq import Seq2Seq


class ConditionalCache(KeyValueCache):
    """A KeyValueCache of target tokens that also holds the keys and values of each row's source.

    pairs    of the encoded source: one pair of arrays (B, H, S, K) for each decoder layer
    mask     (B, S) bool, True for tokens of the source, or None
    others   as in KeyValueCache
    """

    def __init__(
        self,
        pairs: Sequence[tuple[np.ndarray, np.ndarray]],
        mask: np.ndarray | None,
        *others: DType | int | None,
    ) -> None:
        super().__init__(*others)
        self.pairs, self.mask = pairs, mask

    def select(self, rows: Sequence[int]) -> None:
        """Keep the given rows, sources too."""
        super().select(rows)
        index = backend.to_device(np.array([int(row) for row in rows], np.int64), self.device)
        self.pairs = [(k[index], v[index]) for k, v in self.pairs]
        if self.mask is not None:
            self.mask = self.mask[index]


class Conditional:
    """Pr(. | source) of a `models.Seq2Seq`, with the protocol of language_model.py.

    model    a Seq2Seq; each call runs in evaluation mode and restores the mode it found
    source   (S,) or (B, S) integers. In a cache for B rows, row r attends to source r; a single
             source serves all rows
    mask     (B, S) bool, True for tokens; None if all are
    raises   DataError for an id outside the vocabulary
    """

    def __init__(self, model: Seq2Seq, source: np.ndarray, mask: np.ndarray | None = None) -> None:
        self.model, self.config = model, model.config
        self.vocab_size, self.context = self.config.vocab_size, self.config.context
        self._weight = model.tokens.weight
        source = np.atleast_2d(np.asarray(source))
        check_token_ids(source, getattr(model, "source_size", self.vocab_size))
        device = self._weight.device
        self.mask = None
        if mask is not None:
            self.mask = backend.to_device(np.atleast_2d(np.asarray(mask)), device)
        source = backend.to_device(source, device)
        # Encode once: cross-attention reads the same keys and values at every step of decoding.
        memory = self._evaluated(lambda: model.memory_pairs(model.encode(source, self.mask)))
        self._pairs = [(k.data, v.data) for k, v in memory]  # (B, H, S, K) twice, for each layer

    def new_cache(
        self, batch: int, padding: np.ndarray | None = None, capacity: int = 0
    ) -> ConditionalCache:
        """An empty cache for B rows, with the source that each reads from.

        raises  ShapeError if there is not one source for all rows, or one for each
        """
        c, sources = self.config, len(self._pairs[0][0])
        if sources not in (1, batch):
            raise ShapeError(
                f"{batch} rows of targets for {sources} sources: "
                "give one source, or one for each row"
            )
        pairs, mask = self._pairs, self.mask
        if sources != batch:  # (1, ...) -> (B, ...) as views: the one source is not copied
            pairs = [
                tuple(np.broadcast_to(x, (batch, *x.shape[1:])) for x in pair) for pair in pairs
            ]
            if mask is not None:
                mask = np.broadcast_to(mask, (batch, mask.shape[1]))
        return ConditionalCache(
            pairs,
            mask,
            c.decoder_layers,
            batch,
            c.n_head,
            c.key_width,
            self._weight.dtype,
            self._weight.device,
            capacity,
            padding,
        )

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the next token after each of `tokens`: (B, T) -> (B, T, V)."""
        return self._run(tokens, cache, slice(None))

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the token after the last of `tokens`: (B, T) -> (B, V)."""
        return self._run(tokens, cache, slice(-1, None))[:, 0]

    def _run(self, tokens, cache, columns):
        """Scores after the given columns (a slice) of `tokens`."""
        tokens = check_tokens(tokens, self, cache)
        # Without a cache nothing is kept, but the source is still attended to.
        sources = cache
        if cache is None:
            sources = self.new_cache(len(tokens))
        pairs = [(Tensor(k), Tensor(v)) for k, v in sources.pairs]
        positions, mask = padded(tokens.shape[1], cache)
        device = self._weight.device
        ids = backend.to_device(tokens, device)
        if positions is not None:
            positions, mask = backend.to_device(positions, device), backend.to_device(mask, device)

        def run():
            h = self.model.decode(ids, pairs, sources.mask, cache, positions, mask)  # (B, T, D)
            return self.model.logits(h[:, columns]).data  # the output layer only where needed

        return self._evaluated(run)

    def _evaluated(self, function):
        """function() without a tape, in evaluation mode; the mode found is restored."""
        training = self.model.training
        if training:
            self.model.eval()
        try:
            with no_grad():
                return function()
        finally:
            if training:
                self.model.train()

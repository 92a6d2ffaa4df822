"""An encoder-decoder given its source, as a language model: what makes `generate` translate   (book
section 1.2.3).

Once the source is read, Pr(target | source) is a language model over targets like any other, so
everything written against language_model.py runs on it. Prompts begin with the model's start token
(`config.start`), which is given, not scored.
"""

import numpy as np

from tinylm import backend
from tinylm.autograd import Tensor, no_grad
from tinylm.errors import ShapeError
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.generate.protocol.language_model import check_ids, check_tokens, padded


class ConditionalCache(KeyValueCache):
    """A KeyValueCache of target tokens that carries what each row reads of its source; other
    arguments as there.

    pairs    keys and values of the memory, one pair (B, H, S, K) of arrays for each decoder layer
    mask     (B, S) bool, True for tokens of the source, or None
    """

    def __init__(self, pairs, mask, *others):
        super().__init__(*others)
        self.pairs, self.mask = pairs, mask

    def select(self, rows):
        """Keep the given rows, sources too."""
        super().select(rows)
        index = backend.to_device(np.array([int(row) for row in rows], np.int64), self.device)
        self.pairs = [(k[index], v[index]) for k, v in self.pairs]
        self.mask = None if self.mask is None else self.mask[index]


class Conditional:
    """Pr(. | source) of a `models.Seq2Seq`, with the protocol of language_model.py.

    model    a Seq2Seq; put into evaluation mode for each call and left as it was found
    source   (S,) or (B, S) integers. A cache for B rows reads row r from source r, all from the one
             source if B = 1
    mask     (B, S) bool, True for tokens; None if all are
    raises   DataError for an id outside the vocabulary
    """

    def __init__(self, model, source, mask=None):
        self.model, self.config = model, model.config
        self.vocab_size, self.context = self.config.vocab_size, self.config.context
        self._weight = model.tokens.weight
        source = np.atleast_2d(np.asarray(source))
        check_ids(source, getattr(model, "source_size", self.vocab_size))
        device = self._weight.device
        self.mask = (
            None if mask is None else backend.to_device(np.atleast_2d(np.asarray(mask)), device)
        )
        memory = self._quietly(
            lambda: model.memory_pairs(model.encode(backend.to_device(source, device), self.mask))
        )
        self._pairs = [(k.data, v.data) for k, v in memory]

    def new_cache(self, batch, padding=None, capacity=0):
        """An empty cache for B rows, with the source that each reads from.

        raises  ShapeError if there is not one source for all rows, or one for each
        """
        c, sources = self.config, len(self._pairs[0][0])
        if sources not in (1, batch):
            raise ShapeError(
                f"{batch} rows of targets for {sources} sources: give one source, or one for each row"
            )
        pairs, mask = self._pairs, self.mask
        if sources != batch:  # views: one source serves all rows without being copied
            pairs = [
                tuple(np.broadcast_to(x, (batch, *x.shape[1:])) for x in pair) for pair in pairs
            ]
            mask = None if mask is None else np.broadcast_to(mask, (batch, mask.shape[1]))
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

    def logits(self, tokens, cache=None):
        """Scores of the next token after each of `tokens`: (B, T) -> (B, T, V)."""
        return self._run(tokens, cache, slice(None))

    def next_logits(self, tokens, cache=None):
        """Scores of the token after the last of `tokens`: (B, T) -> (B, V)."""
        return self._run(tokens, cache, slice(-1, None))[:, 0]

    def _run(self, tokens, cache, wanted):
        tokens = check_tokens(tokens, self, cache)
        read_from = self.new_cache(len(tokens)) if cache is None else cache
        device = self._weight.device
        positions, mask = (
            p if p is None else backend.to_device(p, device) for p in padded(tokens.shape[1], cache)
        )
        pairs = [(Tensor(k), Tensor(v)) for k, v in read_from.pairs]

        def run():
            h = self.model.decode(
                backend.to_device(tokens, device), pairs, read_from.mask, cache, positions, mask
            )
            return self.model.logits(h[:, wanted]).data  # the output layer only where asked

        return self._quietly(run)

    def _quietly(self, function):
        training = self.model.training
        if training:
            self.model.eval()
        try:
            with no_grad():
                return function()
        finally:
            if training:
                self.model.train()

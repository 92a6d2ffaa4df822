"""Sampling that keeps no keys and values: every token reads all tokens before it again."""

import numpy as np

from tinylm.generate import ModelLM


class Read:
    """In place of keys and values: the tokens read so far, to be read again."""

    def __init__(self, batch, padding):
        self.padding, self.tokens = padding, np.zeros((batch, 0), np.int64)

    @property
    def length(self):
        return self.tokens.shape[1]

    def select(self, rows):
        self.tokens = self.tokens[rows]
        if self.padding is not None:
            self.padding = self.padding[rows]


class Uncached:
    def __init__(self, model):
        self.lm = ModelLM(model)
        self.vocab_size, self.context = self.lm.vocab_size, self.lm.context

    def new_cache(self, batch, padding=None):
        return Read(batch, padding)

    def logits(self, tokens, cache=None):
        raise NotImplementedError

    def next_logits(self, tokens, cache):
        cache.tokens = np.concatenate([cache.tokens, tokens], axis=1)
        return self.lm.next_logits(cache.tokens, self.lm.new_cache(len(tokens), cache.padding))


def without_cache(generate_rows):
    return lambda model, *given, **options: generate_rows(Uncached(model), *given, **options)

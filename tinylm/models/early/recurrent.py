"""A language model over any recurrent module: embed, read with a state of fixed size, score   (book
section 2.3.3).

RNN, GRU, LSTM and Mamba differ in one word of the configuration. Whatever the length of the text,
what is remembered of it has the same size; a transformer's cache grows with every token. Recurrent
language models: Mikolov et al. 2010; their states as representations: Sutskever et al. 2014, Peters
et al. 2018 (book section 2.1). Read next: decoder/gpt.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm import backend
from tinylm.autograd import Tensor, no_grad, unembedding, where
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.models.early.ngram import TokenHistory, check_tokens
from tinylm.nn import Embedding, LayerNorm, Linear, Module
from tinylm.nn.recurrence.recurrent import CELLS, Recurrent
from tinylm.nn.recurrence.state_space import MambaBlock


@dataclass(frozen=True)
class RecurrentConfig:
    """What a recurrent language model is made of."""

    vocab_size: int  # V
    d_model: int = 128  # D: embedding and state
    n_layer: int = 1  # L
    cell: str = "lstm"  # rnn | gru | lstm | mamba
    d_state: int = 16  # N, states per channel of mamba
    tied: bool = True  # output weights are the embedding table
    context: int | None = None  # no limit: the state has one size

    def __post_init__(self):
        if self.cell not in (*CELLS, "mamba"):
            raise ConfigError(
                f"RecurrentConfig: cell {self.cell!r} is not one of {', '.join((*CELLS, 'mamba'))}"
            )
        if min(self.vocab_size, self.d_model, self.n_layer, self.d_state) < 1:
            raise ConfigError(
                "RecurrentConfig: vocab_size, d_model, n_layer and d_state must be at least 1"
            )


class RecurrentLM(Module):
    """Token ids in, logits of the next token out, a state handed on; also a language model of
    generate/'s protocol.

    config  RecurrentConfig;  seed, dtype of the parameters
    Layers are stacked around a residual stream, x + F(norm(x)), as in GPT.
    """

    def __init__(self, config, seed=0, dtype=np.float32):
        c, rng = config, Random(seed, "init")
        self.config, self.vocab_size, self.context = c, c.vocab_size, c.context
        self.tokens = Embedding(c.vocab_size, c.d_model, rng, std=c.d_model**-0.5, dtype=dtype)
        self.norms = [LayerNorm(c.d_model, dtype=dtype) for _ in range(c.n_layer)]
        self.layers = [
            MambaBlock(c.d_model, rng, d_state=c.d_state, dtype=dtype)
            if c.cell == "mamba"
            else Recurrent(CELLS[c.cell](c.d_model, c.d_model, rng, dtype))
            for _ in range(c.n_layer)
        ]
        self.norm = LayerNorm(c.d_model, dtype=dtype)
        self.head = (
            None if c.tied else Linear(c.d_model, c.vocab_size, rng, bias=False, dtype=dtype)
        )

    def __call__(self, ids):
        """Logits of every next token, from the beginning: ids (B, T) -> (B, T, V)."""
        return self.read(ids)[0]

    def read(self, ids, state=None):
        """Read T more tokens.

        ids      (B, T) integers
        state    what an earlier call returned; None begins anew. Cut it off with `detach` for
                 truncated backpropagation
        returns  (logits (B, T, V), state: for each layer a tuple of Tensors whose first axis is B)
        """
        x = self.tokens(ids.data if isinstance(ids, Tensor) else ids)
        new = []  # (B, T) -> (B, T, D)
        for norm, layer, old in zip(self.norms, self.layers, state or [None] * len(self.layers)):
            y, state_after = layer(norm(x), old)
            x = x + y
            new.append(state_after)
        x = self.norm(x)
        return (unembedding(x, self.tokens.weight) if self.head is None else self.head(x)), new

    def new_cache(self, batch, padding=None):
        """An empty StateCache for B rows."""
        return StateCache([layer.initial_state(batch) for layer in self.layers], batch, padding)

    def logits(self, tokens, cache=None):
        """Scores of the next token after each of `tokens`, as an array: (B, T) -> (B, T, V)."""
        tokens = check_tokens(tokens, self.vocab_size)
        if cache is None:
            cache = self.new_cache(len(tokens))
        with no_grad():
            if cache.state is None:  # cut: the state cannot go back, so what is left is read again
                self._read_from(cache, cache.history.tokens, 0)
            before = cache.length
            cache.history.append(tokens)
            return self._read_from(cache, tokens, before)

    def _read_from(self, cache, tokens, before):
        """Advance the cache's state over columns `before`, ...; rows start anew where their padding
        ends.
        """
        if cache.state is None:
            cache.state = [layer.initial_state(len(tokens)) for layer in self.layers]
        padding, parts, stop = cache.history.padding, [], before + tokens.shape[1]
        if padding is None:
            begins = []
        else:
            begins = [n for n in np.unique(padding).tolist() if before < n < stop]
        tokens = backend.to_device(tokens, self.tokens.weight.device)
        for start, end in zip([before, *begins], [*begins, stop]):
            if padding is not None and start:
                cache.restart(padding == start)
            if end > start:
                logits, cache.state = self.read(
                    tokens[:, start - before : end - before], cache.state
                )
                parts.append(logits.data)
        if parts:
            return np.concatenate(parts, axis=1)
        return None

    def next_logits(self, tokens, cache=None):
        """Scores of the token after the last of `tokens`: (B, T) -> (B, V)."""
        return self.logits(tokens, cache)[:, -1]


def detach(state):
    """A state cut off from the graph: where truncated backpropagation through time stops (Williams
    & Peng 1990).
    """
    return [tuple(part.detach() for part in layer) for layer in state]


class StateCache:
    """What a recurrent language model remembers: a state of fixed size, `bytes` of it, however many
    tokens were read.

    The ids of the tokens are kept beside it for `crop` alone: a state cannot be taken back, so it
    is computed anew.
    """

    def __init__(self, state, batch, padding=None):
        self.state, self.history = state, TokenHistory(batch, padding)

    length = property(lambda self: self.history.length)
    padding = property(lambda self: self.history.padding)

    @property
    def bytes(self):
        """Size of the state."""
        return sum(part.data.nbytes for layer in self.state or () for part in layer)

    def crop(self, length):
        """Forget all columns from `length` on; the next call reads the others again."""
        if length != self.length:
            self.history.crop(length)
            self.state = None

    def restart(self, rows):
        """Begin anew in the rows (B,) where it is True."""

        def fresh(part):  # zeros, whatever the padding before has left there
            new = backend.to_device(np.asarray(rows), part.device).reshape(
                -1, *(1,) * (part.ndim - 1)
            )
            return where(new, 0.0, part)

        self.state = [tuple(fresh(part) for part in layer) for layer in self.state]

    def select(self, rows):
        """Keep the given rows, in the given order; a row may be named twice."""
        rows = np.array([int(row) for row in rows], np.int64)
        self.history.select(rows)
        if self.state is not None:
            self.state = [
                tuple(part[backend.to_device(rows, part.device)] for part in layer)
                for layer in self.state
            ]

"""A language model over any recurrent module: embed, read with a state of fixed size, score   (book
section 2.3.3).

RNN, GRU, LSTM and Mamba differ in one word of the configuration. The state has the same size for a
text of any length; a transformer's cache grows with every token. Recurrent
language models: Mikolov et al. 2010; their states as representations: Sutskever et al. 2014, Peters
et al. 2018 (book section 2.1). Read next: decoder/gpt.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm import backend
from tinylm.autograd import Tensor, no_grad, unembedding, where
from tinylm.backend import DType, Random
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

    def __post_init__(self) -> None:
        cells = (*CELLS, "mamba")
        if self.cell not in cells:
            raise ConfigError(
                f"RecurrentConfig: cell {self.cell!r} is not one of {', '.join(cells)}"
            )
        if min(self.vocab_size, self.d_model, self.n_layer, self.d_state) < 1:
            raise ConfigError(
                "RecurrentConfig: vocab_size, d_model, n_layer and d_state must be at least 1"
            )


class RecurrentLM(Module):
    """Token ids in, logits of the next token out, a state handed on.

    It has the language model protocol of generate/, for decoding.

    config  RecurrentConfig;  seed, dtype of the parameters
    Layers are stacked around a residual stream, x + F(norm(x)), as in GPT.
    """

    def __init__(self, config: RecurrentConfig, seed: int = 0, dtype: DType = np.float32) -> None:
        c = self.config = config
        self.vocab_size, self.context = c.vocab_size, c.context
        rng = Random(seed, "init")
        self.tokens = Embedding(c.vocab_size, c.d_model, rng, std=c.d_model**-0.5, dtype=dtype)
        self.norms = [LayerNorm(c.d_model, dtype=dtype) for _ in range(c.n_layer)]
        self.layers = [new_layer(c, rng, dtype) for _ in range(c.n_layer)]
        self.norm = LayerNorm(c.d_model, dtype=dtype)
        self.head = None
        if not c.tied:
            self.head = Linear(c.d_model, c.vocab_size, rng, bias=False, dtype=dtype)

    def __call__(self, ids: np.ndarray) -> Tensor:
        """Logits of every next token, from the beginning: ids (B, T) -> (B, T, V)."""
        return self.read(ids)[0]

    def read(
        self, ids: np.ndarray, state: Sequence[tuple[Tensor]] | None = None
    ) -> tuple[Tensor, list[tuple]]:
        """Logits of T more tokens, and the state after the last.

        ids      (B, T) integers
        state    what an earlier call returned; None begins anew. Cut it off with `detach` for
                 truncated backpropagation
        returns  (logits (B, T, V), state: for each layer a tuple of Tensors whose first axis is B)
        """
        if isinstance(ids, Tensor):
            ids = ids.data
        x = self.tokens(ids)  # (B, T) -> (B, T, D)
        old = state or [None] * len(self.layers)
        new = []
        for norm, layer, before in zip(self.norms, self.layers, old):
            y, after = layer(norm(x), before)  # h_t = f(h_{t-1}, x_t) for t = 1 .. T
            x = x + y
            new.append(after)
        x = self.norm(x)
        if self.head is None:
            return unembedding(x, self.tokens.weight), new
        return self.head(x), new

    def new_cache(self, batch: int, padding: np.ndarray | None = None) -> "StateCache":
        """An empty StateCache for B rows."""
        state = [layer.initial_state(batch) for layer in self.layers]
        return StateCache(state, batch, padding)

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the next token after each of `tokens`, as an array: (B, T) -> (B, T, V)."""
        tokens = check_tokens(tokens, self.vocab_size)
        if cache is None:
            cache = self.new_cache(len(tokens))
        with no_grad():
            # After a crop there is no state: it cannot go back, so the rest is read again.
            if cache.state is None:
                self._read_from(cache, cache.history.tokens, 0)
            before = cache.length
            cache.history.append(tokens)
            return self._read_from(cache, tokens, before)

    def _read_from(self, cache, tokens, before):
        """Advance the cache's state over the columns of `tokens`, the first of which is `before`.

        The read stops where the padding of some row ends: there the state of that row is reset.

        returns  logits (B, T, V), an array; None for no columns
        """
        if cache.state is None:
            cache.state = [layer.initial_state(len(tokens)) for layer in self.layers]
        padding = cache.history.padding  # (B,) or None
        stop = before + tokens.shape[1]
        begins = []  # columns inside, where a row's text begins
        if padding is not None:
            begins = [n for n in np.unique(padding).tolist() if before < n < stop]
        tokens = backend.to_device(tokens, self.tokens.weight.device)
        parts = []
        for start, end in zip([before, *begins], [*begins, stop]):
            if padding is not None and start:
                cache.restart(padding == start)
            if end > start:
                piece = tokens[:, start - before : end - before]  # (B, end - start)
                logits, cache.state = self.read(piece, cache.state)
                parts.append(logits.data)
        if parts:
            return np.concatenate(parts, axis=1)
        return None

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the token after the last of `tokens`: (B, T) -> (B, V)."""
        return self.logits(tokens, cache)[:, -1]


def new_layer(config: RecurrentConfig, rng: Random, dtype: DType) -> Module:
    """One recurrent layer of a configuration."""
    c = config
    if c.cell == "mamba":
        return MambaBlock(c.d_model, rng, d_state=c.d_state, dtype=dtype)
    return Recurrent(CELLS[c.cell](c.d_model, c.d_model, rng, dtype))


def detach(state: Sequence[tuple[Tensor]]) -> list[tuple[Tensor]]:
    """A state cut off from the graph, for truncated backpropagation through time   (Williams & Peng
    1990).
    """
    return [tuple(part.detach() for part in layer) for layer in state]


class StateCache:
    """The memory of a recurrent language model: a state of fixed size, `bytes` of it.

    The ids of the tokens are kept beside it for `crop` alone: a state cannot be taken back, so it
    is computed anew.
    """

    def __init__(
        self, state: Sequence[tuple[Tensor]], batch: int, padding: np.ndarray | None = None
    ) -> None:
        self.state, self.history = state, TokenHistory(batch, padding)

    length = property(lambda self: self.history.length)
    padding = property(lambda self: self.history.padding)

    @property
    def bytes(self) -> int:
        """Size of the state."""
        return sum(part.data.nbytes for layer in self.state or () for part in layer)

    def crop(self, length: int) -> None:
        """Forget all columns from `length` on; the next call reads the others again."""
        if length != self.length:
            self.history.crop(length)
            self.state = None

    def restart(self, rows: np.ndarray) -> None:
        """Reset the state of the rows where `rows`, bool (B,), is True."""

        def fresh(part):
            # Zeros by `where`, not by a product: the padding before may have left inf or nan.
            chosen = backend.to_device(np.asarray(rows), part.device)
            chosen = chosen.reshape(-1, *(1,) * (part.ndim - 1))  # (B,) -> (B, 1, ..)
            return where(chosen, 0.0, part)

        self.state = [tuple(fresh(part) for part in layer) for layer in self.state]

    def select(self, rows: Any) -> None:
        """Keep the given rows, in the given order; a row may be named twice."""
        rows = np.array([int(row) for row in rows], np.int64)
        self.history.select(rows)
        if self.state is None:
            return
        self.state = [
            tuple(part[backend.to_device(rows, part.device)] for part in layer)
            for layer in self.state
        ]

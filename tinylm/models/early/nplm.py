"""The neural n-gram model: a table of V^n counts replaced by a small network   (Bengio et al. 2003;
book section 2.1).

The n - 1 tokens before are looked up in a table of vectors, put side by side and mapped to scores
of the next:

    x = [C(w_{t-n+1}); ..; C(w_{t-1})],    scores = b + U tanh(d + H x) [+ W x, the direct
                                           connections]

Similar words get similar vectors, so an n-gram never seen borrows from those that resemble it. The
table C is the first word embedding. Read next: word2vec.py, which keeps only the table, or
recurrent.py, which reads without end.
"""

from typing import Any

import numpy as np

from tinylm.autograd import Tensor, no_grad, tanh
from tinylm.backend import DType, Random, to_cpu, to_device
from tinylm.errors import ConfigError
from tinylm.models.early.ngram import TokenHistory, check_tokens, windows
from tinylm.nn import Embedding, Linear, Module


class FeedForwardNGramLM(Module):
    """Bengio's neural probabilistic language model, with the protocol of generate/ for decoding.

    order       n: the next token is predicted from the n - 1 before it
    vocab_size  V;  d_embedding m;  d_hidden h
    direct      with the connections W from the embeddings to the scores
    seed, dtype of the parameters

    V (1 + h) + h (1 + (n-1) m) + (V + 1) m numbers, and V (n-1) m more if direct: linear in V and
    n, where the table of an n-gram model has V^n. (One row of C stands for "before the beginning".)
    """

    context = None

    def __init__(
        self,
        order: int,
        vocab_size: int,
        d_embedding: int,
        d_hidden: int,
        direct: bool = True,
        seed: int = 0,
        dtype: DType = np.float32,
    ) -> None:
        if min(order - 1, vocab_size, d_embedding, d_hidden) < 1:
            raise ConfigError(
                f"FeedForwardNGramLM: order {order} must be at least 2, and {vocab_size} tokens, "
                f"widths {d_embedding} and {d_hidden} at least 1"
            )
        rng = Random(seed, "init")
        width = (order - 1) * d_embedding  # (n-1) m, of x
        self.order, self.vocab_size = order, vocab_size
        self.bos = vocab_size  # the last row of the table
        self.words = Embedding(vocab_size + 1, d_embedding, rng, std=1.0, dtype=dtype)
        self.hidden = Linear(width, d_hidden, rng, std=width**-0.5, dtype=dtype)
        self.out = Linear(d_hidden, vocab_size, rng, std=d_hidden**-0.5, dtype=dtype)
        self.direct = None
        if direct:
            self.direct = Linear(width, vocab_size, rng, bias=False, dtype=dtype)

    def __call__(self, ids: np.ndarray) -> Tensor:
        """Logits of every next token: ids (B, T) -> (B, T, V).

        Position t sees ids[t-n+2 .. t], with `bos` before the first.
        """
        if isinstance(ids, Tensor):
            ids = ids.data
        contexts = np.ascontiguousarray(windows(to_cpu(ids), self.order - 1, self.bos))
        return self.scores(to_device(contexts, self.words.weight.device))

    def scores(self, contexts: np.ndarray) -> Tensor:
        """Logits after each context: (..., n - 1) integers -> (..., V)."""
        x = self.words(contexts)  # (..., n-1, m)
        x = x.reshape(*contexts.shape[:-1], -1)  # (..., (n-1) m)
        y = self.out(tanh(self.hidden(x)))  # (..., V)
        if self.direct is None:
            return y
        return y + self.direct(x)

    def new_cache(self, batch: int, padding: np.ndarray | None = None) -> TokenHistory:
        """An empty TokenHistory for B rows."""
        return TokenHistory(batch, padding)

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the next token after each of `tokens`, as an array: (B, T) -> (B, T, V)."""
        tokens = check_tokens(tokens, self.vocab_size)
        if cache is None:
            cache = self.new_cache(len(tokens))
        before = cache.length
        cache.append(tokens)
        contexts = windows(cache.tokens, self.order - 1, self.bos, before, cache.padding)
        with no_grad():
            return self.scores(contexts).data  # (B, T, n - 1) -> (B, T, V)

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the token after the last of `tokens`: (B, T) -> (B, V)."""
        return self.logits(tokens, cache)[:, -1]

"""Count-based language models: Pr(x_i | x_0 .. x_{i-1}) from how often n-grams occurred   (book
section 2.1, opening).

Shannon's experiment (1951) measures how predictable a letter is given the n - 1 before it; an
n-gram model predicts it by counting. A count of 0 would give probability 0 to what was only never
seen, so probability is moved from the seen to the unseen: smoothing. Chen & Goodman (1999) compare
the methods; Kneser & Ney (1995) is the best of them. An n-gram is kept as one integer, its symbols
the digits, so that a table is a sorted array and looking up is a binary search. Read next: nplm.py,
which replaces the table by a network.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike, Random
from tinylm.errors import ConfigError, DataError, ShapeError


class TokenHistory:
    """A cache that remembers the tokens themselves, for models whose state is what they last read.

    batch    rows;  padding (B,) leading columns of each row that are no tokens, or None
    """

    def __init__(self, batch: int, padding: np.ndarray | None = None) -> None:
        self.tokens = np.empty((batch, 0), np.int64)
        if padding is not None:
            padding = np.asarray(padding)
        self.padding = padding

    @property
    def length(self) -> int:
        """Columns read so far."""
        return self.tokens.shape[1]

    def append(self, tokens: np.ndarray) -> None:
        """Add columns (B, T) of tokens."""
        if tokens.shape[0] != len(self.tokens):
            raise ShapeError(
                f"cache: {tokens.shape[0]} rows of tokens for a cache of {len(self.tokens)}"
            )
        self.tokens = np.concatenate([self.tokens, tokens], axis=1)

    def crop(self, length: int) -> None:
        """Forget all columns from `length` on."""
        if not 0 <= length <= self.length:
            raise ShapeError(
                f"crop: the cache holds {self.length} tokens and cannot be cut to {length}"
            )
        self.tokens = self.tokens[:, :length]

    def select(self, rows: Sequence[int]) -> None:
        """Keep the given rows, in the given order; a row may be named twice."""
        rows = [int(row) for row in rows]
        self.tokens = self.tokens[rows]
        if self.padding is not None:
            self.padding = self.padding[rows]


def windows(
    tokens: ArrayLike, width: int, bos: int, first: int = 0, padding: np.ndarray | None = None
) -> np.ndarray:
    """The `width` tokens up to and including each column, with `bos` before the beginning.

    tokens   (B, S) integers;  first: leave out the windows of columns before it
    padding  (B,) leading columns of each row that are no tokens: read as `bos` too
    returns  (B, S - first, width)
    """
    tokens = np.asarray(tokens)
    if padding is not None:
        columns = np.arange(tokens.shape[1])
        tokens = np.where(columns < padding[:, None], bos, tokens)
    before = np.full((len(tokens), width), bos)
    padded = np.concatenate([before, tokens], axis=1)  # (B, width + S)
    # Window i of `padded` ends before column i of the tokens, so window i + 1 ends with it.
    return np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)[:, 1 + first :]


def check_tokens(tokens: ArrayLike, vocab_size: int) -> np.ndarray:
    """`tokens` as a (B, T) array of ids. Raises ShapeError or DataError if they are not that."""
    tokens = np.asarray(tokens)
    if tokens.ndim != 2 or 0 in tokens.shape:
        raise ShapeError(
            f"tokens have shape {tokens.shape}, but a language model reads (B, T) "
            "with B and T at least 1"
        )
    if tokens.dtype.kind not in "iu":
        raise DataError(
            f"token ids have dtype {tokens.dtype}, but they are integers: "
            "encode text with a tokenizer first"
        )
    if tokens.min() < 0 or tokens.max() >= vocab_size:
        bad = tokens[(tokens < 0) | (tokens >= vocab_size)][0]
        raise DataError(
            f"token id {bad} is outside the vocabulary of {vocab_size}: "
            "was the text encoded with another tokenizer?"
        )
    return tokens


class _Table:
    """The counts of one order: of every n-gram seen, and of every context seen.

    keys, counts  (n,) sorted n-grams and how often each occurred
    contexts      (m,) sorted contexts
    totals        (m,) the sum of counts after each context
    kinds         (m,) different words after it
    """

    def __init__(self, keys, counts, base):
        self.keys, self.counts = keys, counts
        # Dropping the last digit, the word predicted, leaves the context; sorted, as the keys are.
        contexts = keys // base
        changes = contexts[1:] != contexts[:-1]
        firsts = np.concatenate([[True], changes])  # (n,)
        starts = np.flatnonzero(firsts)  # first row of each context, (m,)
        self.contexts = contexts[starts]
        self.totals = np.add.reduceat(counts, starts)
        self.kinds = np.diff(np.append(starts, len(keys)))

    @staticmethod
    def find(keys, values, wanted):
        """The value of each wanted key, 0 where it is not there."""
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, values[at], 0)


# One order of each smoothing, elementwise: c is the count of the n-gram, total and kinds those of
# its context, lower the probability of the order below, V the vocabulary.


def _mle(c, total, kinds, lower, V, option):
    return np.where(total > 0, c / np.maximum(total, 1), 1 / V)


def _add_k(c, total, kinds, lower, V, option):
    return (c + option) / (total + option * V)


def _interpolated(c, total, kinds, lower, V, option):
    mixed = option * c / np.maximum(total, 1) + (1 - option) * lower
    return np.where(total > 0, mixed, lower)


def _discounted(c, total, kinds, lower, V, option):
    # Each of `kinds` different words gives up `option` of its count; the sum of what they give is
    # what the lower order distributes, so that probabilities still sum to 1.
    kept = np.maximum(c - option, 0)
    seen = (kept + option * kinds * lower) / np.maximum(total, 1)
    return np.where(total > 0, seen, lower)


# Name -> (how one order is made from its counts and the order below, default option)
SMOOTHINGS = {
    "mle": (_mle, None),
    "add_k": (_add_k, 1.0),
    "interpolated": (_interpolated, 0.7),
    "absolute": (_discounted, None),
    "kneser_ney": (_discounted, None),
}


class NGramLM:
    """An n-gram language model, with the language model protocol of generate/ for decoding.

    order       n: the next token is predicted from the n - 1 before it
    vocab_size  V; the id V is used inside for "before the beginning"
    smoothing   mle           c(h, w) / c(h); 1/V after a context never seen
                add_k         (c(h, w) + k) / (c(h) + k V)
                interpolated  weight c(h, w) / c(h) + (1 - weight) P(w | shorter h)
                              (Jelinek & Mercer 1980)
                absolute      max(c(h, w) - d, 0) / c(h) + d kinds(h) / c(h) P(w | shorter h)
                              (Ney et al. 1994)
                kneser_ney    the same, but below order n a word counts once for each different word
                              before it: "Francisco" is frequent and follows "San" only
                Below order 1 stands 1/V.
    option      k, weight, or d; by default 1, 0.7, and n1 / (n1 + 2 n2) with n1, n2 n-grams seen
                once and twice
    raises      ConfigError
    """

    context = None  # reads any length; all but the last n - 1 tokens are ignored

    def __init__(
        self,
        order: int,
        vocab_size: int,
        smoothing: str = "kneser_ney",
        option: float | None = None,
    ) -> None:
        if smoothing not in SMOOTHINGS:
            raise ConfigError(
                f"NGramLM: smoothing {smoothing!r} is not one of {', '.join(SMOOTHINGS)}"
            )
        if order < 1 or vocab_size < 1 or (vocab_size + 1) ** order >= 2**63:
            raise ConfigError(
                f"NGramLM: order {order} over {vocab_size} tokens: both at least 1, and "
                "(V + 1)^n must fit 63 bits"
            )
        self.order = order
        self.vocab_size = vocab_size
        self.smoothing = smoothing
        self.bos = vocab_size
        self.base = vocab_size + 1  # of the digits of an n-gram: V tokens and bos
        if option is None:
            option = SMOOTHINGS[smoothing][1]
        self.option = option
        self.tables, self.options = [], []

    def fit(self, *sequences: ArrayLike) -> "NGramLM":
        """Count the n-grams of all orders.

        sequences  (T,) integers each; every one is read on its own, from its beginning
        returns    the model
        """
        n, base = self.order, self.base
        tokens = [check_tokens([sequence], self.vocab_size) for sequence in sequences]
        grams = np.concatenate([windows(row, n, self.bos)[0] for row in tokens])  # (N, n)
        digits = base ** np.arange(n, dtype=np.int64)[::-1]  # the last token is the last digit
        self.tables = []
        for k in range(n, 0, -1):
            keys = grams[:, n - k :] @ digits[n - k :]  # the last k tokens as one integer, (N,)
            if k < n and self.smoothing == "kneser_ney":
                # The different (k+1)-grams, without their first digit: a k-gram then counts once
                # for each different word before it.
                keys = self.tables[0].keys % base**k
            keys, counts = np.unique(keys, return_counts=True)
            self.tables.insert(0, _Table(keys, counts, base))
        self.options = [self.option] * n
        if self.option is None:
            self.options = [self._discount(table) for table in self.tables]
        return self

    @staticmethod
    def _discount(table):
        """d = n1 / (n1 + 2 n2), the leave-one-out estimate   (Ney et al. 1994)."""
        once = int((table.counts == 1).sum())  # n1
        twice = int((table.counts == 2).sum())  # n2
        if not once or not twice:
            return 0.75  # the usual value, where too little was counted for an estimate
        return once / (once + 2 * twice)

    def prob(self, contexts: ArrayLike, tokens: ArrayLike) -> np.ndarray:
        """Pr(token | context), elementwise with broadcasting.

        contexts  (..., n - 1) integers, `bos` where the text has not begun
        tokens    (...) integers
        returns   (...) float64
        """
        if not self.tables:
            raise ConfigError("NGramLM: count first: model.fit(tokens)")
        n, base, V = self.order, self.base, self.vocab_size
        contexts = np.asarray(contexts, np.int64)
        combine = SMOOTHINGS[self.smoothing][0]
        p: Any = 1 / V  # below order 1
        lowest = n if self.smoothing in ("mle", "add_k") else 1  # those two have no lower orders
        for k in range(lowest, n + 1):
            table, option = self.tables[k - 1], self.options[k - 1]
            digits = base ** np.arange(k - 1, dtype=np.int64)[::-1]
            context = contexts[..., n - k :] @ digits  # the last k - 1 tokens as one integer
            c = table.find(table.keys, table.counts, context * base + tokens)  # c(h, w)
            total = table.find(table.contexts, table.totals, context)  # c(h)
            kinds = table.find(table.contexts, table.kinds, context)
            p = combine(c, total, kinds, p, V, option)
        return p

    def distribution(self, contexts: ArrayLike) -> np.ndarray:
        """Pr(. | context): contexts (..., n - 1) -> (..., V)."""
        contexts = np.asarray(contexts)[..., None, :]  # (..., n - 1) -> (..., 1, n - 1)
        return self.prob(contexts, np.arange(self.vocab_size))

    def logprob(self, sequence: ArrayLike) -> np.ndarray:
        """log Pr of each token of a (T,) sequence given those before it: (T,), in nats."""
        tokens = check_tokens([sequence], self.vocab_size)
        grams = windows(tokens, self.order, self.bos)[0]  # (T, n)
        with np.errstate(divide="ignore"):  # log 0 = -inf is the right answer
            return np.log(self.prob(grams[:, :-1], grams[:, -1]))

    def perplexity(self, sequence: np.ndarray) -> float:
        """exp of the mean negative log-probability of a (T,) sequence."""
        with np.errstate(over="ignore"):  # inf where that overflows, nan of nan
            return float(np.exp(-self.logprob(sequence).mean()))

    def sample(self, length: int, rng: Random, prompt: Sequence[int] = ()) -> np.ndarray:
        """Draw tokens one after the other.

        length   how many
        rng      backend.Random
        prompt   tokens before the first drawn one
        returns  (length,) int64
        """
        tokens = [self.bos] * (self.order - 1) + list(prompt)
        for u in rng.uniform((length,), np.float64):
            # The token whose interval of the cumulative distribution holds u.
            context = tokens[len(tokens) - self.order + 1 :]
            upto = np.cumsum(self.distribution(context))
            tokens.append(int(np.searchsorted(upto, u * upto[-1], side="right")))
        return np.array(tokens[len(tokens) - length :], np.int64)

    def count_parameters(self) -> int:
        """Numbers kept: one for each n-gram seen, of every order. The full table would have V^n."""
        return sum(len(table.keys) for table in self.tables)

    def new_cache(self, batch: int, padding: np.ndarray | None = None) -> TokenHistory:
        """An empty TokenHistory for B rows."""
        return TokenHistory(batch, padding)

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """log Pr(. | everything up to here) after each of `tokens`: (B, T) -> (B, T, V)."""
        tokens = check_tokens(tokens, self.vocab_size)
        if cache is None:
            cache = self.new_cache(len(tokens))
        before = cache.length
        cache.append(tokens)
        contexts = windows(cache.tokens, self.order, self.bos, before, cache.padding)[..., 1:]
        with np.errstate(divide="ignore"):
            return np.log(self.distribution(contexts))

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """log Pr(. | everything up to here) after the last of `tokens`: (B, T) -> (B, V)."""
        return self.logits(tokens, cache)[:, -1]


def best_by_counting(
    text: str, held_out: str, orders: Sequence[int] = range(3, 10), mark: str = ""
) -> tuple[float, int]:
    """The n-gram model of characters, with Kneser-Ney smoothing, that predicts a text best.

    text      str, whose n-grams are counted
    held_out  str, which it predicts
    orders    n to try; those whose n-grams do not fit 63 bits are left out
    mark      character that is predicted and is no text: the end of a document
    returns   (bits per byte of held_out in UTF-8, n)
    raises    ConfigError if no order fits
    """
    ids = {character: i for i, character in enumerate(sorted(set(text) | set(held_out)))}
    seen, new = (np.array([ids[c] for c in part], np.int64) for part in (text, held_out))
    nbytes = len(held_out.replace(mark, "").encode())
    found = []
    for order in orders:
        if (len(ids) + 1) ** order < 2**63:
            logprob = float(NGramLM(order, len(ids)).fit(seen).logprob(new).sum())
            found.append((abs(logprob) / math.log(2) / max(nbytes, 1), order))
    if not found:
        raise ConfigError(f"n-grams of {len(ids)} characters: no order of {list(orders)} fits")
    return min(found)


def block_entropy(tokens: np.ndarray, n: int) -> float:
    """The entropy of the n-grams of a text read in a circle, in bits   (Shannon 1951).

    tokens  (T,) integers. In a circle every n-gram has a successor and a predecessor, so all orders
            have T of them
    """
    tokens = np.unique(np.asarray(tokens), return_inverse=True)[1]
    keys = np.zeros(len(tokens), np.int64)
    for i in range(n):  # renumbered after each symbol, so that keys stay below T V
        keys = keys * (tokens.max() + 1) + np.roll(tokens, -i)
        keys = np.unique(keys, return_inverse=True)[1]
    p = np.bincount(keys) / len(tokens)
    return float(-(p * np.log2(p)).sum())


def conditional_entropy(tokens: ArrayLike, n: int, vocab_size: int | None = None) -> float:
    """Shannon's F_n: the entropy of a symbol given the n - 1 before it, in bits.

    tokens      (T,) integers, read in a circle
    n           F_0 is log2 V; F_n = H(n-grams) - H((n-1)-grams) never rises with n: conditioning
                reduces entropy
    vocab_size  V, needed for F_0 only
    """
    if n == 0:
        if vocab_size is None:
            raise ConfigError("conditional_entropy: F_0 = log2 V needs vocab_size")
        return float(np.log2(vocab_size))
    return block_entropy(tokens, n) - block_entropy(tokens, n - 1)

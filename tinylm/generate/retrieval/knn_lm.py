"""The k-nearest-neighbor language model: a datastore of what came next   (book eqs. 2.67, 2.68;
Khandelwal et al. 2020).

Every position of a text is stored as (hidden state, next token). At inference the k states closest
to the present one vote for their tokens, and the vote is mixed with the model's own distribution.
No weight changes:

    Pr_knn(v) = sum over j with w_j = v of exp(-d_j / t) / sum over all j of exp(-d_j / t)
    Pr(v)     = lambda Pr_knn(v) + (1 - lambda) Pr_lm(v)

The votes of equal tokens add up, and a token that was not retrieved has no vote. Eq. 2.67 as
printed would give such a token distance 0, the largest vote. Read next: bm25.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm import backend
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.protocol.language_model import Model, as_language_model
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.retrieval.neighbors import ClusteredIndex, knn_search

# Two computations of one hidden state may differ by so many eps of its length: a bound for a few
# dozen operations in a row, in float32 1e-5 of the length.
SAME_STATE = 100


class Datastore:
    """Vectors with a token each.

    keys    (N, D) floating point;  tokens (N,) integers
    """

    def __init__(self, keys: ArrayLike, tokens: ArrayLike) -> None:
        self.keys, self.tokens = np.asarray(keys), np.asarray(tokens)
        if self.keys.ndim != 2 or self.tokens.shape != self.keys.shape[:1]:
            raise ShapeError(
                f"Datastore: keys {self.keys.shape} and tokens {self.tokens.shape} "
                "must be (N, D) and (N,)"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, keys: np.ndarray, tokens: np.ndarray) -> "Datastore":
        """A new Datastore with these added at the end."""
        return Datastore(np.concatenate([self.keys, keys]), np.concatenate([self.tokens, tokens]))

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(squared distances (n, k), tokens (n, k)), closest first; equals in the order added."""
        distances, places = knn_search(queries, self.keys, min(k, len(self)))
        return distances, self.tokens[places]


class ClusteredDatastore:
    """A Datastore that searches the `probes` nearest of its clusters: faster, but approximate."""

    def __init__(self, store: Datastore, clusters: int, probes: int, seed: int = 0) -> None:
        self.index = ClusteredIndex(store.keys, clusters, seed)
        self.tokens = store.tokens
        self.probes = probes

    def __len__(self) -> int:
        return len(self.tokens)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As in Datastore; a missing neighbor has distance inf and so no vote."""
        distances, places, _ = self.index.search(queries, min(k, len(self)), self.probes)
        return distances, self.tokens[places]


def build_datastore(lm: Model, sequences: Sequence[list[int]]) -> Datastore:
    """The datastore of a text: the state after each token but the last, with the next token.

    lm         a language model with `hidden_and_logits` (protocol/language_model.py)
    sequences  lists of integers, each read on its own and no longer than the context + 1
    """
    lm, keys, tokens = as_language_model(lm), [], []
    for sequence in sequences:
        sequence = np.asarray(sequence)
        hidden, _ = lm.hidden_and_logits(sequence[None, :-1])
        keys.append(backend.to_cpu(hidden)[0])  # (T-1, D)
        tokens.append(sequence[1:])
    return Datastore(np.concatenate(keys), np.concatenate(tokens))


def knn_probabilities(
    distances: np.ndarray, tokens: np.ndarray, vocab_size: int, temperature: float = 1.0
) -> np.ndarray:
    """The neighbors' vote Pr_knn of the file's header   (book eq. 2.67)

    distances  (n, k), inf for no neighbor;  tokens (n, k);  temperature t > 0
    returns    (n, V) float64
    """
    scores = -np.asarray(distances, np.float64) / temperature
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))  # (n, k), the closest has 1
    out = np.zeros((len(weights), vocab_size))
    np.add.at(out, (np.arange(len(weights))[:, None], tokens), weights)  # equal tokens add up
    return out / weights.sum(axis=-1, keepdims=True)


class KNNLM:
    """lambda Pr_knn + (1 - lambda) Pr_lm as a language model   (book eq. 2.68)

    lm           has `hidden_and_logits`
    store        a Datastore or ClusteredDatastore built with the same model
    k            neighbors;  share lambda, 0 to 1
    temperature  of the distances, in their unit (squared length of a hidden state)
    leave_out    neighbors at distance 0, up to rounding, have no vote: for a text that is itself in
                 the datastore
    """

    def __init__(
        self,
        lm: Model,
        store: Datastore,
        k: int = 8,
        share: float = 0.25,
        temperature: float = 1.0,
        leave_out: bool = False,
    ) -> None:
        if not 0 <= share <= 1 or k < 1 or temperature <= 0:
            raise ConfigError(
                f"KNNLM: share {share} must be from 0 to 1, k {k} at least 1, "
                f"temperature {temperature} above 0"
            )
        self.lm = as_language_model(lm)
        self.vocab_size = self.lm.vocab_size
        self.context = self.lm.context
        self.new_cache = self.lm.new_cache
        self.store = store
        self.k = k
        self.share = share
        self.temperature = temperature
        self.leave_out = leave_out

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Log-probabilities of the mixture: (B, T) -> (B, T, V) float64."""
        hidden, scores = map(backend.to_cpu, self.lm.hidden_and_logits(tokens, cache))
        B, T, V = scores.shape
        states = hidden.reshape(B * T, -1)  # (B T, D)
        distances, found = self.store.search(states, self.k + self.leave_out)  # (B T, k) twice
        if self.leave_out:
            # The stored state came from an input of another length, and BLAS adds in an order that
            # depends on the shape: the same state only up to rounding. Distances are squared.
            lengths = np.linalg.norm(states.astype(np.float64), axis=1, keepdims=True)
            same = (SAME_STATE * np.finfo(states.dtype).eps * lengths) ** 2
            distances = np.where(distances <= same, np.inf, distances)
        voting = np.isfinite(distances).any(axis=1)  # (B T,) positions with a neighbor
        votes = np.zeros((B * T, V))
        votes[voting] = knn_probabilities(distances[voting], found[voting], V, self.temperature)
        share = np.where(voting, self.share, 0.0)[:, None]  # no neighbor: the model alone
        own = np.exp(log_probabilities(scores.reshape(B * T, V)))
        with np.errstate(divide="ignore"):  # log 0 = -inf
            mixed = np.log(share * votes + (1 - share) * own)  # eq. 2.68
        return mixed.reshape(B, T, V)

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Log-probabilities of the mixture at the last position: (B, T) -> (B, V)."""
        return self.logits(tokens, cache)[:, -1]

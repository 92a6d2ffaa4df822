"""GloVe: word vectors from a table of which words stand near each other   (Pennington et al. 2014;
book section 1.1)

Skip-gram reads the text pair by pair; here the text is counted once, and the vectors are fitted to
the logarithms of the counts by weighted least squares: w_i . w~_j + b_i + b~_j = log X_ij. Pairs
that never occur have no logarithm; they weigh nothing and are not even listed. Read next:
word2vec.py, which arrives at nearly the same factors.
"""

import numpy as np

from tinylm.autograd import Tensor, embedding
from tinylm.backend import ArrayLike, DType, Random
from tinylm.errors import DataError
from tinylm.nn import Module, normal_parameter
from tinylm.nn.linear import undecayed


def cooccurrences(
    tokens: ArrayLike, window: int, vocab_size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often words stand near each other: a pair at distance d counts 1/d, in both directions.

    tokens   (T,) integers below vocab_size
    returns  (i, j, X): the pairs that occur and their counts, each (n,)
    """
    tokens = np.asarray(tokens)
    total = np.zeros(vocab_size * vocab_size)
    for distance in range(1, min(window, len(tokens) - 1) + 1):
        later, sooner = tokens[distance:], tokens[:-distance]
        for a, b in ((later, sooner), (sooner, later)):
            # The pair (a, b) as one number: row a, column b of a (V, V) table.
            total += np.bincount(a * vocab_size + b, minlength=len(total)) / distance
    pairs = np.flatnonzero(total)
    if not len(pairs):
        raise DataError(
            f"cooccurrences: {len(tokens)} tokens with window {window} have no pair: "
            "both must be larger"
        )
    return pairs // vocab_size, pairs % vocab_size, total[pairs]


def pair_weights(counts: np.ndarray, most: float = 100.0, power: float = 0.75) -> np.ndarray:
    """f(X) = min(1, (X / most)^power)   (eq. 9).

    Rare pairs are noisy, and frequent ones must not drown the rest.
    """
    return np.minimum(1.0, (counts / most) ** power)


class GloVe(Module):
    """Two vectors and two biases per word; the result is the sum of both vectors, as in the paper.

    vocab_size V;  d_model D;  seed, dtype of the parameters
    """

    def __init__(
        self, vocab_size: int, d_model: int, seed: int = 0, dtype: DType = np.float32
    ) -> None:
        rng = Random(seed, "init")
        std = 0.5 * d_model**-0.5  # of each entry, so that a product w . w~ is about 1/(4 sqrt(D))
        self.words = normal_parameter((vocab_size, d_model), rng, std, dtype)
        self.contexts = normal_parameter((vocab_size, d_model), rng, std, dtype)
        self.word_bias = _zeros(vocab_size, dtype)
        self.context_bias = _zeros(vocab_size, dtype)

    def scores(self, i: np.ndarray, j: np.ndarray) -> Tensor:
        """w_i . w~_j + b_i + b~_j for pairs: (n,), (n,) integers -> (n,)."""
        w, other = embedding(i, self.words), embedding(j, self.contexts)  # (n, D) each
        product = (w * other).sum(axis=-1)  # (n,)
        biases = embedding(i, self.word_bias) + embedding(j, self.context_bias)  # (n, 1)
        return product + biases[:, 0]

    def loss(
        self,
        i: np.ndarray,
        j: np.ndarray,
        counts: np.ndarray,
        most: float = 100.0,
        power: float = 0.75,
    ) -> Tensor:
        """J = sum f(X_ij) (w_i . w~_j + b_i + b~_j - log X_ij)^2 over the pairs given   (eq. 8)

        i, j, counts  (n,) each, as cooccurrences() lists them; counts above 0
        returns       Tensor ()
        """
        dtype = self.words.dtype  # a float64 factor would make float32 scores wide
        difference = self.scores(i, j) - np.log(counts).astype(dtype)
        weights = pair_weights(counts, most, power).astype(dtype)
        return (difference * difference * weights).sum()

    def vectors(self) -> np.ndarray:
        """w + w~, (V, D) array."""
        return self.words.numpy() + self.contexts.numpy()


def _zeros(vocab_size, dtype):
    """A bias for each word, (V, 1), without weight decay."""
    return undecayed(Tensor(np.zeros((vocab_size, 1), dtype), requires_grad=True))

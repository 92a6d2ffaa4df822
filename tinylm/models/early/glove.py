"""GloVe: word vectors from a table of which words stand near each other   (Pennington et al. 2014;
book section 1.1)

Skip-gram reads the text pair by pair; here the text is counted once, and the vectors are fitted to
the logarithms of the counts by weighted least squares: w_i . w~_j + b_i + b~_j = log X_ij. Pairs
that never occur have no logarithm; they weigh nothing and are not even listed. Read next:
word2vec.py, which arrives at nearly the same factors.
"""

import numpy as np

from tinylm.autograd import Tensor, embedding
from tinylm.backend import Random
from tinylm.errors import DataError
from tinylm.nn import Module, normal_parameter
from tinylm.nn.linear import undecayed


def cooccurrences(tokens, window, vocab_size):
    """How often words stand near each other: a pair at distance d counts 1/d, in both directions.

    tokens   (T,) integers below vocab_size
    returns  (i, j, X): the pairs that occur and their counts, each (n,)
    """
    tokens, total = np.asarray(tokens), np.zeros(vocab_size * vocab_size)
    for distance in range(1, min(window, len(tokens) - 1) + 1):
        later, sooner = tokens[distance:], tokens[:-distance]
        for a, b in ((later, sooner), (sooner, later)):
            total += np.bincount(a * vocab_size + b, minlength=len(total)) / distance
    pairs = np.flatnonzero(total)
    if not len(pairs):
        raise DataError(
            f"cooccurrences: {len(tokens)} tokens with window {window} have no pair: both must be larger"
        )
    return pairs // vocab_size, pairs % vocab_size, total[pairs]


def pair_weights(counts, most=100.0, power=0.75):
    """f(X) = min(1, (X / most)^power): rare pairs are noisy, and frequent ones must not drown the
    rest   (eq. 9).
    """
    return np.minimum(1.0, (counts / most) ** power)


class GloVe(Module):
    """Two vectors and two biases per word. Afterwards `vectors()` are the sums of both, as in the
    paper.

    vocab_size V;  d_model D;  seed, dtype of the parameters
    """

    def __init__(self, vocab_size, d_model, seed=0, dtype=np.float32):
        rng = Random(seed, "init")
        self.words, self.contexts = (
            normal_parameter((vocab_size, d_model), rng, 0.5 * d_model**-0.5, dtype)
            for _ in range(2)
        )
        self.word_bias, self.context_bias = (
            undecayed(Tensor(np.zeros((vocab_size, 1), dtype), requires_grad=True))
            for _ in range(2)
        )

    def scores(self, i, j):
        """w_i . w~_j + b_i + b~_j for pairs: (n,), (n,) integers -> (n,)."""
        product = (embedding(i, self.words) * embedding(j, self.contexts)).sum(axis=-1)
        return product + (embedding(i, self.word_bias) + embedding(j, self.context_bias))[:, 0]

    def loss(self, i, j, counts, most=100.0, power=0.75):
        """J = sum f(X_ij) (w_i . w~_j + b_i + b~_j - log X_ij)^2 over the pairs given   (eq. 8)

        i, j, counts  (n,) each, as cooccurrences() lists them; counts above 0
        returns       Tensor ()
        """
        dtype = self.words.dtype
        difference = self.scores(i, j) - np.log(counts).astype(dtype)
        return (difference * difference * pair_weights(counts, most, power).astype(dtype)).sum()

    def vectors(self):
        """w + w~, (V, D) array."""
        return self.words.numpy() + self.contexts.numpy()

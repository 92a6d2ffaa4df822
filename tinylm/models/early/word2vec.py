"""Word vectors from a simple prediction task: skip-gram and CBOW   (Mikolov et al. 2013; book
sections 1.1, 2.1).

No hidden layer, no word order: the vector of a word must predict the words around it (skip-gram),
or the mean of the vectors around it must predict the word (CBOW). A softmax over the vocabulary is
the plain way; negative sampling only separates the true word from K drawn ones. Words used alike
get vectors alike. Read next: recurrent.py.
"""

import numpy as np

from tinylm.autograd import Tensor, cross_entropy, embedding, softplus, unembedding
from tinylm.backend import ArrayLike, DType, Random
from tinylm.errors import ConfigError, DataError
from tinylm.nn import Module, normal_parameter


def log_sigmoid(x: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))) without overflow, elementwise."""
    return -softplus(-x)


def negative_sampling_loss(hidden: Tensor, true: Tensor, drawn: Tensor) -> Tensor:
    """-log sigmoid(u_o . v) - sum_k log sigmoid(-u_k . v), averaged   (Mikolov et al. 2013b, eq. 4)

    hidden   (n, D)     v: the vector that predicts
    true     (n, D)     u_o: the output vector of the word that was there
    drawn    (n, K, D)  u_k: output vectors of words drawn from the noise
    returns  Tensor ()
    """
    score = (hidden * true).sum(axis=-1)  # u_o . v, (n,)
    noise = (hidden.reshape(len(hidden), 1, -1) * drawn).sum(axis=-1)  # u_k . v, (n, K)
    return -(log_sigmoid(score) + log_sigmoid(-noise).sum(axis=-1)).mean()


def expected_loss(scores: Tensor, counts: np.ndarray, negatives: int, noise: np.ndarray) -> Tensor:
    """The skip-gram loss with every draw replaced by its expectation: what the samples estimate.

    scores   (V, V)  u_o . v_c for all centers c (rows) and contexts o
    counts   (V, V)  how often o stood around c;  negatives K;  noise (V,) probabilities
    returns  Tensor (), per pair. Its minimum over all matrices of scores is PMI(c, o) - log K if
             the noise is the distribution of contexts (Levy & Goldberg 2014)
    """
    total = counts.sum()
    # Each occurrence of c draws K words from the noise: o is drawn K #(c) P(o) times beside c.
    drawn = counts.sum(1, keepdims=True) * noise  # (V, V), without the K
    true = log_sigmoid(scores) * (counts / total)
    false = log_sigmoid(-scores) * (negatives * drawn / total)
    return -(true + false).sum()


def noise_distribution(counts: np.ndarray, power: float = 0.75) -> np.ndarray:
    """Pr(w) ~ count(w)^power   (Mikolov et al. 2013b).

    counts   (V,)
    power    1 gives the frequencies, 0 an even distribution; between, rare words are drawn more
             often than they occur
    returns  (V,) float64
    """
    weights = np.asarray(counts, np.float64) ** power
    if weights.sum() <= 0:
        raise DataError("noise_distribution: all counts are zero: count the training text first")
    return weights / weights.sum()


def draw_words(probabilities: np.ndarray, shape: tuple[int, ...], rng: Random) -> np.ndarray:
    """Independent draws from a distribution (V,), integers of `shape`. rng: backend.Random."""
    upto = np.cumsum(probabilities)  # token i has the interval upto[i-1] .. upto[i]
    where = rng.uniform(shape, np.float64) * upto[-1]
    return np.searchsorted(upto, where, side="right")


def subsample(tokens: np.ndarray, rng: Random, threshold: float = 1e-5) -> np.ndarray:
    """Drop frequent words at random: one of frequency f stays with probability min(1,
    sqrt(threshold / f)).

    "the" stands beside every word, so it predicts little.

    tokens   (T,) integers
    returns  the tokens that stay
    """
    tokens = np.asarray(tokens)
    frequency = np.bincount(tokens)[tokens] / len(tokens)  # of each token's word, (T,)
    stays = rng.uniform((len(tokens),), np.float64) < np.sqrt(threshold / frequency)
    return tokens[stays]


def skip_gram_pairs(tokens: ArrayLike, window: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a word and one at most `window` places away.

    tokens   (T,) integers
    returns  (centers, contexts), each (n,)
    """
    tokens = np.asarray(tokens)
    centers, contexts = [], []
    for distance in range(1, min(window, len(tokens) - 1) + 1):
        later, sooner = tokens[distance:], tokens[:-distance]  # pairs at this distance
        centers += [later, sooner]
        contexts += [sooner, later]
    if not centers:
        raise ConfigError(
            f"skip_gram_pairs: window {window} on {len(tokens)} tokens gives no pair: "
            "both must be larger"
        )
    return np.concatenate(centers), np.concatenate(contexts)


def cbow_windows(tokens: ArrayLike, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Every word that has `window` words on both sides, and those words.

    tokens   (T,) integers, T > 2 window
    returns  (contexts (n, 2 window), centers (n,))
    """
    tokens = np.asarray(tokens)
    whole = np.lib.stride_tricks.sliding_window_view(tokens, 2 * window + 1)  # (n, 2 window + 1)
    return np.delete(whole, window, axis=1), whole[:, window]


class SkipGram(Module):
    """A word predicts each word near it.

    A word has two vectors: v where it predicts (`words`, the table that is kept), u where it is
    predicted (`outputs`).

    vocab_size V;  d_model D;  seed, dtype of the parameters
    """

    def __init__(
        self, vocab_size: int, d_model: int, seed: int = 0, dtype: DType = np.float32
    ) -> None:
        rng = Random(seed, "init")
        self.words = normal_parameter((vocab_size, d_model), rng, d_model**-0.5, dtype)
        self.outputs = normal_parameter((vocab_size, d_model), rng, d_model**-0.5, dtype)

    def hidden(self, centers: np.ndarray) -> Tensor:
        """v of each word: (n,) -> (n, D)."""
        return embedding(centers, self.words)

    def loss(self, centers: np.ndarray, contexts: np.ndarray, negatives: np.ndarray) -> Tensor:
        """The negative-sampling loss of pairs of a center and a context.

        centers, contexts  (n,) integers;  negatives (n, K), drawn from the noise
        returns            Tensor ()
        """
        return negative_sampling_loss(
            self.hidden(centers),
            embedding(contexts, self.outputs),
            embedding(negatives, self.outputs),
        )

    def softmax_loss(self, centers: np.ndarray, contexts: np.ndarray) -> Tensor:
        """The loss of the same pairs by a softmax over all words: mean cross-entropy, Tensor ()."""
        return cross_entropy(unembedding(self.hidden(centers), self.outputs), contexts)


class CBOW(Module):
    """The mean of the words around predicts the word in the middle. Parameters as in SkipGram."""

    def __init__(
        self, vocab_size: int, d_model: int, seed: int = 0, dtype: DType = np.float32
    ) -> None:
        rng = Random(seed, "init")
        self.words = normal_parameter((vocab_size, d_model), rng, d_model**-0.5, dtype)
        self.outputs = normal_parameter((vocab_size, d_model), rng, d_model**-0.5, dtype)

    def hidden(self, contexts: np.ndarray) -> Tensor:
        """The mean vector of c words: (n, c) -> (n, D)."""
        return embedding(contexts, self.words).mean(axis=1)

    def loss(self, contexts: np.ndarray, centers: np.ndarray, negatives: np.ndarray) -> Tensor:
        """The negative-sampling loss of centers and the contexts around them.

        contexts  (n, c) integers;  centers (n,);  negatives (n, K), drawn from the noise
        returns   Tensor ()
        """
        return negative_sampling_loss(
            self.hidden(contexts),
            embedding(centers, self.outputs),
            embedding(negatives, self.outputs),
        )

    def softmax_loss(self, contexts: np.ndarray, centers: np.ndarray) -> Tensor:
        """The loss of the same pairs by a softmax over all words: mean cross-entropy, Tensor ()."""
        return cross_entropy(unembedding(self.hidden(contexts), self.outputs), centers)


def cosine(vectors: np.ndarray) -> np.ndarray:
    """Cosine of every pair of rows: (V, D) -> (V, V)."""
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit @ unit.T

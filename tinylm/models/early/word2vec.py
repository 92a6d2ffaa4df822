"""Word vectors from a simple prediction task: skip-gram and CBOW   (Mikolov et al. 2013; book
sections 1.1, 2.1).

No hidden layer, no word order: the vector of a word must predict the words around it (skip-gram),
or the mean of the vectors around it must predict the word (CBOW). A softmax over the vocabulary is
the plain way; negative sampling asks only to tell the true word from K drawn ones. Words used alike
get vectors alike. Read next: recurrent.py.
"""

import numpy as np

from tinylm.autograd import cross_entropy, embedding, softplus, unembedding
from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError
from tinylm.nn import Module, normal_parameter


def log_sigmoid(x):
    """log(1 / (1 + exp(-x))) without overflow, elementwise."""
    return -softplus(-x)


def negative_sampling_loss(hidden, true, drawn):
    """-log sigmoid(u_o . v) - sum_k log sigmoid(-u_k . v), averaged   (Mikolov et al. 2013b, eq. 4)

    hidden   (n, D)     v: the vector that predicts
    true     (n, D)     u_o: the output vector of the word that was there
    drawn    (n, K, D)  u_k: output vectors of words drawn from the noise
    returns  Tensor ()
    """
    return -(
        log_sigmoid((hidden * true).sum(axis=-1))
        + log_sigmoid(-(hidden.reshape(len(hidden), 1, -1) * drawn).sum(axis=-1)).sum(axis=-1)
    ).mean()


def expected_loss(scores, counts, negatives, noise):
    """The skip-gram loss with every draw replaced by its expectation: what the samples estimate.

    scores   (V, V)  u_o . v_c for all centers c (rows) and contexts o
    counts   (V, V)  how often o stood around c;  negatives K;  noise (V,) probabilities
    returns  Tensor (), per pair. Its minimum over all matrices of scores is PMI(c, o) - log K if
             the noise is the distribution of contexts (Levy & Goldberg 2014)
    """
    total = counts.sum()
    drawn = counts.sum(1, keepdims=True) * noise  # (V, V): draws of o beside c
    return -(
        log_sigmoid(scores) * (counts / total) + log_sigmoid(-scores) * (negatives * drawn / total)
    ).sum()


def noise_distribution(counts, power=0.75):
    """Pr(w) ~ count(w)^power: between the frequencies (1) and even (0), so that rare words are
    drawn more often.
    """
    weights = np.asarray(counts, np.float64) ** power
    if weights.sum() <= 0:
        raise DataError("noise_distribution: all counts are zero: count the training text first")
    return weights / weights.sum()


def draw(probabilities, shape, rng):
    """Independent draws from a distribution (V,). rng: backend.Random. Returns integers of `shape`."""
    upto = np.cumsum(probabilities)
    return np.searchsorted(upto, rng.uniform(shape, np.float64) * upto[-1], side="right")


def subsample(tokens, rng, threshold=1e-5):
    """Leave out frequent words at random: one of frequency f stays with probability min(1,
    sqrt(threshold / f)).

    tokens  (T,) integers. "the" stands beside everything and says little. Returns the tokens that
            stay
    """
    tokens = np.asarray(tokens)
    frequency = np.bincount(tokens)[tokens] / max(len(tokens), 1)
    return tokens[rng.uniform((len(tokens),), np.float64) < np.sqrt(threshold / frequency)]


def skip_gram_pairs(tokens, window):
    """All pairs of a word and one at most `window` places away.

    tokens   (T,) integers
    returns  (centers, contexts), each (n,)
    """
    tokens = np.asarray(tokens)
    shifts = [(tokens[s:], tokens[:-s]) for s in range(1, min(window, len(tokens) - 1) + 1)]
    if not shifts:
        raise ConfigError(
            f"skip_gram_pairs: window {window} on {len(tokens)} tokens gives no pair: both must be larger"
        )
    return (
        np.concatenate([part for later, sooner in shifts for part in (later, sooner)]),
        np.concatenate([part for later, sooner in shifts for part in (sooner, later)]),
    )


def cbow_windows(tokens, window):
    """Every word that has `window` words on both sides, and those words.

    tokens   (T,) integers, T > 2 window
    returns  (contexts (n, 2 window), centers (n,))
    """
    whole = np.lib.stride_tricks.sliding_window_view(np.asarray(tokens), 2 * window + 1)
    return np.delete(whole, window, axis=1), whole[:, window]


class SkipGram(Module):
    """A word predicts each word near it. Two vectors per word: v when it predicts, u when it is
    predicted.

    vocab_size V;  d_model D;  seed, dtype of the parameters. Afterwards `words` is the table of vectors
    """

    def __init__(self, vocab_size, d_model, seed=0, dtype=np.float32):
        rng = Random(seed, "init")
        self.words, self.outputs = (
            normal_parameter((vocab_size, d_model), rng, d_model**-0.5, dtype) for _ in range(2)
        )

    def hidden(self, centers):
        """(n,) -> (n, D)."""
        return embedding(centers, self.words)

    def loss(self, centers, contexts, negatives):
        """Negative sampling: centers (n,), contexts (n,), negatives (n, K) drawn from the noise.
        Returns Tensor ().
        """
        return negative_sampling_loss(
            self.hidden(centers),
            embedding(contexts, self.outputs),
            embedding(negatives, self.outputs),
        )

    def softmax_loss(self, centers, contexts):
        """The same task with a softmax over the whole vocabulary: mean cross-entropy, Tensor ()."""
        return cross_entropy(unembedding(self.hidden(centers), self.outputs), contexts)


class CBOW(Module):
    """The mean of the words around predicts the word in the middle. Parameters as in SkipGram."""

    def __init__(self, vocab_size, d_model, seed=0, dtype=np.float32):
        rng = Random(seed, "init")
        self.words, self.outputs = (
            normal_parameter((vocab_size, d_model), rng, d_model**-0.5, dtype) for _ in range(2)
        )

    def hidden(self, contexts):
        """(n, c) -> (n, D)."""
        return embedding(contexts, self.words).mean(axis=1)

    def loss(self, contexts, centers, negatives):
        """Negative sampling: contexts (n, c), centers (n,), negatives (n, K) drawn from the noise.
        Returns Tensor ().
        """
        return negative_sampling_loss(
            self.hidden(contexts),
            embedding(centers, self.outputs),
            embedding(negatives, self.outputs),
        )

    def softmax_loss(self, contexts, centers):
        """The same task with a softmax over the whole vocabulary: mean cross-entropy, Tensor ()."""
        return cross_entropy(unembedding(self.hidden(contexts), self.outputs), centers)


def cosine(vectors):
    """Cosine of every pair of rows: (V, D) -> (V, V)."""
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit @ unit.T

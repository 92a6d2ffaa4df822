"""Naive Bayes on bags of words: the classifier that learns in one pass of counting.

    Pr(class | words)  proportional to  Pr(class) * product over words of Pr(word | class)

McCallum & Nigam 1998. Given the class, the words of a text are taken to be independent. That is far
from true, and yet hard to beat with a dozen examples, which is why the bootstrapping of the 1990s
used it. Read next: self_training.py, co_training.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.errors import DataError


def naive_bayes(vocab_size: int, classes: int, smoothing: float = 1.0) -> Callable:
    """A learner: from examples to a function that gives probabilities of the classes.

    vocab_size  V: inputs are lists of integers below V, of any length
    classes     C: labels are integers below C
    smoothing   added to every count   (Laplace: 1)
    returns     learn(examples) -> probabilities(inputs) -> (n, C) array; examples is a list of
                (words, label)
    """

    def learn(examples):
        if not examples:
            raise DataError("naive_bayes: no examples to count")
        counts = np.full((classes, vocab_size), smoothing)
        priors = np.full(classes, smoothing)
        for words, label in examples:
            counts[label] += np.bincount(np.asarray(words, np.int64), minlength=vocab_size)
            priors[label] += 1
        log_words = np.log(counts / counts.sum(axis=1, keepdims=True))  # (C, V): log Pr(w | class)
        log_prior = np.log(priors / priors.sum())  # (C,)

        def probabilities(inputs):
            scores = np.empty((len(inputs), classes))  # log Pr(words, class)
            for row, words in enumerate(inputs):
                scores[row] = log_prior + log_words[:, np.asarray(words, np.int64)].sum(axis=1)
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))  # the largest is 1
            return scores / scores.sum(axis=1, keepdims=True)  # (n, C)

        return probabilities

    return learn

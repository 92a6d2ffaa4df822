"""Learning in context as Bayesian inference: how far a model is from the best possible prediction
(book section 3.1.2; Xie et al. 2022).

    p(y | prompt) = sum over theta of p(y | prompt, theta) p(theta | prompt)

Pre-training texts come from a mixture of hidden Markov models, whose concept theta is not observed
(data/synthetic/hmm_mixture.py). Nothing trains a model to find it, yet predicting the next token
needs it. Demonstrations of one concept make its posterior grow, and a model that has learnt the
mixture answers as if it computed that posterior. Its distance is measured at every position:

    KL_t = sum over x of p(x | x_<t) log( p(x | x_<t) / q(x | x_<t) )

Its sum over t, averaged over texts of the mixture, is the loss of the model less the least that is
possible. Read next: gradient_descent.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm import backend
from tinylm.data.synthetic.hmm_mixture import HMMMixture
from tinylm.errors import ShapeError
from tinylm.generate.protocol.language_model import as_language_model
from tinylm.generate.protocol.score import log_probabilities


def model_predictions(lm: Any, ids: np.ndarray, begin: int) -> np.ndarray:
    """log q(x_t | begin, x_<t) of a language model at t = 0 .. T: (B, T) -> (B, T + 1, V).

    lm     a model of tinylm.models, or a language model (generate/protocol)
    begin  id before every text
    """
    ids = np.asarray(ids)
    begun = np.concatenate([np.full((len(ids), 1), begin), ids], axis=1)
    return log_probabilities(backend.to_cpu(as_language_model(lm).logits(begun)))


def divergence(p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """KL(p || q) in nats: (..., V) probabilities and log-probabilities -> (...).

    q may be over more tokens than p, such as one that begins texts: p is 0 there.
    """
    p = np.asarray(p)
    log_q = np.asarray(log_q)[..., : p.shape[-1]]
    # 0 log 0 = 0: where p is 0 a term is 0, whatever q is.
    terms = p * (np.log(np.where(p > 0, p, 1)) - np.where(p > 0, log_q, 0))
    return terms.sum(axis=-1)


def by_concept(mixture: HMMMixture, ids: np.ndarray) -> np.ndarray:
    """The prediction of each concept alone, p(x_t | x_<t, theta): (B, T) -> (B, T + 1, C, V)."""
    _, belief = mixture.forward(ids)  # (B, T + 1, C, H)
    return belief @ mixture.emission


@dataclass
class Shots:
    """What is known and predicted in the n-th example of prompts, means over rows and positions.

    divergence  (n,) KL of the model from the best prediction, in nats
    concept     (n,) KL of the model from the prediction of the right concept, which is not known
    posterior   (n,) probability of the right concept before the example
    best        (n,) accuracy of the best prediction on the last token of the example
    model       (n,) that of the model
    """

    divergence: np.ndarray
    concept: np.ndarray
    posterior: np.ndarray
    best: np.ndarray
    model: np.ndarray


def compare(
    mixture: HMMMixture, lm: Any, ids: np.ndarray, concepts: np.ndarray, length: int, begin: int
) -> Shots:
    """A model beside the best possible prediction, example by example: Shots.

    mixture   HMMMixture
    lm        as in model_predictions
    ids       (B, n length) prompts: n examples of `length` tokens, a delimiter included, from
              mixture.prompts
    concepts  (B,) the concept of each prompt
    raises    ShapeError if the prompts are no whole examples
    """
    ids = np.asarray(ids)
    rows, T = ids.shape
    if T % length or length < 2:
        raise ShapeError(f"prompts of {T} tokens are no whole examples of {length} tokens")
    n = T // length
    log_q = model_predictions(lm, ids, begin)[:, :T]  # (B, T, V)
    p = mixture.predict(ids)[:, :T]
    known = by_concept(mixture, ids)[np.arange(rows), :T, concepts]  # (B, T, V)
    distances = [divergence(each, log_q).reshape(rows, n, length) for each in (p, known)]
    from_best, from_known = (each.mean(axis=(0, 2)) for each in distances)
    right = mixture.posterior(ids)[np.arange(rows), :T, concepts]  # (B, T)
    asked = np.arange(n) * length + length - 2  # the last token before each delimiter
    best = p[:, asked].argmax(-1) == ids[:, asked]  # (B, n)
    model = log_q[:, asked, : p.shape[-1]].argmax(-1) == ids[:, asked]
    return Shots(
        from_best,
        from_known,
        right[:, ::length].mean(axis=0),
        best.mean(axis=0),
        model.mean(axis=0),
    )

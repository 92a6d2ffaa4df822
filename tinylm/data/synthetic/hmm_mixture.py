"""A mixture of hidden Markov models, in which learning in context is Bayesian inference   (book
section 3.1.2; Xie et al. 2022).

A text is drawn from one of several hidden Markov models, its concept. Whoever predicts it has to
find out the concept from what was read:

    p(x_t | x_<t) = sum over theta of p(theta | x_<t) p(x_t | x_<t, theta)

Both factors follow from the forward algorithm, so the best possible prediction at every position is
known, for texts of training and for prompts of independent examples alike; a language model can be
compared with it. Read next: prompted/last_letters.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.backend import ArrayLike, Random
from tinylm.errors import DataError, ShapeError

DELIMITER = 0  # the token between the examples of a prompt


@dataclass(frozen=True)
class HMMMixture:
    """C hidden Markov models of H states over V tokens, one for each concept.

    prior       (C,) the probabilities of the concepts
    start       (C, H) of the first state
    transition  (C, H, H): row i is the distribution of the state after i
    emission    (H, V) of the token in a state, the same for all concepts
    raises      ShapeError if the sizes do not fit; DataError for what is no distribution
    """

    prior: np.ndarray
    start: np.ndarray
    transition: np.ndarray
    emission: np.ndarray

    def __post_init__(self) -> None:
        for name in ("prior", "start", "transition", "emission"):
            p = np.asarray(getattr(self, name), np.float64)
            if (p < 0).any() or not np.allclose(p.sum(-1), 1):
                raise DataError(f"HMMMixture: the rows of {name} must be distributions")
            object.__setattr__(self, name, p)
        C, H = len(self.prior), len(self.emission)
        shapes = self.start.shape, self.transition.shape
        if self.prior.ndim != 1 or self.emission.ndim != 2 or shapes != ((C, H), (C, H, H)):
            raise ShapeError(
                f"HMMMixture: {C} concepts and {H} states need start ({C}, {H}) and transition "
                f"({C}, {H}, {H}), not {shapes[0]} and {shapes[1]}"
            )

    def sample(self, rows: int, length: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Texts, each of one concept.

        returns  (ids (rows, length), concepts (rows,)), int64
        """
        rng = Random(seed, "hmm texts")
        concepts = _draw(np.broadcast_to(self.prior, (rows, len(self.prior))), rng)
        states = _draw(self.start[concepts], rng)
        return self._walk(concepts, states, length, rng), concepts

    def _walk(self, concepts, states, length, rng):
        """Tokens (rows, length) of walks that begin in `states` (rows,)."""
        ids = np.empty((len(states), length), np.int64)
        for t in range(length):
            if t:
                states = _draw(self.transition[concepts, states], rng)
            ids[:, t] = _draw(self.emission[states], rng)
        return ids

    def prompts(
        self, rows: int, examples: int, length: int, states: Sequence[int], seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Prompts: independent examples of one concept, a delimiter after each.

        length   tokens of an example
        states   (S,) the states in which an example may begin, with equal chance
        returns  (ids (rows, examples (length + 1)), concepts (rows,))
        """
        rng = Random(seed, "hmm prompts")
        concepts = _draw(np.broadcast_to(self.prior, (rows, len(self.prior))), rng)
        states, parts = np.asarray(states), []
        for _ in range(examples):
            begin = states[rng.integers(0, len(states), (rows,))]
            parts += [self._walk(concepts, begin, length, rng), np.full((rows, 1), DELIMITER)]
        return np.concatenate(parts, axis=1), concepts

    def forward(self, ids: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The forward algorithm, for every concept and every beginning of a text.

        With b_t(h) = p(h_t = h | x_<t, theta), the scale is p(x_t | x_<t, theta) =
        sum_h b_t(h) emission(h, x_t), and b_{t+1} is the posterior of h_t, moved by a transition.

        ids      (B, T)
        returns  (log_p (B, T + 1, C): log p(x_<t | theta),
                  belief (B, T + 1, C, H): b_t for t = 0 .. T). Where theta cannot emit the text,
                  log_p is -inf and the belief is arbitrary
        """
        ids = np.asarray(ids)
        (B, T), (C, H) = ids.shape, self.start.shape
        log_p, belief = np.zeros((B, T + 1, C)), np.empty((B, T + 1, C, H))
        belief[:, 0] = self.start
        for t in range(T):
            joint = belief[:, t] * self.emission.T[ids[:, t], None]  # (B, C, H)
            scale = joint.sum(-1)  # (B, C)
            with np.errstate(divide="ignore"):
                log_p[:, t + 1] = log_p[:, t] + np.log(scale)
            posterior = joint / np.where(scale > 0, scale, 1)[..., None]
            belief[:, t + 1] = np.einsum("bch,chk->bck", posterior, self.transition)
        return log_p, belief

    def posterior(self, ids: ArrayLike) -> np.ndarray:
        """p(theta | x_<t) for t = 0 .. T: (B, T) -> (B, T + 1, C).

        raises   DataError for a text that no concept can emit
        """
        return self._posterior(self.forward(ids)[0])

    def _posterior(self, log_p):
        """p(theta | x_<t) by Bayes' rule from log p(x_<t | theta), both (B, T + 1, C)."""
        with np.errstate(divide="ignore"):
            scores = np.log(self.prior) + log_p  # (B, T + 1, C)
        top = scores.max(-1, keepdims=True)
        if np.isneginf(top).any():
            row, t, _ = np.argwhere(np.isneginf(top))[0]
            raise DataError(f"text {row}: no concept can emit its first {t} tokens")
        weights = np.exp(scores - top)
        return weights / weights.sum(-1, keepdims=True)

    def predict(self, ids: ArrayLike) -> np.ndarray:
        """The Bayes-optimal prediction p(x_t | x_<t) for t = 0 .. T: (B, T) -> (B, T + 1, V).

        raises   as `posterior`
        """
        log_p, belief = self.forward(ids)
        # sum over theta and h of p(theta | x_<t) p(h_t | x_<t, theta) p(x_t | h_t)
        return np.einsum("btc,btch,hv->btv", self._posterior(log_p), belief, self.emission)


def _draw(p, rng):
    """One draw from each row of distributions (rows, n): (rows,) int64."""
    # Inverting the cumulative distribution; without its last value, which is 1 but for rounding.
    limits = np.cumsum(p, axis=-1)[:, :-1]
    return (rng.uniform((len(p),), np.float64)[:, None] >= limits).sum(-1)


def ginc(
    concepts: int = 5,
    entities: int = 10,
    properties: int = 10,
    vocab_size: int = 50,
    stay: float = 0.9,
    floor: float = 0.01,
    seed: int = 0,
) -> HMMMixture:
    """A mixture in the manner of GINC, the generative in-context data set   (Xie et al. 2022).

    A state is an entity and a property; a fixed table has a token for each, so its emission is
    certain. Property 0 is the delimiter, whatever the entity. A concept is how properties follow
    each other; how entities do is the same for all concepts.

    stay     probability that the entity stays, beside that of drawing it again
    floor    share of a uniform choice in the transitions of properties, and of entities that do not
             stay, which makes every sequence of examples possible under every concept (not in the
             paper)
    returns  HMMMixture with entities * properties states; state = entity * properties + property
    """
    if min(concepts, entities, properties - 1, vocab_size - 1) < 1:
        raise DataError(
            f"ginc: {concepts} concepts, {entities} entities, {properties} properties and "
            f"{vocab_size} tokens: needs 1, 1, 2 and 2 or more"
        )
    rng = Random(seed, "ginc")

    def mixed(n):
        return (1 - floor) * _mixed_permutations(n, rng) + floor / n

    among_entities = stay * np.eye(entities) + (1 - stay) * mixed(entities)
    transition, start = [], []
    for _ in range(concepts):
        among = mixed(properties)
        transition.append(np.kron(among_entities, among))
        start.append(_softmax(rng.uniform((entities * properties,), np.float64) / 10.0))
    table = rng.integers(1, vocab_size, (entities, properties))
    table[:, 0] = DELIMITER
    emission = np.eye(vocab_size)[table.reshape(-1)]  # (H, V), one token for each state
    prior = np.full(concepts, 1 / concepts)
    return HMMMixture(prior, np.array(start), np.array(transition), emission)


def _mixed_permutations(n, rng):
    """A transition matrix (n, n): n random permutations with weights softmax(uniform / 0.1)."""
    weights = _softmax(rng.uniform((n,), np.float64) / 0.1)
    return sum(w * np.eye(n)[rng.permutation(n)] for w in weights)


def _softmax(x):
    return np.exp(x) / np.exp(x).sum()  # x is at most 10: nothing overflows

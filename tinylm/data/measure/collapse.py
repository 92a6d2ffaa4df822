"""Model collapse: trained on the output of models, rare words die out   (book section 2.2.1;
Shumailov et al. 2024)

The smallest model, a table of V probabilities, is estimated from n words drawn from its
predecessor, and so on. A word that is not drawn once has probability 0 from then on. The
probability H = 1 - sum p^2 that two draws differ shrinks on average by 1 - 1/n a generation,

    E[H_g] = H_0 (1 - 1/n)^g        (the same sum as genetic drift: Wright 1931)

until one word is left. Real text mixed into every generation stops the decay.
"""

import numpy as np

from tinylm.errors import ConfigError


def variety(p: np.ndarray) -> np.ndarray | float:
    """H = 1 - sum p^2, the probability that two draws differ: (..., V) -> (...)."""
    return 1 - np.sum(np.square(p), axis=-1)


def expected_variety(p: np.ndarray, n: int, generations: int) -> np.ndarray:
    """E[H] after 0 .. generations rounds of learning from n own draws: (generations + 1,)."""
    # Two draws from a table of n counted words pick the same one of the n with probability 1/n, and
    # are then equal; otherwise they differ with probability H.
    return variety(np.asarray(p)) * (1 - 1 / n) ** np.arange(generations + 1)


def generations(
    p: np.ndarray, n: int, rounds: int, rng: np.random.Generator, real: float = 0.0
) -> np.ndarray:
    """The distributions of models that each learn from n draws of the one before.

    p        (V,) probabilities of words in real text
    n        draws a generation
    rng      NumPy Generator
    real     share of the draws, in [0, 1], that come from real text instead
    returns  (rounds + 1, V), the first of them p
    """
    if not 0 <= real <= 1 or n < 1:
        raise ConfigError(
            f"generations: {n} draws with a share {real} of real text: "
            "needs at least 1 and a share in [0, 1]"
        )
    models, n_real = [np.asarray(p, np.float64)], round(real * n)
    for _ in range(rounds):
        generated = rng.multinomial(n - n_real, models[-1])  # (V,) counts
        counts = generated + rng.multinomial(n_real, models[0])
        models.append(counts / n)  # the maximum-likelihood estimate
    return np.array(models)

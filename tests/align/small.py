"""A tiny policy, and the worked example of the specification with three responses."""

import numpy as np

from tinylm.models import GPT, GPTConfig

# book eqs. 4.73-4.80 with three responses
LOGREF = np.log([0.5, 0.3, 0.2])
REWARD = np.array([1.0, 0.0, -1.0])
BETA = 0.5


def gpt(vocab_size=3, context=24, seed=0, positions="rope"):
    """One layer of width 8 in float64, its parameters spread so that no distribution is flat."""
    model = GPT(GPTConfig(vocab_size, context, 1, 2, 8, positions=positions), seed, np.float64)
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        p.data[...] += 0.5 * rng.normal(size=p.shape)
    return model.eval()


def random_policy(rng, *shape):
    """Log-probabilities over the last axis."""
    logits = rng.normal(size=shape)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))

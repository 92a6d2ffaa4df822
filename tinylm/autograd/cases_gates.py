"""How to check the activations of gates.py and the cross-entropy against a distribution: compositions of primitives.

`covers` is empty: their rules are those of the primitives. Read next: cases_fused.py.
"""
import numpy as np

from tinylm import autograd as ad
from tinylm.autograd.cases import normal, uniform
from tinylm.autograd.registry import call, register

register("swish", ad.swish, lambda rng: [
    call(2 * normal(rng, 5)), call(normal(rng, 2, 3), np.array(0.7)), call(normal(rng, 2, 3), uniform(rng, -2, 2, 3))],
    covers=(), source="book section 2.2.2; Ramachandran et al. 2017")
register("gelu_sigmoid", ad.gelu_sigmoid, lambda rng: [call(2 * normal(rng, 5)), call(normal(rng, 2, 3))],
         covers=(), source="Hendrycks & Gimpel 2016")
register("glu", ad.glu, lambda rng: [
    call(normal(rng, 5), normal(rng, 5)), call(normal(rng, 2, 3), normal(rng, 2, 3))], covers=(),
    source="book eq. 2.28; Dauphin et al. 2017")


def distribution(rng, *shape):
    """Positive rows; they need not sum to 1 for a derivative, and the gradient by them is checked too."""
    return uniform(rng, 0.1, 1, *shape)


register("soft_cross_entropy", ad.soft_cross_entropy, lambda rng: [
    call(normal(rng, 4), distribution(rng, 4)), call(normal(rng, 2, 3), distribution(rng, 2, 3)),
    *(call(normal(rng, 2, 2, 3), distribution(rng, 2, 2, 3), reduction=reduction) for reduction in ("sum", "none"))],
    covers=(), source="book eq. 1.5")

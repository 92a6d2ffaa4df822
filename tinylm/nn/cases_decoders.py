"""How to check the parts that only some families of decoders have: capped scores, GeGLU of tanh, norms on both sides."""
import numpy as np

from tinylm.autograd.kernels.cases import qkv
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.nn import LayerNorm, capped_attention, sandwich_norm
from tinylm.nn.feedforward import geglu_tanh

register("nn.capped_attention", capped_attention, lambda rng: [
    call(*qkv(rng), 2.0, causal=True), call(*qkv(rng, H=4, G=2), 0.5, scale=0.3),
    call(*qkv(rng, T=3, S=3), 1.0, mask=rng.random((3, 3)) < 0.7)], covers=(), source="Team Gemma 2024 (Gemma 2)")
register("nn.geglu_tanh", geglu_tanh, lambda rng: [call(normal(rng, 2, 3), normal(rng, 2, 3))], covers=(),
         source="book eq. 2.29 with the tanh form of GELU")


def sandwich(x, first, second):
    """A branch between two norms."""
    return sandwich_norm(x, lambda h: h * h, (first, second))


register("nn.sandwich_norm", sandwich, lambda rng: [
    call(normal(rng, 2, 4), *(LayerNorm(4, dtype=np.float64) for _ in range(2)))], covers=(), source="Gemma 2; Ding et al. 2021")

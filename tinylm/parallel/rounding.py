"""How far float32 may be from the single process: what each scheme adds up in another order.

In float64 a layout trains as one process does, to 1e-9 after steps of Adam. In float32 sums differ
with their order, and every scheme has sums of its own that it cuts. A sum of n terms whose
roundings are independent errs by about u sqrt(n) of its size, u = 2^-24 (Higham & Mary 2019, who
show that it is exceeded with a probability that falls exponentially; the worst case is n u). Along
the longest path of a pass squares add up, so with S terms in all the sums that a scheme reorders,
one run errs by u sqrt(S) and two runs differ by

    |g - g'| <= 2 u sqrt(S) |g|        for the gradient g of all parameters, and for the loss

    data      B T          gradients of weights are sums over tokens, cut among ranks
    pipeline  B T          the same, cut among micro-batches; what stages send is exact
    tensor    features     of every map that is cut by rows, and of the cotangent of every input
    sequence  B T more     gradients of gains are sums over tokens
    context   B T + 4 L T  weights of attention are sums over keys, that go round; with `heads` B T
    experts   B T          rows of an expert come in the order of ranks

The norm of the gradient has another sum, of its N squares: 2 u sqrt(S) + u sqrt(N), since the root
halves a relative error. Measured on five seeds of models with 2 to 8 layers, 16 to 64 wide, for
each scheme and one product of them (tests/parallel/test_rounding.py): differences of gradients are
.03 to .27 of the bound, of losses at most .13, of norms at most .03, as BLAS adds long sums in
parts. Where two experts have the same score up to rounding, the choice between them may differ, and
no bound holds. After an update Adam has divided by small numbers, so parameters are not compared
so. Read next: plan/.
"""

import math
from typing import Any

from tinylm.models.decoder.config import GPTConfig
from tinylm.parallel.experts.routers import expert_layers
from tinylm.parallel.mesh import Layout

UNIT = 2.0**-24  # the largest relative error of one rounding to float32


def reordered(layout: Layout, config: GPTConfig, rows: int, length: int, micros: int = 1) -> int:
    """S: terms in the sums along the longest path that a layout computes in another order.

    layout        Layout
    config        GPTConfig
    rows, length  of a batch: B, T
    micros        micro-batches of a data rank
    """
    tokens, c = rows * length, config
    terms = 0
    if layout.dp * layout.ep > 1 or micros > 1:
        terms += tokens
    if layout.tp > 1:
        terms += features(c)
        if layout.sequence:
            terms += tokens
    if layout.cp > 1:
        terms += tokens
        if not layout.heads:
            terms += 4 * c.n_layer * length
    return terms


def features(config: GPTConfig) -> Any:
    """Terms in the sums over features that tensor ranks cut, forward and backward."""
    c = config
    heads = c.n_head * c.key_width
    packed = heads + 2 * c.kv_heads * c.key_width
    hidden = c.hidden_width
    # Forward the maps behind attention and activation, backward the maps before them; a gate is
    # one map more. Of experts every token meets k.
    maps = 2 if c.activation in ("swiglu", "geglu", "geglu_tanh", "glu") else 1
    dense = c.n_layer - expert_layers(c)
    forwards = dense + expert_layers(c) * c.experts_per_token
    terms = c.n_layer * (heads + packed) + forwards * (1 + maps) * hidden
    return terms + 2 * c.vocab_size  # of the logits: log sum exp, and the cotangent of the stream


def gradient_bound(terms: int) -> float:
    """The largest |g - g'| / |g| to be expected of float32: 2 u sqrt(S)."""
    return 2 * UNIT * math.sqrt(terms)


def norm_bound(terms: int, parameters: int) -> float:
    """The same for the norm of the gradient of N parameters."""
    return gradient_bound(terms) + UNIT * math.sqrt(parameters)

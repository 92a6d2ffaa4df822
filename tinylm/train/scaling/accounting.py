"""What training costs: operations and bytes, by the rule of thumb and to the last one   (book
sections 2.1.2 and 2.2.3).

The rule: every parameter meets every token in one multiplication and one addition going forward,
and in twice as many going back, once for the gradient of the input and once for that of the weight:
C = 6 N D (Kaplan et al. 2020; not in the book). It leaves out attention's own products, which have
no parameters, and counts norms and tables, which multiply nothing. Below it the exact counts of
this engine, which tests hold against autograd/engine/profile.py and tracemalloc. Read next:
chinchilla.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError
from tinylm.models.decoder.sizes import count_parameters
from tinylm.nn import GATES


def training_flops(N, D):
    """6 N D: operations to train N parameters on D tokens, each read once."""
    return 6 * N * D


def training_days(N, D, devices, flops_per_device, utilization):
    """Days that `devices` take, each doing `flops_per_device` a second at its peak and
    `utilization` of that in practice.
    """
    return training_flops(N, D) / (devices * flops_per_device * utilization) / 86400


# Bytes of a parameter while Adam trains it: (weights, gradient, master copy, two moments).
BYTES_PER_PARAMETER = {"float32": (4, 4, 0, 8), "mixed": (2, 2, 4, 8)}


def training_memory(N, precision="mixed"):
    """Bytes that N parameters take while Adam trains them, activations aside: 16 a parameter, in
    mixed precision as in float32.

    precision   float32 | mixed: half-precision weights and gradients beside float32 master weights   (Micikevicius 2018)
    """
    if precision not in BYTES_PER_PARAMETER:
        raise ConfigError(
            f"training_memory: precision {precision!r} is not one of {', '.join(BYTES_PER_PARAMETER)}"
        )
    return N * sum(BYTES_PER_PARAMETER[precision])


def product_flops(config, B, T):
    """Operations in matrix products of one forward pass, by part; a backward pass costs twice as
    many of each.

    config   GPTConfig of plain blocks: dense feed-forward, full attention
    B, T     sequences, and tokens of each
    returns  dict of part -> operations: qkv, scores, mixture, projection, feed_forward, logits.
             They are executed in full: a causal mask hides half of the scores after they are
             computed.
    raises   ConfigError for experts and windows, whose cost depends on the input or on the kernel
    """
    c, n = _plain(config, "product_flops"), B * T
    heads = c.n_head * c.key_width
    return {
        "qkv": c.n_layer * 2 * n * c.d_model * (heads + 2 * c.kv_heads * c.key_width),
        "scores": c.n_layer * 2 * n * T * heads,
        "mixture": c.n_layer * 2 * n * T * heads,
        "projection": c.n_layer * 2 * n * heads * c.d_model,
        "feed_forward": c.n_layer
        * 2
        * n
        * c.d_model
        * c.hidden_width
        * (3 if c.activation in GATES else 2),
        "logits": 2 * n * c.d_model * c.vocab_size,
    }


def step_flops(config, B, T):
    """Operations in matrix products of one training step: forward, and backward at twice that."""
    return 3 * sum(product_flops(config, B, T).values())


def multiplied_parameters(config):
    """N of the rule 2 N a token, exactly: numbers of the matrices that every token is multiplied
    with.

    The token table counts once, as output weights; positions, norms and biases do not.
    """
    c = _plain(config, "multiplied_parameters")
    return (
        sum(
            cost
            for part, cost in product_flops(c, 1, 1).items()
            if part not in ("scores", "mixture")
        )
        // 2
    )


def non_embedding_parameters(config):
    """Kaplan's N: without token table, positions and, untied, output weights."""
    c = config
    tables = c.vocab_size * (1 if c.tied else 2) + (c.context if c.positions == "learned" else 0)
    return count_parameters(c) - c.d_model * tables


@dataclass(frozen=True)
class Memory:
    """Bytes of a training step, where most of them are held: after the forward pass.

    parameters, gradients   the two flat buffers
    moments                 AdamW's two
    results                 outputs of operations that the backward pass needs: Counts.live_bytes
    saved                   what fused operations keep beside their outputs: slopes, attention
                            weights, probabilities
    """

    parameters: int
    gradients: int
    moments: int
    results: int
    saved: int

    @property
    def activations(self):
        """What grows with the batch."""
        return self.results + self.saved

    @property
    def total(self):
        return self.parameters + self.gradients + self.moments + self.activations


def memory(config, B, T, dtype=np.float32):
    """What training a GPT holds on a batch, for pre-norm blocks without dropout, inside
    first_order_only() as trainers run.

    config   GPTConfig;  B, T  sequences and tokens of each
    returns  Memory
    raises   ConfigError for parts whose bookkeeping is not written down here
    """
    c, size, n = _plain(config, "memory"), np.dtype(dtype).itemsize, B * T
    simple = (
        c.norm_placement == "pre"
        and not c.dropout
        and c.positions in ("learned", "rope")
        and not c.embedding_norm
        and c.activation in ("gelu", "gelu_tanh", "silu", "relu", "swiglu")
        and c.logit_cap is None
        and c.attention_cap is None
        and c.embedding_scale == 1
        and not c.rope_scaling
        and c.qk_norm is None
        and c.rotary_width is None
        and "none" not in c.rotation
    )
    if not simple:
        raise ConfigError(
            "memory: written down for pre-norm blocks with learned or rope positions and no dropout or caps; "
            "measure others with count_operations()"
        )
    D, F, L, V, gated = c.d_model, c.hidden_width, c.n_layer, c.vocab_size, c.activation in GATES
    heads, turned = c.n_head * c.key_width, (c.n_head + c.kv_heads) * c.key_width
    qkv, rope = (c.n_head + 2 * c.kv_heads) * c.key_width, c.positions == "rope"
    # Of the residual stream nothing is kept: sums need no values going back, and norms keep what
    # they have normalized.
    results = (2 * L + 1) * D + L * (qkv + heads + (2 if gated else 1) * F) + V
    # A norm keeps the normalized rows and their scale; attention its weights and row sums, and with
    # rope the turned queries and keys; an activation its slope, a gate also the activated half;
    # cross-entropy exp(logits) and three numbers a row.
    saved = (
        (2 * L + 1) * (D + 1)
        + L * (c.n_head * T + c.n_head + rope * turned + (2 if gated else 1) * F)
        + V
        + 3
    )
    # copies of the ids, targets, row numbers and which count; position ids
    integers = n * (8 + 8 + 8 + 1) + (0 if rope else 8 * T)
    angles = size * T * c.key_width if rope else 0  # cosines and sines, T x K/2 each
    N = count_parameters(c) * size
    return Memory(N, N, 2 * N, size * (n * results + 1), size * n * saved + integers + angles)


def _plain(config, operation):
    if set(config.feed_forward) != {"dense"} or set(config.attention) != {"full"}:
        raise ConfigError(
            f"{operation}: experts and windows are not counted here: measure them with count_operations()"
        )
    return config

"""The cost of training in operations and bytes, by the rule of thumb and exactly   (book sections
2.1.2 and 2.2.3).

The rule: every parameter takes one multiplication and one addition for every token in the forward
pass, and twice as many in the backward pass, for the gradients of its input and of itself:
C = 6 N D (Kaplan et al. 2020; not in the book). It leaves out attention's own products, which have
no parameters, and counts norms and tables, which multiply nothing. Below it stand the exact counts
of this engine, which tests compare with autograd/engine/profile.py and tracemalloc. Read next:
chinchilla.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.backend import DType
from tinylm.errors import ConfigError
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.sizes import count_parameters
from tinylm.nn import GATES


def training_flops(N: float, D: float) -> float:
    """6 N D: operations to train N parameters on D tokens, each read once."""
    return 6 * N * D  # 2 forward, 4 backward


def training_days(
    N: float, D: float, devices: int, flops_per_device: float, utilization: float
) -> float:
    """Days of training N parameters on D tokens.

    flops_per_device  operations a second of each of the `devices` at its peak
    utilization       share of that which is reached in practice
    """
    seconds = training_flops(N, D) / (devices * flops_per_device * utilization)
    return seconds / 86400


# Bytes of a parameter while Adam trains it: (weights, gradient, master copy, two moments).
BYTES_PER_PARAMETER = {"float32": (4, 4, 0, 8), "mixed": (2, 2, 4, 8)}


def training_memory(N: float, precision: str = "mixed") -> float:
    """Bytes that N parameters take while Adam trains them, without activations: 16 a parameter, in
    mixed precision as in float32.

    precision   float32 | mixed: half-precision weights and gradients beside float32 master weights
                (Micikevicius 2018)
    """
    if precision not in BYTES_PER_PARAMETER:
        raise ConfigError(
            f"training_memory: precision {precision!r} is not one of "
            f"{', '.join(BYTES_PER_PARAMETER)}"
        )
    return N * sum(BYTES_PER_PARAMETER[precision])


def product_flops(config: GPTConfig, B: int, T: int) -> dict[str, int]:
    """Operations in matrix products of one forward pass, by part; a backward pass costs twice as
    many of each.

    config   GPTConfig of plain blocks: dense feed-forward, full attention
    B, T     sequences, and tokens of each
    returns  dict of part -> operations: qkv, scores, mixture, projection, feed_forward, logits.
             Scores count in full: a causal mask hides half of them after they are computed
    raises   ConfigError for experts and windows, whose cost depends on the input or on the kernel
    """
    # A product (n, a) @ (a, b) is n a b multiplications and as many additions: 2 n a b.
    c, n = _plain(config, "product_flops"), B * T
    D, L = c.d_model, c.n_layer
    heads = c.n_head * c.key_width  # H K
    keys_and_values = 2 * c.kv_heads * c.key_width
    matrices = 2 + (c.activation in GATES)  # of a feed-forward; a gate has one more
    return {
        "qkv": L * 2 * n * D * (heads + keys_and_values),
        "scores": L * 2 * n * T * heads,  # q k^T: for each token T products of width H K
        "mixture": L * 2 * n * T * heads,  # weights times values
        "projection": L * 2 * n * heads * D,
        "feed_forward": L * 2 * n * D * c.hidden_width * matrices,
        "logits": 2 * n * D * c.vocab_size,
    }


def step_flops(config: GPTConfig, B: int, T: int) -> int:
    """Operations in matrix products of one training step: forward, and backward at twice that."""
    return 3 * sum(product_flops(config, B, T).values())


def multiplied_parameters(config: GPTConfig) -> int:
    """N of the rule 2 N a token, exactly: the entries of all matrices that multiply every token.

    The token table counts once, as output weights; positions, norms and biases do not.
    """
    c = _plain(config, "multiplied_parameters")
    costs = product_flops(c, 1, 1)
    without = costs["scores"] + costs["mixture"]  # products of activations alone
    return (sum(costs.values()) - without) // 2


def non_embedding_parameters(config: GPTConfig) -> int:
    """Kaplan's N: without token table, positions and, untied, output weights."""
    c = config
    rows = c.vocab_size  # of the tables, each row of width D
    if not c.tied:
        rows += c.vocab_size
    if c.positions == "learned":
        rows += c.context
    return count_parameters(c) - c.d_model * rows


@dataclass(frozen=True)
class MemoryUse:
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
    def activations(self) -> int:
        """The bytes that grow with the batch."""
        return self.results + self.saved

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.moments + self.activations


def memory(config: GPTConfig, B: int, T: int, dtype: DType = np.float32) -> MemoryUse:
    """The bytes that a training step of a GPT holds, exactly.

    For pre-norm blocks without dropout, inside first_order_only() as in the trainer.

    config   GPTConfig;  B, T  sequences and tokens of each
    returns  MemoryUse
    raises   ConfigError for parts that are not counted here
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
            "memory: the formula is for pre-norm blocks with learned or rope positions and no "
            "dropout or caps; measure others with count_operations()"
        )
    D, F, L, V, H, K = c.d_model, c.hidden_width, c.n_layer, c.vocab_size, c.n_head, c.key_width
    norms = 2 * L + 1
    wide = F  # outputs of the feed-forward that are kept
    if c.activation in GATES:
        wide = 2 * F
    qkv = (H + 2 * c.kv_heads) * K
    # Results, in numbers a token. Sums need no values in the backward pass, so the residual stream
    # is kept only where an RMS norm has read it; layer norm keeps its centered rows instead.
    results = norms * D + L * (qkv + H * K + wide) + V
    # Saved beside them. A norm keeps the scale of each row; attention T weights and a sum for each
    # head; an activation its slope, a gate also the activated half; cross-entropy exp(logits) and
    # three numbers.
    saved = norms + L * (H * T + H + wide) + V + 3
    if c.norm == "rms":
        results += norms * D
    else:
        saved += norms * D
    integers = n * (8 + 8 + 8 + 1)  # copies of ids, targets, row numbers; which targets count
    angles = 0
    if c.positions == "rope":
        saved += L * (H + c.kv_heads) * K  # the rotated queries and keys
        angles = size * T * K  # cosines and sines, T x K/2 each
    else:
        integers += 8 * T  # ids of positions
    N = count_parameters(c) * size
    return MemoryUse(N, N, 2 * N, size * (n * results + 1), size * n * saved + integers + angles)


def _plain(config, operation):
    if set(config.feed_forward) != {"dense"} or set(config.attention) != {"full"}:
        raise ConfigError(
            f"{operation}: experts and windows are not counted here: "
            "measure them with count_operations()"
        )
    return config

"""What a GPU must hold: parameters, gradients, optimizer state, activations.

States (Rajbhandari et al. 2020, ZeRO): a parameter costs 2 bytes, its gradient 2 or 4, and 12 more
for Adam in float32 (master copy and two moments); stage 1 of ZeRO shards the 12 over the data
ranks, stage 2 the gradients too, stage 3 all. Activations (Korthikanti et al. 2022): a layer keeps
s b h (34 + 5 a s / h) bytes for its backward pass. Everything here may be an array (n,).
Read next: constants.py.
"""

from dataclasses import dataclass, replace

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.parallel.plan.layout import Layout
from tinylm.parallel.plan.shapes import Shape
from tinylm.parallel.zero.memory import state_bytes as sharded_bytes

WEIGHT_BYTES = 2
OPTIMIZER_BYTES = 12  # float32 master copy, first and second moment


@dataclass(frozen=True)
class Memory:
    """Bytes on the GPU that holds most; `total` is their sum."""

    parameters: float
    gradients: float
    optimizer: float
    activations: float
    logits: float

    @property
    def total(self) -> np.ndarray | float:
        return self.parameters + self.gradients + self.optimizer + self.activations + self.logits


def rank_parameters(shape: Shape, layout: Layout) -> np.ndarray | float:
    """Parameters of the fullest rank, before ZeRO: its layers and, at an end of the pipeline, the
    tables, all split over the tensor ranks.
    """
    return (shape.layers / layout.pp * shape.layer_parameters + shape.embedding_parameters) / (
        layout.tp
    )


def state_bytes(parameters: ArrayLike, layout: Layout) -> tuple[np.ndarray | float, ...]:
    """Bytes of (parameters, gradients, optimizer) of a rank.

    parameters  of the rank, before ZeRO;  over d data ranks the stages keep, for 2-byte gradients,
                16, 4 + 12 / d, 2 + 14 / d and 16 / d bytes for each
    """
    each = WEIGHT_BYTES, layout.gradient_bytes, OPTIMIZER_BYTES
    return sharded_bytes(parameters, layout.dp, layout.zero, each)


def layer_activations(shape: Shape, layout: Layout) -> np.ndarray:
    """Bytes that one layer keeps of one micro-batch for its backward pass.

    With F = 4 D, G = H and dropout this is s b h (34 + 5 a s / h) on one rank   (Korthikanti et al.
    2022, eq. 1), s b h (10 + 24 / t + 5 a s / (h t)) on t tensor ranks (eq. 2) and s b h / t (34 +
    5 a s / h) with sequence parallelism (eq. 4); without the last term under selective
    recomputation or tiled attention, and 2 s b h under full (table 2).
    """
    b, T, t = layout.micro_batch, shape.context, layout.tp
    D, heads, kv, K = shape.width, shape.heads, shape.kv_heads, shape.head_width
    drop = layout.dropout
    # Inputs of two norms and of two maps, 2 bytes each; two dropout masks of 1 byte.
    whole = 8 * D + 2 * D * drop
    # Queries, keys, values and their weighted sum; inputs of the non-linearity and of the last map.
    split = 2 * (2 * heads + 2 * kv) * K + 2 * shape.inner + 2 * shape.hidden
    whole = np.where(np.asarray(layout.sequence) > 0, whole / t, whole)
    # Scores after softmax, 2 bytes; after dropout, 2 more and a mask of 1.
    scores = heads * T * (2 + 3 * drop)
    stored = (np.asarray(layout.attention) == "dense") & ~layout.says("selective")
    kept = b * T * (whole + split / t + np.where(stored, scores, 0) / t)
    again = layout.says("full") | layout.says("needed")
    return np.where(again, 2 * b * T * D, kept)


def in_flight(layout: Layout) -> np.ndarray | float:
    """Micro-batches whose activations the first stage holds at once, in units of all its layers.

    1F1B: p, or all of them if there are fewer. Interleaved: p (1 + (p - 1) / (p v)).
    """
    p, v = layout.pp, layout.chunks
    return np.minimum(layout.micro_batches, p) * (1 + np.where(v > 1, (p - 1) / (p * v), 0))


def memory(shape: Shape, layout: Layout) -> Memory:
    """Memory of the fullest GPU: of the first stage, or of the last, which has the logits.

    returns  Memory, bytes
    """
    states = state_bytes(rank_parameters(shape, layout), layout)
    # Stage 3 gathers a layer's weights while it works, and the next one's meanwhile.
    gathered = np.where(np.asarray(layout.zero) == 3, 2, 0)
    gathered = gathered * WEIGHT_BYTES * shape.layer_parameters / layout.tp
    layers = shape.layers / layout.pp
    kept = layer_activations(shape, layout) * layers  # of one micro-batch
    b, T = layout.micro_batch, shape.context
    # Output: inputs of the last norm and of the last map, and logits in float32.
    logits = b * T * (4 * shape.width + 4 * shape.vocab) / layout.tp
    # The last stage has them, but one micro-batch only: what it holds beyond the first counts.
    first = kept * in_flight(layout)
    excess = np.maximum(kept + logits - first, 0)
    again = layout.says("full") | layout.says("needed")
    # A layer that is recomputed is whole in memory while its backward pass runs.
    whole = np.where(again, layer_activations(shape, replace(layout, recompute="none")), 0)
    return Memory(states[0] + gathered, states[1], states[2], first + whole, excess)

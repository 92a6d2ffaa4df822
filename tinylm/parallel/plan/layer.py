"""One layer of a transformer on one GPU: its products, its passes over memory, its collectives.

Forward, a layer is four products (queries, keys and values; output; up; down) and attention; each
product (M, N, K) has two in the backward pass, (M, K, N) for its input and (N, K, M) for its
weights. The rest reads and writes arrays at the speed of memory. Bytes below are counted array by
array, 2 bytes a number, in the operations of Megatron-LM. Read next: step.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.parallel.plan.constants import Constants
from tinylm.parallel.plan.hardware import Hardware
from tinylm.parallel.plan.kernels import memory_seconds, product_seconds
from tinylm.parallel.plan.layout import Layout
from tinylm.parallel.plan.network import all_reduce_seconds
from tinylm.parallel.plan.shapes import Shape

# Operations that the host launches: a layer forward, and backward twice as many.
FORWARD_LAUNCHES, BACKWARD_LAUNCHES = 40, 80
UNFUSED_LAUNCHES = 8  # more in each pass where scores are not masked and normalized in one
# Bytes a gradient passes when it is added to the sum of earlier micro-batches: two reads, a write.
ACCUMULATION_BYTES = 6


@dataclass(frozen=True)
class LayerSeconds:
    """Seconds of one layer and one micro-batch: forward, backward, and recomputed in between.

    products, attention, passes   on the GPU: matrix products of the maps; scores and values;
                                  element-wise work
    tensor                        collectives among the tensor ranks
    launches                      of the host, for all of these
    """

    products: float
    attention: float
    passes: float
    tensor: float
    launches: float

    @property
    def gpu(self) -> np.ndarray | float:
        return self.products + self.attention + self.passes + self.tensor


def maps(shape: Shape, layout: Layout) -> tuple:
    """The four products of a forward pass on one rank, each (rows, columns, inner)."""
    M, D, t = layout.micro_batch * shape.context, shape.width, layout.tp
    heads = shape.heads * shape.head_width
    qkv = (shape.heads + 2 * shape.kv_heads) * shape.head_width
    return (
        (M, qkv / t, D),
        (M, D, heads / t),
        (M, shape.inner / t, D),
        (M, D, shape.hidden / t),
    )


def backward_seconds(
    rows: ArrayLike,
    columns: ArrayLike,
    inner: ArrayLike,
    *machine: Constants | Hardware,
    batch: ArrayLike = 1,
    speedup: ArrayLike = 1,
) -> np.ndarray | float:
    """Seconds of the two products that differentiate one."""
    for_input = product_seconds(rows, inner, columns, *machine, batch=batch, speedup=speedup)
    for_weights = product_seconds(columns, inner, rows, *machine, batch=batch, speedup=speedup)
    return for_input + for_weights


def dense_attention_seconds(
    shape: Shape, layout: Layout, hardware: Hardware, constants: Constants
) -> tuple[np.ndarray | float, np.ndarray | float]:
    """(forward, backward) seconds of attention whose scores lie in memory: two products a head.

    Scores have T^2 numbers a head. Forward, softmax reads and writes them (4 bytes) and dropout
    reads, writes and makes a mask (5); backward, 5 and 6. Megatron's fused kernel takes four heads
    at a time; where b H / t is no multiple of 4, scale, mask and softmax pass one by one: 16 more.
    """
    machine = hardware, constants
    T, K = shape.context, shape.head_width
    heads = layout.micro_batch * shape.heads / layout.tp  # of all sequences
    forward = product_seconds(T, T, K, *machine, batch=heads)
    forward = forward + product_seconds(T, K, T, *machine, batch=heads)
    backward = backward_seconds(T, T, K, *machine, batch=heads)
    backward = backward + backward_seconds(T, K, T, *machine, batch=heads)
    more = np.where(fused(shape, layout), 0, 16)
    drop = 5 * layout.dropout
    scores = heads * T * T
    return (
        forward + memory_seconds(scores * (4 + drop + more), *machine),
        backward + memory_seconds(scores * (6 + drop + more), *machine),
    )


def fused(shape: Shape, layout: Layout) -> np.ndarray | bool:
    """Whether scores are masked and normalized by one kernel: b H / t is a multiple of 4."""
    return (layout.micro_batch * shape.heads / layout.tp) % 4 == 0


def tiled_attention_seconds(
    shape: Shape, layout: Layout, hardware: Hardware, constants: Constants
) -> tuple[np.ndarray | float, np.ndarray | float]:
    """(forward, backward) seconds of tiled causal attention: half the scores, made again backward.

    Forward two products over the scores, 4 T K operations a query and head, half of them masked;
    backward five products for two   (Dao et al. 2022).
    """
    T, K = shape.context, shape.head_width
    operations = 4 * T * T * K / 2 * layout.micro_batch * shape.heads / layout.tp
    rate = hardware.peak * hardware.old_instructions * constants.attention
    return operations / rate, 2.5 * operations / rate


def pass_bytes(shape: Shape, layout: Layout) -> tuple[np.ndarray | float, np.ndarray | float]:
    """(forward, backward) bytes of element-wise work outside attention, of one micro-batch."""
    M, D, t = layout.micro_batch * shape.context, shape.width, layout.tp
    F, inner, drop = shape.hidden, shape.inner, layout.dropout
    # Norms, dropout and residual are whole on every tensor rank, unless split by tokens.
    share = np.where(np.asarray(layout.sequence) > 0, 1 / t, 1.0)
    # Two norms read and write (8 D); two additions to the residual stream read two arrays and
    # write one, with masks of dropout (12 D + 2 D). Queries, keys and values are laid out by heads;
    # the non-linearity reads the up map and writes F.
    laid_out = 4 * (shape.heads + 2 * shape.kv_heads) * shape.head_width
    forward = share * (20 + 2 * drop) * D + (2 * (inner + F) + laid_out) / t
    # Norms read two arrays and write one, and branches are summed (24 D); dropout reads, masks and
    # writes (10 D). The non-linearity reads two and writes one; sums for biases read (4 D).
    split = 2 * (2 * inner + F) + laid_out + 4 * D
    backward = share * (24 + 10 * drop) * D + split / t
    return M * forward, M * backward


def layer_seconds(
    shape: Shape, layout: Layout, hardware: Hardware, constants: Constants
) -> LayerSeconds:
    """Seconds of one layer for one micro-batch, forward and backward.

    returns  LayerSeconds; arrays (n,) if anything given is
    """
    machine = hardware, constants
    speedup = 1 + np.asarray(layout.eight_bit)
    each = [product_seconds(*size, *machine, speedup=speedup) for size in maps(shape, layout)]
    forward = sum(each)
    backward = sum(
        backward_seconds(*size, *machine, speedup=speedup) for size in maps(shape, layout)
    )
    full, needed = layout.says("full"), layout.says("needed")
    # The output of the last map is no input of a derivative: "needed" leaves it out.
    again = np.where(full, forward, 0) + np.where(needed, forward - each[-1], 0)

    dense = np.asarray(layout.attention) == "dense"
    in_memory = dense_attention_seconds(shape, layout, *machine)
    in_tiles = tiled_attention_seconds(shape, layout, *machine)
    core = [np.where(dense, *pair) for pair in zip(in_memory, in_tiles)]  # forward, backward
    core_again = full | needed | layout.says("selective")
    attention = core[0] * (1 + core_again) + core[1]

    bytes_forward, bytes_backward = pass_bytes(shape, layout)
    whole_again = full | needed
    passed = bytes_forward * (1 + whole_again) + bytes_backward
    passed = passed + ACCUMULATION_BYTES * shape.layer_parameters / layout.tp

    # Two all-reduces forward and two backward, and forward again (Shoeybi et al. 2019). Sequence
    # parallelism has a reduce-scatter and an all-gather in the place of each, and gathers the
    # inputs of two maps once more for the gradients of their weights (Korthikanti et al. 2022).
    reduces = 4 + 2 * whole_again + 1 * (np.asarray(layout.sequence) > 0)
    one = all_reduce_seconds(_stream_bytes(shape, layout), layout.tp, 1, *machine)
    split = np.asarray(layout.tp) > 1
    launches = FORWARD_LAUNCHES * (1 + whole_again) + BACKWARD_LAUNCHES + 2 * reduces * split
    unfused = UNFUSED_LAUNCHES * (2 + core_again) * (dense & np.logical_not(fused(shape, layout)))
    return LayerSeconds(
        forward + backward + again,
        attention,
        memory_seconds(passed, *machine),
        np.where(split, reduces * one, 0.0),
        constants.host * (launches + unfused),
    )


def _stream_bytes(shape, layout):
    """Bytes of the residual stream of one micro-batch: b T D numbers."""
    return 2 * layout.micro_batch * shape.context * shape.width


def head_seconds(
    shape: Shape, layout: Layout, hardware: Hardware, constants: Constants
) -> np.ndarray | float:
    """Seconds of output weights and loss for one micro-batch, forward and backward.

    The loss is in float32 and split over the tensor ranks: to float32 (6 bytes a logit), maximum
    (4), difference (8), exponential (8), sum (4), quotient (8), gradient (8), to 16 bits (6).
    """
    machine = hardware, constants
    M, t = layout.micro_batch * shape.context, layout.tp
    size = M, shape.vocab / t, shape.width
    passed = 52 * M * shape.vocab / t + ACCUMULATION_BYTES * shape.vocab * shape.width / t
    reduces = np.where(
        np.asarray(t) > 1, all_reduce_seconds(_stream_bytes(shape, layout), t, 1, *machine), 0.0
    )
    products = product_seconds(*size, *machine) + backward_seconds(*size, *machine)
    return products + memory_seconds(passed, *machine) + reduces


def embedding_seconds(
    shape: Shape, layout: Layout, hardware: Hardware, constants: Constants
) -> np.ndarray | float:
    """Seconds of the embedding for one micro-batch, forward and backward.

    Rows of tokens and positions are read, their sum written, read by dropout and written; backward
    three passes more. The gradient is as large as the table: at every micro-batch it is zeroed and
    added to the sum.
    """
    table = (2 + ACCUMULATION_BYTES) * shape.vocab * shape.width / layout.tp
    passed = 8 * _stream_bytes(shape, layout) + table
    return memory_seconds(passed, hardware, constants)

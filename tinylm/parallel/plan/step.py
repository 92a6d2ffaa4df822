"""Seconds of one training step, part by part.

A micro-batch passes p stages of L / p layers; the GPU computes while the host launches, and the two
hide behind each other as the p-norm of constants.hiding says. The slowest stage sets the pace of m
micro-batches, filling and draining add the others once, then gradients are exchanged and the
optimizer runs. Every argument may hold arrays (n,): a table of runs is priced at once.
Read next: calibrate.py.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.parallel.plan.constants import UNCALIBRATED, Constants
from tinylm.parallel.plan.hardware import Hardware
from tinylm.parallel.plan.kernels import memory_seconds
from tinylm.parallel.plan.layer import embedding_seconds, head_seconds, layer_seconds
from tinylm.parallel.plan.layout import Layout
from tinylm.parallel.plan.memory import rank_parameters
from tinylm.parallel.plan.network import all_reduce_seconds, pass_seconds, send_seconds
from tinylm.parallel.plan.pipeline import schedule_seconds
from tinylm.parallel.plan.shapes import Shape

# Bytes that Adam passes for a parameter: four float32 read and three written, the gradient to
# float32 (6) and its norm (4), the parameter to 16 bits (6).
ADAM_BYTES = 44
STEP_LAUNCHES = 200  # of the host once a step: optimizer, clip norm, log


@dataclass(frozen=True)
class Step:
    """Seconds of a step on the slowest stage, by what it is spent on; `seconds` is the sum.

    products, attention, passes, tensor   of the layers, for all micro-batches
    launches    waiting for the host
    output      embedding, output layer and loss
    bubble      waiting for other stages
    pipeline    activations sent between stages
    data        gradients and, under ZeRO, parameters, as far as not hidden
    optimizer   Adam, and what the host does once a step
    """

    products: float
    attention: float
    passes: float
    tensor: float
    launches: float
    output: float
    bubble: float
    pipeline: float
    data: float
    optimizer: float

    @property
    def seconds(self) -> np.ndarray | float:
        return sum(getattr(self, field.name) for field in dataclasses.fields(self))


def step_cost(
    shape: Shape, layout: Layout, hardware: Hardware, constants: Constants = UNCALIBRATED
) -> Step:
    """What one step costs.

    returns  Step; arrays (n,) if anything given holds arrays
    """
    machine = hardware, constants
    m, p = layout.micro_batches, layout.pp
    layers = shape.layers / p
    one = layer_seconds(shape, layout, *machine)
    layer = overlapped(one.gpu, one.launches, constants.hiding)
    head = head_seconds(shape, layout, *machine)
    table = embedding_seconds(shape, layout, *machine)

    # The last stage is the slowest: its layers and the output; a single one has the tables too.
    ends = np.where(np.asarray(p) > 1, head, head + table)
    slowest = layers * layer + ends
    every = p * layers * layer + head + table
    bubble = schedule_seconds(slowest, every, m, layout.chunks) - m * slowest

    # Each tensor rank sends 1 / t of the residual stream, and the receivers gather it over their
    # links (Narayanan et al. 2021, section 4.1).
    stream = 2 * layout.micro_batch * shape.context * shape.width / layout.tp
    hop = send_seconds(stream, layout.tp * layout.dp, *machine)
    # Forward and backward, at every micro-batch and while filling; every chunk has ends.
    sends = np.where(np.asarray(p) > 1, 2 * layout.chunks * (m + p - 1) * hop, 0.0)

    parameters = rank_parameters(shape, layout)
    shards = np.where(np.asarray(layout.zero) > 0, layout.dp, 1)
    adam = memory_seconds(ADAM_BYTES * parameters / shards, *machine)
    return Step(
        m * layers * one.products,
        m * layers * one.attention,
        m * layers * one.passes,
        m * layers * one.tensor,
        m * layers * (layer - one.gpu),
        m * ends,
        bubble,
        sends,
        data_seconds(shape, layout, *machine, micro_batch_seconds=slowest),
        adam + STEP_LAUNCHES * constants.host,
    )


def overlapped(computing: ArrayLike, launching: ArrayLike, hiding: float) -> np.ndarray | float:
    """Seconds of computing while the host launches: (x^q + y^q)^(1 / q), q = `hiding`.

    The sum at q = 1, where nothing hides, and the longer of the two at infinity.
    """
    longer = np.maximum(computing, launching)
    ratio = np.minimum(computing, launching) / longer  # x^q itself may underflow
    return longer * (1 + ratio**hiding) ** (1 / hiding)


def data_seconds(
    shape: Shape,
    layout: Layout,
    hardware: Hardware,
    constants: Constants,
    micro_batch_seconds: ArrayLike,
) -> np.ndarray | float:
    """Seconds of the exchange among data ranks that do not hide behind computing.

    Up to stage 2 of ZeRO gradients are reduced once a step, after the last micro-batch: an
    all-reduce, or its two halves with the optimizer between them. Stage 3 gathers parameters
    forward and backward and scatters gradients at every micro-batch, layer by layer, while others
    compute: the longer of the two counts.

    micro_batch_seconds  that computing takes for one micro-batch
    """
    machine = hardware, constants
    ranks, stride = layout.dp, layout.tp
    parameters = rank_parameters(shape, layout)
    sharded = np.asarray(layout.zero) == 3
    pieces = np.where(sharded, shape.layers / layout.pp, 1)
    gathered = pass_seconds(2 * parameters, ranks, stride, *machine, pieces)
    scattered = pass_seconds(layout.gradient_bytes * parameters, ranks, stride, *machine, pieces)
    reduced = all_reduce_seconds(layout.gradient_bytes * parameters, ranks, stride, *machine)
    exposed = np.maximum(2 * gathered + scattered - micro_batch_seconds, 0)
    # A tied table at both ends of a pipeline is reduced between them.
    both = np.asarray(layout.pp) > 1
    table = 2 * shape.tied * shape.vocab * shape.width / layout.tp
    tied = np.where(both, send_seconds(table, stride * layout.dp, *machine), 0.0)
    exchange = np.where(
        sharded,
        layout.micro_batches * exposed,
        np.where(np.asarray(layout.zero) > 0, gathered + scattered, reduced),
    )
    return exchange + tied  # a rank alone exchanges nothing in no time

"""Weights of few bits in a decoding step: one thread converts them ahead of the other.

The product of codes with a vector is two steps: convert the codes to float32, which takes two
thirds of the time, and multiply (models/low_bit/quantized.py). The first does not need the vector.
So a second thread converts the matrices one layer ahead, in the order of their use, and this one
multiplies:

    this thread     multiply qkv    attention, out    multiply gate, up    multiply down
    second thread   convert down    convert the next layer's qkv    its gate, up

A thread that computes half of every product instead is slower: the interpreter's lock makes many
short calls of two threads wait for each other, and waking a thread takes 20 to 50 us where cores
are virtual, as long as a tenth of a layer. Here the second thread makes three long calls a layer,
and as a rule nobody waits. Matrices too large for this, and the output layer, are shared half and
half; with one core everything is done in turn, and wherever that is faster (Pace). Read next:
direct.py.
"""

import contextlib
import math
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinylm.autograd.kernels.few_rows import LEAST_TABLE, Helper, borrowed
from tinylm.generate.fast.parts import bias_of, rising
from tinylm.machine import blas_threads, last_cache, one_blas_thread
from tinylm.models.decoder.gpt import GPT
from tinylm.models.low_bit.prepared import Prepared, Room
from tinylm.models.low_bit.quantized import QuantizedMatrix
from tinylm.nn import GATES

KINDS = {8: "Q8_0", 4: "Q4_1"}
BLOCK = 32
# Numbers that the second thread converts ahead, of a whole layer: 16 MB in float32, and at most
# half of the last cache. More would not stay there, and going through memory takes longer.
MOST_AHEAD = min(1 << 22, (last_cache() or 1 << 25) // 2 // 4)
ALONE, AHEAD, SHARED = "alone", "ahead", "shared"


class QuantizedProduct:
    """x W + b with a copy of W in 8 or 4 bits.

    weight  (D, F) floats;  bias  (F,) or None;  bits  8 or 4
    rooms   a Room for each thread, the second with room for what is converted ahead
    way     ALONE: this thread does all. AHEAD: a second one converts after begin().
            SHARED: it takes half of the outputs
    """

    def __init__(
        self, weight: np.ndarray, bias: np.ndarray | None, bits: int, rooms: Any, way: Any = ALONE
    ) -> None:
        self.bias, self.way = bias, way
        self.following = None  # of the next layer, converted once the place of this one is free
        # Blocks lie along a row of W^T, so that one output reads whole blocks.
        parts = [weight.T]
        if way == SHARED:
            parts = np.array_split(weight.T, 2)
        parts = [QuantizedMatrix.from_array(part, KINDS[bits]) for part in parts]
        self.nbytes = sum(part.nbytes for part in parts)
        self.stop = parts[0].shape[0]
        if way == AHEAD:
            rooms = [rooms[1]]
        self.parts = [Prepared(part, room, way == AHEAD) for part, room in zip(parts, rooms)]

    def begin(self, helper: Helper | None) -> None:
        """Let the second thread convert the weights, if it is to."""
        if self.way == AHEAD and helper is not None:
            helper.start(self.parts[0].convert)

    def __call__(self, x: np.ndarray, out: np.ndarray, helper: Helper | None = None) -> np.ndarray:
        """(D,) -> (F,), written into `out`. Products follow in the order of their begin().

        helper  Helper; None: this thread does all, and gets the same numbers
        """
        first = self.parts[0]
        if helper is None and self.way == AHEAD:
            first.convert()
            first.multiply(x, out)
        elif helper is None and self.way == SHARED:
            first(x, out[: self.stop])
            self.parts[1](x, out[self.stop :])
        elif self.way == AHEAD:
            helper.wait_for_one()
            first.multiply(x, out)
            if self.following is not None:
                self.following.begin(helper)
        elif self.way == SHARED:
            helper.start(self.parts[1], x, out[self.stop :])
            first(x, out[: self.stop])
            helper.wait_for_one()
        else:
            first(x, out)
        if self.bias is not None:
            out += self.bias
        return out


class QuantizedLayers:
    """The products of all layers of a GPT, and of its output layer, with weights of few bits.

    rooms  scratch of the two threads
    """

    def __init__(self, model: GPT, bits: int) -> None:
        c = model.config
        self.threads = 1
        gates = 2 if c.activation in GATES else 1
        inner = c.d_model * c.key_width  # of one head
        qkv, out = inner * (c.n_head + 2 * c.kv_heads), inner * c.n_head
        forward = c.d_model * c.hidden_width * (gates + 1)
        ways = [ALONE] * 4  # of qkv, out, the maps into the hidden layer, the one out of it
        ahead = 0
        if two_threads(qkv + out + forward):
            # With 8 bits both threads then take the same time for a layer of SmolLM2. Four take
            # longer to convert, so the first thread does the queries, keys and values itself.
            self.threads, ways, ahead = 2, [AHEAD, ALONE, AHEAD, AHEAD], qkv + forward
            if bits == 4:
                ways[0] = ALONE
            # Four bits are filled up to a whole number of pairs of blocks.
            ahead += BLOCK * (qkv // c.d_model + gates * c.hidden_width + c.d_model)
            if ahead > MOST_AHEAD:
                ways, ahead = [SHARED] * 4, 0
        self.rooms = Room(), Room(ahead)
        self.layers = [self._layer(block, c.activation, bits, ways) for block in model.blocks]
        for layer, after in zip(self.layers, self.layers[1:]):
            for product, following in zip(layer, after):
                product.following = following
        table = model.tokens.weight.data.T if model.head is None else model.head.data  # (D, V)
        way = SHARED if self.threads == 2 and two_threads(table.size) else ALONE
        self.head = QuantizedProduct(table, None, bits, self.rooms, way)

    def _layer(self, block, activation, bits, ways):
        """(qkv, out, into the hidden layer, out of it) of a block."""
        attention, forward = block.attention, block.feed_forward
        into = rising(forward, activation)
        biases = [bias_of(linear) for linear in into]
        maps = [
            (attention.qkv.weight.data, bias_of(attention.qkv)),
            (attention.out.weight.data, bias_of(attention.out)),
            (
                np.concatenate([linear.weight.data for linear in into], axis=1),  # gate, then up
                None if biases[0] is None else np.concatenate(biases),
            ),
            (forward.out.weight.data, bias_of(forward.out)),
        ]
        self.rooms[1].again()
        return [
            QuantizedProduct(weight, bias, bits, self.rooms, way)
            for (weight, bias), way in zip(maps, ways)
        ]


class Pace:
    """Whether the second thread helps with a step, judged by the time that steps take.

    Two cores of a virtual machine may lie beside each other now, and apart for the next seconds:
    here a cache line then takes 370 ns to the other core and back, not 118, and a step in which
    one core reads what the other has converted 43 ms, not 13. Alone it takes 23 at any time.

    A step with help is taken to be slow if two in a row take SLOWER times as long as the fastest.
    While steps are slow, or done alone, the other way is tried every RETRY steps, and the faster
    of the two is kept.
    """

    SLOWER, RETRY = 1.3, 32

    def __init__(self) -> None:
        self.help = True
        self._fastest, self._waited = math.inf, self.RETRY
        self._seconds = {True: deque(maxlen=2), False: deque(maxlen=2)}

    def next(self) -> bool:
        """True if the second thread is to help with the next step."""
        helped = self._seconds[True]
        if self.help and (len(helped) < 2 or min(helped) <= self.SLOWER * self._fastest):
            self._waited = self.RETRY  # once it is slow, being alone is tried at once
            return True
        self._waited += 1
        if self._waited > self.RETRY:
            self._waited = 0
            return not self.help
        return self.help

    def note(self, helped: bool, seconds: float) -> None:
        """A step took so long."""
        self._seconds[helped].append(seconds)
        if helped:
            self._fastest = min(self._fastest, seconds)
        if self._seconds[False]:  # a moment's other work does not count: the better of two steps
            self.help = min(self._seconds[True]) <= min(self._seconds[False])


@contextlib.contextmanager
def own_threads(threads: int | None) -> Iterator[None]:
    """For a step on two threads of Python: one thread of BLAS each. Yields a Helper.

    threads   2, or 1 on one core; None for weights that are not converted: BLAS keeps its
              threads
    """
    if threads is None:
        yield None
        return
    with one_blas_thread(), borrowed(threads == 2) as helper:
        yield helper


def two_threads(weights: int) -> bool:
    """True if so many weights are worth a hand-over, and BLAS may use more than one thread."""
    return weights >= LEAST_TABLE and (blas_threads() or 1) > 1

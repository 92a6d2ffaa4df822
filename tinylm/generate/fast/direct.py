"""Decoding a large model one token at a time: every weight is read once, in place   (book section
2.3.2).

The product of a vector with a matrix does two operations for each weight it reads, and a core could
do a hundred in the time of one read: so decoding a model larger than the caches takes the time of
reading it, bytes / bandwidth, and everything else is negligible. Two things follow. Weights are not
copied or folded as in folded.py (the memory would double, the time stay the same). And fewer bits
for a weight mean less time, if unpacking them costs less than it saves in reading. With NumPy it
costs more:

    SmolLM2-135M, two cores, batch 1     MB a token   tokens/s   GB/s   of the memory's 22 to 30
    float32                                     538         38     20   67 to 87 %
    8 bits (Q8_0)                               151         18    2.7
    4 bits (Q4_1)                               101         13    1.3

so 8 and 4 bits are here for memory, not for speed: a code becomes a float32 in a pass of its own,
where llama.cpp multiplies it in a register. `decoding_speed` and `memory_bandwidth` measure it.
Read next: models/low_bit/quantized.py.
"""

import threading
import time

import numpy as np

from tinylm import backend
from tinylm.generate.fast.folded import GATES, FastDecoder, activation_into
from tinylm.models.low_bit.quantized import QuantizedMatrix


class DirectDecoder(FastDecoder):
    """A GPT as a language model for one sequence at a time, on the CPU, reading the model's own
    arrays.

    model    a GPT that `supports` of folded.py accepts
    bits     None: the weights as they are. 8 or 4: copies of 8 or 4 bits a weight ("Q8_0", "Q4_1":
             blocks of 32 with a scale), made here; embeddings are looked up in the model's own
             table
    raises   ConfigError for another model

    Inputs of several tokens are read by the model itself, with all bits.
    """

    def __init__(self, model, bits=None):
        c = self._begin(model)
        self.bits = bits
        matrix = _products(bits)
        self.activation, before, after = activation_into(c.activation, self.dtype)
        # Factors that folded.py folds into the matrices around a GELU; `step` multiplies by them.
        self.before = before
        self.after = after
        self.layers = []
        for block in model.blocks:
            forward = block.feed_forward
            rising = [forward.gate, forward.up] if c.activation in GATES else [forward.hidden]
            self.layers.append(
                (
                    block.norms[0],
                    matrix(block.attention.qkv),
                    matrix(block.attention.out),
                    block.norms[1],
                    [matrix(linear) for linear in rising],
                    matrix(forward.out),
                )
            )
        self.tokens = model.tokens.weight.data  # (V, D)
        self.position_table = model.positions and model.positions.table.weight.data
        self.norm = model.norm
        self.mean_of = np.full(c.d_model, self.inverse_width, self.dtype)  # x . mean_of = mean(x)
        head = self.tokens.T if model.head is None else model.head.data
        self.head = matrix(_Plain(head))  # (D, V)
        inputs = len(self.layers[0][4])  # 2 with a gate, else 1
        self._end(inputs * c.hidden_width, c.hidden_width)
        self.parts = np.split(self.hidden, inputs)  # views: gate and up, or the whole

    def weight_bytes(self):
        """Bytes of weights that one token reads."""
        total = self.head.nbytes
        for _, into_qkv, out_of_heads, _, rising, out_of_hidden in self.layers:
            total += into_qkv.nbytes + out_of_heads.nbytes + out_of_hidden.nbytes
            total += sum(product.nbytes for product in rising)
        return total

    def step(self, token, cache):
        """Read one token; returns the normalized stream after the last block: (D + 1,), the last
        entry unused.
        """
        x, n, y, t = self.stream, self.normed[:-1], self.change, cache.length  # x, n, y are (D,)
        stored = cache.arrays(t + 1)[:, :, 0]  # (L, 2, G, capacity, K)
        stored = (
            stored[..., t, :],  # (L, 2, G, K) where this token goes
            stored[:, 0, :, : t + 1].swapaxes(2, 3),  # (L, G, K, t+1) keys
            stored[:, 1, :, : t + 1],  # (L, G, t+1, K) values
        )
        if t >= len(self.ones):
            self._make_room(min(self.context, 2 * t))
        np.multiply(self.tokens[token], self.dtype.type(self.config.embedding_scale), x)
        if self.position_table is not None:
            x += self.position_table[t]
        attended, activated = self.attended[:-1], self.activated[:-1]  # (H K,), (F,)
        for parts, *memory in zip(self.layers, *stored):
            attention_norm, into_qkv, out_of_heads, forward_norm, rising, out_of_hidden = parts
            # x += attention(norm(x)); biases are added by the products.
            self._norm(x, attention_norm)
            into_qkv(n, self.qkv)  # (D,) -> ((H+2G) K,)
            self.queries *= self.scale
            self._attend(t, *memory)
            x += out_of_heads(attended, y)  # (H K,) -> (D,)
            # x += feed_forward(norm(x))
            self._norm(x, forward_norm)
            for product, part in zip(rising, self.parts):
                product(n, part)  # (D,) -> (F,)
            if self.before != 1:
                self.hidden *= self.before
            self.activation(self.hidden, activated)
            if self.after != 1:
                activated *= self.after
            x += out_of_hidden(activated, y)  # (F,) -> (D,)
        cache.length = t + 1
        self._norm(x, self.norm)
        return self.normed

    def _norm(self, x, norm):
        """norm(x) into self.normed: x (D,), with the mean subtracted for a layer norm."""
        n = self.normed[:-1]
        if self.config.norm == "layer":
            np.subtract(x, x.dot(self.mean_of), n)
            x = n
        self.inverse.fill((float(x.dot(x)) * self.inverse_width + self.eps) ** -0.5)
        np.multiply(x, self.inverse, n)
        np.multiply(n, norm.gain.data, n)
        if getattr(norm, "bias", None) is not None:
            n += norm.bias.data

    def _scores(self, last):
        scores = self.head(last[:-1], np.empty(self.vocab_size, self.dtype))
        cap = self.config.logit_cap
        if cap is None:
            return scores
        return np.tanh(scores / cap) * cap


class _Plain:
    """A weight array without a bias, in place of an nn.Linear."""

    def __init__(self, array):
        self.array, self.bias = array, None


class _Product:
    """x W + b into an array, W plain or quantized."""

    def __init__(self, weight, bias, bits):
        self.bias = bias
        self.plain = bits is None
        self.weight = weight
        if bits is not None:  # blocks lie along a row of W^T, so one output reads whole blocks
            self.weight = QuantizedMatrix.from_array(weight.T, {8: "Q8_0", 4: "Q4_1"}[bits])
        self.nbytes = self.weight.nbytes

    def __call__(self, x, out):
        if self.plain:
            x.dot(self.weight, out)
        else:
            out[...] = self.weight.matvec(x)
        if self.bias is not None:
            out += self.bias
        return out


def _products(bits):
    def make(linear):
        if isinstance(linear, _Plain):
            return _Product(linear.array, None, bits)
        bias = linear.bias.data if linear.bias is not None else None
        return _Product(linear.weight.data, bias, bits)

    return make


def memory_bandwidth(megabytes=256, repeats=5):
    """How fast this machine reads memory, in bytes a second: one thread a core, each with its part.

    megabytes  in all; must be far more than the caches hold
    returns    the best of `repeats`: other programs can only make a reading slower
    """
    n = backend.cores()
    parts = [np.ones(megabytes * (1 << 20) // 4 // n, np.float32) for _ in range(n)]

    def run():
        # x . x reads x once, and NumPy's dot releases the interpreter lock.
        threads = [threading.Thread(target=lambda part=part: part.dot(part)) for part in parts]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(part.nbytes for part in parts) / (time.perf_counter() - start)

    return max(run() for _ in range(repeats + 1))  # + 1: the first run is a warm-up


def decoding_speed(decoder, tokens=32, start=1):
    """Time greedy decoding.

    decoder  DirectDecoder
    returns  dict: seconds (the median over tokens), tokens_per_second, bytes_per_token, bandwidth
             (of the memory, bytes a second), and share: the weights' bytes a second over that
             bandwidth, 1 if decoding does nothing but read
    """
    cache, token, seconds = decoder.new_cache(), start, []
    for _ in range(tokens):
        begun = time.perf_counter()
        token = int(decoder.next_logits(np.array([[token]]), cache)[0].argmax())
        seconds.append(time.perf_counter() - begun)
    bandwidth = memory_bandwidth()
    nbytes = decoder.weight_bytes()
    median = sorted(seconds)[len(seconds) // 2]
    return {
        "seconds": median,
        "tokens_per_second": 1 / median,
        "bytes_per_token": nbytes,
        "bandwidth": bandwidth,
        "share": nbytes / median / bandwidth,
    }

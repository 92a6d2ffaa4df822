"""Decoding a large model one token at a time: every weight is read once, in place   (book section
2.3.2).

The product of a vector with a matrix does two operations for each weight it reads, and a core could
do a hundred in the time of one read: so decoding a model larger than the caches takes the time of
reading it, bytes / bandwidth, and everything else is negligible. Two things follow. Weights are not
copied or folded as in folded.py (the memory would double, the time stay the same). And fewer bits
for a weight mean less time, if unpacking them costs less than it saves in reading. NumPy converts
12 codes a nanosecond and core, so 8 bits on two cores need 5.6 ms a token for that and 3 to 4 ms
for BLAS's products, where reading the float32 weights takes 11:

    SmolLM2-135M, two cores (Zen 5), batch 1   MB a token   tokens/s   GB/s of the memory's 35 to 50
    float32                                           538         66   35
    8 bits (Q8_0)                                     151         82   12
    4 bits (Q4_1)                                     101         61    6

4 bits are unpacked in two passes more, and are here for memory: a compiled kernel does all of it in
registers (llama.cpp: 84 to 98 tokens/s on two other cores). few_bits.py says how two threads share
the work, and what becomes of it while the two cores do not lie beside each other (then 8 bits are
behind float32); `decoding_speed` and `memory_bandwidth` measure it. Read next: few_bits.py.
"""

import threading
import time
from typing import Any

import numpy as np

from tinylm import backend
from tinylm.generate.fast.few_bits import Pace, QuantizedLayers, own_threads
from tinylm.generate.fast.folded import FastDecoder
from tinylm.generate.fast.parts import activation_into, bias_of, rising
from tinylm.models.decoder.gpt import GPT


class DirectDecoder(FastDecoder):
    """A GPT as a language model for one sequence at a time, on the CPU, reading the model's own
    arrays.

    model    a GPT that `supports` of folded.py accepts
    bits     None: the weights as they are. 8 or 4: copies of 8 or 4 bits a weight ("Q8_0", "Q4_1":
             blocks of 32 with a scale), made here; embeddings are looked up in the model's own
             table
    raises   ConfigError for another model; ShapeError for fewer bits if 32 does not divide the
             inputs of every matrix

    Inputs of several tokens are read by prompt.py, with all bits.
    """

    def __init__(self, model: GPT, bits: int | None = None) -> None:
        c = self._begin(model)
        self.bits = bits
        self.threads = None
        if bits is None:
            self.layers = [_layer(block, c.activation) for block in model.blocks]
            self.head = _Product(model.tokens.weight.data.T)  # (D, V)
            if model.head is not None:
                self.head = _Product(model.head.data)
        else:
            made = QuantizedLayers(model, bits)
            self.layers, self.head, self.threads = made.layers, made.head, made.threads
            self.pace = Pace()
        self.norms = [block.norms for block in model.blocks]
        self.tokens = model.tokens.weight.data  # (V, D)
        self.position_table = model.positions and model.positions.table.weight.data
        self.norm = model.norm
        self.mean_of = np.full(c.d_model, self.inverse_width, self.dtype)  # x . mean_of = mean(x)
        # Factors that folded.py folds into the matrices around a GELU; `step` multiplies by them.
        self.activation, self.before, self.after = activation_into(c.activation, self.dtype)
        gates = len(rising(model.blocks[0].feed_forward, c.activation))
        self._end(gates * c.hidden_width, c.hidden_width)

    def weight_bytes(self) -> int:
        """Bytes of weights that one token reads."""
        return self.head.nbytes + sum(part.nbytes for layer in self.layers for part in layer)

    def step(self, token: int, cache: Any) -> np.ndarray:
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
        threads, began = self.threads, time.perf_counter()
        if threads == 2 and not self.pace.next():
            threads = 1
        with own_threads(threads) as helper:
            for product in self.layers[0]:
                product.begin(helper)
            for layer, norms, *memory in zip(self.layers, self.norms, *stored):
                into_qkv, out_of_heads, into_hidden, out_of_hidden = layer
                # x += attention(norm(x)); biases are added by the products.
                self._norm(x, norms[0])
                into_qkv(n, self.qkv, helper)  # (D,) -> ((H+2G) K,)
                self.queries *= self.scale
                self._attend(t, *memory)
                x += out_of_heads(attended, y, helper)  # (H K,) -> (D,)
                # x += feed_forward(norm(x))
                self._norm(x, norms[1])
                into_hidden(n, self.hidden, helper)  # (D,) -> (F,); (2F,) if gated
                if self.before != 1:
                    self.hidden *= self.before
                self.activation(self.hidden, activated)
                if self.after != 1:
                    activated *= self.after
                x += out_of_hidden(activated, y, helper)  # (F,) -> (D,)
        if self.threads == 2:
            self.pace.note(threads == 2, time.perf_counter() - began)
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
        with own_threads(self.threads) as helper:
            scores = self.head(last[:-1], np.empty(self.vocab_size, self.dtype), helper)
        cap = self.config.logit_cap
        if cap is None:
            return scores
        return np.tanh(scores / cap) * cap


def _layer(block, activation):
    """The products of a block on its own weights: qkv, out, into the hidden layer, out of it."""
    attention, forward = block.attention, block.feed_forward
    products = [
        _Product(linear.weight.data, bias_of(linear))
        for linear in (attention.qkv, attention.out, *rising(forward, activation), forward.out)
    ]
    if len(products) == 5:
        products[2:4] = [_Pair(*products[2:4])]
    return products


class _Product:
    """x W + b into an array."""

    def __init__(self, weight, bias=None):
        self.weight, self.bias = weight, bias
        self.nbytes = weight.nbytes

    def begin(self, helper):
        """Nothing: plain weights are not converted."""

    def __call__(self, x, out, helper=None):
        x.dot(self.weight, out)
        if self.bias is not None:
            out += self.bias
        return out


class _Pair:
    """Two products side by side, the gate and what it multiplies: (D,) -> (2F,)."""

    def __init__(self, gate, up):
        self.gate, self.up, self.nbytes = gate, up, gate.nbytes + up.nbytes

    def begin(self, helper):
        """Nothing, as above."""

    def __call__(self, x, out, helper=None):
        half = len(out) // 2
        self.gate(x, out[:half])
        self.up(x, out[half:])


def memory_bandwidth(megabytes: int = 256, repeats: int = 5) -> float:
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


def decoding_speed(decoder: DirectDecoder, tokens: int = 32, start: int = 1) -> dict[str, float]:
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

"""Reading a prompt fast: many tokens of each row through a GPT, on arrays.

Nearly all of the work are matrix products, which BLAS does at its own rate; the rest is kept small:

  threads     each takes some pieces of every row and computes their layers alone, with one thread
              of BLAS. They meet once a layer, when all keys and values are written. A piece late in
              the row attends to more keys, so pieces are dealt out to and fro: 0 1 1 0 0 1 1 0
  attention   piece by piece, over the keys up to its last token: half of the products and
              exponentials of the full square. The queries of a group of heads are rows of one
              product
  last layer  only the last token of a row has queries there: its logits are all that is asked for
  memory      vectors of a share are allocated once and overwritten in every layer

Results equal the model's up to rounding; where they are not finite, the model reads the prompt
itself, with all its care. Read first: direct.py, the same for one token. Read next:
autograd/kernels/attention.py.
"""

import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import Tensor, no_grad
from tinylm.autograd.kernels.attention import SAFE_SCORE
from tinylm.autograd.kernels.few_rows import in_parallel
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.generate.fast.parts import activation_into, bias_of, normed, rising
from tinylm.machine import blas_threads, one_blas_thread
from tinylm.nn.linear import Linear

if TYPE_CHECKING:
    from tinylm.generate.protocol.language_model import ModelLM


PIECE = 128  # tokens of a piece at most; many small calls make threads wait for each other
SCORES = 1 << 21  # scores of a piece at most: 8 MB in float32
IN_CACHE = 1 << 17  # numbers that an activation works on at a time
# Multiplications of a layer from which threads gain: meeting costs some 100 us.
LEAST = 1 << 25


class PromptReader:
    """`next_logits` of a GPT that `supports` of folded.py accepts, for prompts.

    lm   ModelLM of the model, in float32 or float64; its weights are read in place
    """

    def __init__(self, lm: "ModelLM") -> None:
        self.lm, self.model, c = lm, lm.model, lm.model.config
        self.config, self.scale = c, c.attention_scale or c.key_width**-0.5
        self.dtype = self.model.tokens.weight.dtype
        self.turns = None  # cosines and sines of the first positions
        block = self.model.blocks[0]
        self.weights_of_layer = sum(p.size for p in block.parameters())

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the token after the last of `tokens`, which were checked: (B, T) -> (B, V)."""
        if cache is None:
            cache = self.lm.new_cache(len(tokens), capacity=tokens.shape[1])
        if type(cache) is not KeyValueCache or self.dtype.itemsize < 4:
            return self.lm.next_logits(tokens, cache)
        before = cache.length
        try:
            last = self._read(tokens, cache)  # (B, D)
        except threading.BrokenBarrierError:  # an error in another thread: the model meets it too
            last = np.full(1, np.nan)
        if not np.isfinite(last).all():
            cache.crop(before)
            return self.lm.next_logits(tokens, cache)
        with no_grad():
            return self.model.logits(Tensor(last)).data

    def _read(self, tokens, cache):
        """The normalized stream after the last token of each row: (B, T) -> (B, D)."""
        B, T = tokens.shape
        past = cache.length
        self._make_room(past + T)
        threads = 1
        if B * T * self.weights_of_layer >= LEAST:
            threads = blas_threads() or 1
        longest = max(16, min(PIECE, SCORES // (self.config.n_head * (past + T))))
        padding = cache.padding if cache.padding is not None else np.zeros(B, np.int64)
        pieces = [
            piece
            for b in range(B)
            for piece in cut(b, max(0, int(padding[b]) - past), T, threads, longest)
        ]
        last = np.zeros((B, self.config.d_model), self.dtype)  # of a row that is padding only
        stored = cache.arrays(past + T)  # (L, 2, B, G, capacity, K)
        meeting = threading.Barrier(threads)
        shares = [
            _Share(self, tokens, dealt(pieces, thread, threads), padding, past)
            for thread in range(threads)
        ]
        with one_blas_thread():
            in_parallel([(share.read, stored, meeting, last) for share in shares])
        cache.length = past + T
        return last

    def _make_room(self, tokens):
        """Rotations of the first `tokens` positions; of none if the model turns nothing."""
        if self.turns is None or len(self.turns[0]) < tokens:
            self.turns = self.model.rotation(np.arange(max(tokens, 256)), self.dtype)


def cut(b: int, start: int, stop: int, threads: int, longest: int) -> list[tuple[int, int, int]]:
    """Pieces (b, start, stop) of a row: a multiple of 2 `threads` of them, as equal as can be."""
    length = max(0, stop - start)
    count = 2 * threads * max(1, -(-length // (2 * threads * longest)))  # rounded up
    ends = [start + length * i // count for i in range(count + 1)]
    return [(b, i, j) for i, j in zip(ends, ends[1:]) if j > i]


def dealt(
    pieces: Sequence[tuple[int, int, int]], thread: int, threads: int
) -> list[tuple[int, int, int]]:
    """What a thread gets of pieces that are dealt out to and fro: 0 1 1 0 0 1 1 0."""
    turn = [*range(threads), *reversed(range(threads))]
    return [piece for i, piece in enumerate(pieces) if turn[i % len(turn)] == thread]


class _Share:
    """The n tokens of some pieces, which one thread reads.

    tokens   (B, T);  pieces  [(row, start, stop)];  padding  (B,) columns without a token
    past     columns in the cache
    """

    def __init__(self, reader, tokens, pieces, padding, past):
        self.reader, self.c, self.dtype = reader, reader.config, reader.dtype
        self.padding = padding.tolist()
        self.stop = past + tokens.shape[1]
        self.pieces = []  # (rows of this share, row of the batch, columns)
        ids, positions, n = [], [], 0
        for b, start, stop in pieces:
            rows = slice(n, n + stop - start)
            self.pieces.append((rows, b, slice(past + start, past + stop)))
            ids.append(tokens[b, start:stop])
            positions.append(np.arange(past + start, past + stop) - self.padding[b])
            n = rows.stop
        self.n = n
        self.ids = np.concatenate(ids) if n else np.empty(0, int)
        self.positions = np.concatenate(positions) if n else np.empty(0, int)

    def read(self, stored, meeting, last):
        """All layers: writes into stored (L, 2, B, G, capacity, K) and last (B, D)."""
        try:
            # e^-gate of swiglu: 0 is right. What is not finite is found at the end.
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                self._read(stored, meeting, last)
        except BaseException:
            meeting.abort()
            raise

    def _read(self, stored, meeting, last):
        model, c, n, dtype = self.reader.model, self.c, self.n, self.dtype
        H, G, K, F = c.n_head, c.kv_heads, c.key_width, c.hidden_width
        # Every layer overwrites these: fresh memory costs more than the work in it.
        qkv, change = np.empty((n, (H + 2 * G) * K), dtype), np.empty((n, c.d_model), dtype)
        hidden = [
            np.empty((n, F), dtype) for _ in rising(model.blocks[0].feed_forward, c.activation)
        ]
        self.queries, self.attended = (
            np.empty((G, n, H // G, K), dtype),
            np.empty((n, H * K), dtype),
        )
        turns = self._turns()
        x, asking = self._embedded(), self.pieces
        for layer, (block, memory) in enumerate(zip(model.blocks, stored)):
            times(normed(x, block.norms[0]), block.attention.qkv, qkv)
            self._split(qkv, turns, memory)
            meeting.wait()
            if layer == c.n_layer - 1:
                asking, x = self._last_tokens(x)
            m = len(x)
            attended = self._attend(asking, memory)[:m]
            x += times(attended, block.attention.out, change[:m])
            h, forward = normed(x, block.norms[1]), block.feed_forward
            parts = [
                times(h, linear, part[:m])
                for linear, part in zip(rising(forward, c.activation), hidden)
            ]
            activate(c.activation, parts)
            x += times(parts[0], forward.out, change[:m])
        for (_, b, _), row in zip(asking, normed(x, model.norm)):
            last[b] = row

    def _embedded(self):
        """The residual stream before the first block, (n, D)."""
        model = self.reader.model
        x = model.tokens.weight.data[self.ids]
        if self.c.embedding_scale != 1:
            x *= x.dtype.type(self.c.embedding_scale)
        if model.positions:
            x += model.positions.table.weight.data[self.positions]
        return x

    def _last_tokens(self, x):
        """What ends a row: pieces of one token each, with their place in queries; x of these."""
        ends = [piece for piece in self.pieces if piece[2].stop == self.stop]
        asking = []
        for i, (rows, b, columns) in enumerate(ends):
            self.queries[:, i] = self.queries[:, rows.stop - 1]  # i is not behind the row copied
            asking.append((slice(i, i + 1), b, slice(columns.stop - 1, columns.stop)))
        return asking, x[[rows.stop - 1 for rows, *_ in ends]]

    def _turns(self):
        """Cosines and sines for queries, scaled, and keys: (n, H + G, K/2) each; None if none."""
        if self.reader.turns is None:
            return None
        c = self.c
        scale = np.ones((c.n_head + c.kv_heads, 1), self.dtype)
        scale[: c.n_head] = self.reader.scale
        return [part[self.positions][:, None] * scale for part in self.reader.turns]

    def _split(self, qkv, turns, memory):
        """Queries (G, n, R, K), scaled; keys and values to the cache: memory (2, B, G, S, K)."""
        c, n = self.c, self.n
        H, G, K = c.n_head, c.kv_heads, c.key_width
        heads = qkv.reshape(n, H + 2 * G, K)
        qk, v = heads[:, : H + G], heads[:, H + G :]
        if turns is None:
            qk[:, :H] *= self.dtype.type(self.reader.scale)
        else:
            cos, sin = turns
            first, second = qk[..., : K // 2], qk[..., K // 2 :]
            turned = first * cos - second * sin  # eqs. 2.95, 2.96
            second *= cos
            second += first * sin
            first[...] = turned
        # The R query heads of a group are rows of one product.
        self.queries[...] = qk[:, :H].reshape(n, G, H // G, K).swapaxes(0, 1)
        for rows, b, columns in self.pieces:
            memory[0, b, :, columns] = qk[rows, H:].swapaxes(0, 1)
            memory[1, b, :, columns] = v[rows].swapaxes(0, 1)

    def _attend(self, asking, memory):
        """Attention of the pieces `asking`: (n, H K)."""
        c = self.c
        for rows, b, columns in asking:
            q = self.queries[:, rows]  # (G, t, R, K)
            keys, values = memory[:, b, :, self.padding[b] : columns.stop]  # (G, S, K) each
            mixed = causal_attention(q, keys, values)
            self.attended[rows].reshape(-1, c.kv_heads, *q.shape[2:])[...] = mixed.swapaxes(0, 1)
        return self.attended


def causal_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Attention of the last t tokens to all up to themselves: (G, t, R, K), (G, S, K) twice ->
    (G, t, R, K).

    q   scaled, the R query heads that share keys and values side by side
    """
    S = k.shape[1]
    scores = _scores(q, k)
    if scores.max() < SAFE_SCORE:
        weights = np.exp(scores, scores)
        total = weights @ np.ones(S, q.dtype)  # (G, t R)
        # As in autograd/kernels/attention.py: a small sum is a row of very low scores.
        safe = total.min() > S * math.exp(-SAFE_SCORE)
    else:
        safe = False
    if not safe:
        scores = _scores(q, k)
        scores -= scores.max(axis=-1, keepdims=True)
        weights = np.exp(scores, scores)
        total = weights @ np.ones(S, q.dtype)
    mixed = weights @ v  # (G, t R, S) @ (G, S, K)
    mixed /= total[..., None]
    return mixed.reshape(q.shape)


def _scores(q, k):
    """q k^T, -inf for keys after a query: (G, t R, S)."""
    G, t, R, K = q.shape
    scores = q.reshape(G, t * R, K) @ k.swapaxes(1, 2)
    own = scores.reshape(G, t, R, -1)[..., k.shape[1] - t :]  # (G, t, R, t): keys of the piece
    hidden = np.arange(t)[None, :] > np.arange(t)[:, None]  # (t, t): keys after the query
    np.copyto(own, -np.inf, where=hidden[:, None])
    return scores


def activate(name: str, parts: Sequence[np.ndarray]) -> None:
    """The activation, written over parts[0]: (m, F), or gate and up."""
    gate = parts[0]
    step = max(1, IN_CACHE // max(gate.shape[1], 1))
    function, before, after = activation_into(name, gate.dtype)
    scratch = np.empty((len(parts) * step, gate.shape[1]), gate.dtype)
    for start in range(0, len(gate), step):
        rows = [part[start : start + step] for part in parts]
        hidden = scratch[: len(parts) * len(rows[0])]  # gate above up, as the function takes them
        np.concatenate(rows, out=hidden)
        if before != 1:
            hidden *= hidden.dtype.type(before)
        function(hidden, rows[0])
        if after != 1:
            rows[0] *= rows[0].dtype.type(after)


def times(x: np.ndarray, linear: Linear, out: np.ndarray) -> np.ndarray:
    """x W + b of a linear map: (n, D) -> (n, F), written into `out`."""
    np.matmul(x, linear.weight.data, out=out)
    bias = bias_of(linear)
    if bias is not None:
        out += bias
    return out

"""The operations that `tinylm bench operations` measures, each written for tinylm and for torch.

Sizes are those of a training step of W1, nanoGPT's configuration for a CPU: 12 sequences of 64
tokens, width 128, 4 heads of 32, hidden width 512. Read next: bench_operations.py.
"""

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np

# inputs: functions of a random stream that make one array each
# ours, theirs: (library, *inputs) -> result, with tinylm.autograd and with torch as the library
Operation = namedtuple("Operation", "group name inputs ours theirs")

N, D, F, V = 768, 128, 512, 65  # rows of a batch, widths, vocabulary
B, H, T, K = 12, 4, 64, 32


def normal(*shape: int) -> Callable:
    """An input of standard normal numbers, differentiated."""
    return lambda rng: rng.normal(size=shape).astype(np.float32)


def positive(*shape: int) -> Callable:
    """Uniform numbers from 0.5 to 2, differentiated."""
    return lambda rng: rng.uniform(0.5, 2, shape).astype(np.float32)


def ids(below: int, *shape: int) -> Callable:
    """Integers from 0 to below - 1, not differentiated."""
    return lambda rng: rng.integers(0, below, shape)


def mask(*shape: int) -> Callable:
    """Bools, half of them True, not differentiated."""
    return lambda rng: rng.random(shape) < 0.5


def order(n: int) -> Callable:
    """The numbers 0 .. n - 1, shuffled, not differentiated."""
    return lambda rng: rng.permutation(n)


wide, wide_positive, narrow = normal(N, F), positive(N, F), normal(N, D)
sequences, head = normal(B, T, D), normal(B, H, T, K)
scores, logits = normal(B, H, T, T), normal(N, V)


def stepwise(lib: Any, x: Any) -> Any:
    """The time steps of x (B, T, D), read one by one as a recurrent network does, and joined."""
    return lib.stack([x[:, t] for t in range(x.shape[1])], 1)


# torch's names, where they are others.


def _functional(name, **options):
    return lambda torch, *inputs: getattr(torch.nn.functional, name)(*inputs, **options)


def _layer_norm(torch, x, gain, bias):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], gain, bias)


def _rms_norm(torch, x, gain):
    return torch.nn.functional.rms_norm(x, x.shape[-1:], gain, 1e-6)


def _scatter_add(torch, index, x):
    return torch.zeros(1000, x.shape[1]).index_add(0, index, x)


def _thirds(torch, x):
    return torch.cat(torch.split(x, x.shape[1] // 3, 1), 0)


# A row: name, inputs, the operation, and what torch calls it if not the same.
# fmt: off
GROUPS = {
    "elementwise": [
        ("add", (wide, wide), lambda lib, a, b: a + b),
        ("add a row", (wide, normal(F)), lambda lib, a, b: a + b),
        ("sub", (wide, wide), lambda lib, a, b: a - b),
        ("mul", (wide, wide), lambda lib, a, b: a * b),
        ("div", (wide, wide_positive), lambda lib, a, b: a / b),
        ("neg", (wide,), lambda lib, a: -a),
        ("square", (wide,), lambda lib, a: a**2),
        ("cube", (wide,), lambda lib, a: a**3),
        ("exp", (wide,), lambda lib, a: lib.exp(a)),
        ("log", (wide_positive,), lambda lib, a: lib.log(a)),
        ("log1p", (wide_positive,), lambda lib, a: lib.log1p(a)),
        ("expm1", (wide,), lambda lib, a: lib.expm1(a)),
        ("sqrt", (wide_positive,), lambda lib, a: lib.sqrt(a)),
        ("tanh", (wide,), lambda lib, a: lib.tanh(a)),
        ("sin", (wide,), lambda lib, a: lib.sin(a)),
        ("abs", (wide,), lambda lib, a: lib.abs(a)),
        ("maximum", (wide, wide), lambda lib, a, b: lib.maximum(a, b)),
        ("where", (mask(N, F), wide, wide), lambda lib, c, a, b: lib.where(c, a, b)),
        ("clip", (wide,), lambda lib, a: lib.clip(a, -1.0, 1.0)),
    ],
    "activations": [
        ("relu", (wide,), lambda lib, a: lib.relu(a)),
        ("sigmoid", (wide,), lambda lib, a: lib.sigmoid(a)),
        ("softplus", (wide,), lambda lib, a: lib.softplus(a), _functional("softplus")),
        ("erf", (wide,), lambda lib, a: lib.erf(a)),
        ("gelu", (wide,), lambda lib, a: lib.gelu(a), _functional("gelu")),
        ("gelu_tanh", (wide,), lambda lib, a: lib.gelu_tanh(a),
         _functional("gelu", approximate="tanh")),
        ("silu", (wide,), lambda lib, a: lib.silu(a), _functional("silu")),
        ("swiglu", (wide, wide), lambda lib, a, b: lib.swiglu(a, b),
         lambda t, a, b: t.nn.functional.silu(a) * b),
        ("geglu", (wide, wide), lambda lib, a, b: lib.geglu(a, b),
         lambda t, a, b: t.nn.functional.gelu(a) * b),
    ],
    "reductions": [
        ("sum", (wide,), lambda lib, a: lib.sum(a)),
        ("sum of columns", (wide,), lambda lib, a: lib.sum(a, 0)),
        ("mean of rows", (wide,), lambda lib, a: lib.mean(a, -1)),
        ("max of rows", (wide,), lambda lib, a: lib.max(a, -1), lambda t, a: t.amax(a, -1)),
        ("logsumexp", (wide,), lambda lib, a: lib.logsumexp(a, -1)),
        ("var", (wide,), lambda lib, a: lib.var(a, -1), lambda t, a: t.var(a, -1, correction=0)),
        ("norm", (wide,), lambda lib, a: lib.norm(a, -1),
         lambda t, a: t.linalg.vector_norm(a, dim=-1)),
        ("cumsum", (wide,), lambda lib, a: lib.cumsum(a, -1)),
    ],
    "products": [
        ("matmul", (narrow, normal(D, F)), lambda lib, a, b: a @ b),
        ("matmul, batch", (head, normal(B, H, K, T)), lambda lib, a, b: a @ b),
        ("linear", (narrow, normal(D, F), normal(F)), lambda lib, x, w, b: lib.linear(x, w, b),
         lambda t, x, w, b: t.addmm(b, x, w)),
        ("einsum ij,j", (narrow, normal(D)), lambda lib, a, b: lib.einsum("ij,j->i", a, b)),
        ("einsum btd,df", (sequences, normal(D, F)),
         lambda lib, a, b: lib.einsum("btd,df->btf", a, b)),
        ("einsum bhtk,bhsk", (head, head),
         lambda lib, a, b: lib.einsum("bhtk,bhsk->bhts", a, b)),
    ],
    "layers": [
        ("softmax", (scores,), lambda lib, a: lib.softmax(a, -1)),
        ("log_softmax", (logits,), lambda lib, a: lib.log_softmax(a, -1)),
        ("cross_entropy", (logits, ids(V, N)), lambda lib, a, i: lib.cross_entropy(a, i),
         _functional("cross_entropy")),
        ("layer_norm", (narrow, positive(D), normal(D)),
         lambda lib, x, a, b: lib.layer_norm(x, a, b), _layer_norm),
        ("rms_norm", (narrow, positive(D)), lambda lib, x, a: lib.rms_norm(x, a), _rms_norm),
        ("embedding", (ids(V, B, T), normal(V, D)), lambda lib, i, w: lib.embedding(i, w),
         _functional("embedding")),
        ("attention", (head, head, head), lambda lib, q, k, v: lib.attention(q, k, v, causal=True),
         _functional("scaled_dot_product_attention", is_causal=True)),
    ],
    "moves": [
        ("transpose", (head,), lambda lib, a: lib.transpose(a, (0, 2, 1, 3)) * 1.0,
         lambda t, a: t.permute(a, (0, 2, 1, 3)) * 1.0),
        ("concatenate", (narrow, narrow), lambda lib, a, b: lib.concatenate([a, b], 1)),
        ("stack", (narrow,) * 8, lambda lib, *a: lib.stack(a, 1)),
        ("split", (normal(N, 3 * D),), lambda lib, a: lib.concatenate(lib.split(a, 3, 1), 0),
         _thirds),
        ("slice", (wide,), lambda lib, a: a[:, 1:] * 1.0),
        ("steps x[:, t]", (sequences,), stepwise),
        ("pad", (wide,), lambda lib, a: lib.pad(a, ((0, 0), (1, 1))),
         _functional("pad", pad=(1, 1))),
        ("roll", (wide,), lambda lib, a: lib.roll(a, 1, 1)),
        ("repeat", (narrow,), lambda lib, a: lib.repeat(a, 4, 1),
         lambda t, a: t.repeat_interleave(a, 4, 1)),
        ("tril", (scores,), lambda lib, a: lib.tril(a)),
    ],
    "indexing": [
        ("x[idx]", (normal(1000, D), ids(1000, N)), lambda lib, x, i: x[i]),
        ("x[:, idx]", (wide, order(F)), lambda lib, x, i: x[:, i]),
        ("x[mask]", (wide, mask(N, F)), lambda lib, x, m: x[m]),
        ("take_along_axis", (logits, ids(V, N, 1)), lambda lib, x, i: lib.take_along_axis(x, i, -1),
         lambda t, x, i: t.gather(x, -1, i)),
        ("scatter_add", (ids(1000, N), narrow), lambda lib, i, x: lib.scatter_add((1000, D), i, x),
         _scatter_add),
        ("sort", (logits,), lambda lib, a: lib.sort(a, -1), lambda t, a: t.sort(a, dim=-1)[0]),
        ("topk", (logits,), lambda lib, a: lib.topk(a, 8)[0], lambda t, a: t.topk(a, 8, -1)[0]),
    ],
}
# fmt: on
OPERATIONS = [
    Operation(group, name, inputs, ours, *(theirs or [ours]))
    for group, rows in GROUPS.items()
    for name, inputs, ours, *theirs in rows
]

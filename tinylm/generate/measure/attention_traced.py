"""The attention weights of any transformer, read off its own operations   (book eq. 2.6)

    alpha = Softmax(Q K^T scale + bias, where visible)

An observer of the engine sees the queries and keys of every attention while the model runs: those
of encoders, of decoders, and across; with rotary positions, biases, windows and shared heads. The
weights are then computed from them by the same functions that the plain twin uses. Rollout
(Abnar & Zuidema 2020) follows them through the layers. Read first: attention_paid.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinylm.autograd import Tensor, no_grad, rotary
from tinylm.autograd.engine.tensor import as_tensor, observers
from tinylm.autograd.kernels.heads import score_scale
from tinylm.autograd.kernels.masks import grouped_mask, seen_scores, visible_softmax
from tinylm.errors import ShapeError
from tinylm.nn.attention.multi_head import split_heads


@dataclass(frozen=True)
class Traced:
    """One attention of one layer.

    weights  (B, H, T, S): [b, h, i, j] is what query i pays to key j; a row sums to 1
    seen     bool, broadcasts to (B, H, T, S): what a query may see; None if everything
    bias     float, broadcasts to (B, H, T, S): added to the scores by position; None if nothing
    causal   True if a query sees nothing that comes after it
    scale    the scores' factor
    values   (B, G, S, J) array, what is mixed: the output is weights @ values
    """

    weights: np.ndarray
    seen: np.ndarray | None
    bias: np.ndarray | None
    causal: bool
    scale: float
    values: np.ndarray


def traced_attention(call: Callable[[], object]) -> list[Traced]:
    """Every attention that happens inside of call(), in its order.

    call     runs a model, in evaluation mode: () -> anything
    returns  list of Traced; of a decoder that reads an encoder, self and cross take turns.
             Attention with capped scores is made of other operations, and is not seen
    """
    found = []

    def observe(label, args, result, options):
        if label == "self_attention":
            found.append(_of_packed(args[0], options))
        elif label == "attention":
            q, k, v, *bias = args
            found.append(_traced(q, k, v, bias[0] if bias else None, options))

    # While an observer looks on, no half of a block runs as one operation (nn/sublayers.py).
    observers.append(observe)
    try:
        with no_grad():
            call()
    finally:
        observers.remove(observe)
    return [make() for make in found]


def _of_packed(qkv, options):
    """Traced of packed projections, as composed.self_attention takes them apart."""
    q, k, v = split_heads(as_tensor(qkv), options["heads"], options["kv_heads"])
    if options["rotation"] is not None:
        cos, sin = options["rotation"]
        q, k = rotary(q, cos=cos, sin=sin), rotary(k, cos=cos, sin=sin)
    return _traced(q, k, v, None, options)


def _traced(q, k, v, bias, options):
    """A function that makes the Traced; later, so that its own operations are not observed."""
    q, k, v = as_tensor(q), as_tensor(k), as_tensor(v)
    bias = None if bias is None else as_tensor(bias).data

    def make():
        # heads in groups that share keys and values: (B, G, H/G, T, K) against (B, G, 1, S, K)
        (B, H, T, K), (_, G, S, _) = q.shape, k.shape
        seen, causal = options["mask"], bool(options["causal"])
        if causal:
            past = np.tri(T, S, S - T, dtype=bool)  # the last query sees the last key
            seen = past if seen is None else past & seen
        scale = score_scale(K, options["scale"])
        grouped = grouped_mask(seen, (B, H, T, S), G)
        with no_grad():
            scores = seen_scores(
                q.reshape(B, G, H // G, T, K), k.reshape(B, G, 1, S, K), grouped
            ).data.reshape(B, H, T, S)
            scores = scores * np.asarray(scale, scores.dtype)
            if bias is not None:
                scores = scores + bias
            weights, _ = visible_softmax(Tensor(scores), seen)
        return Traced(weights.data, seen, bias, causal, float(scale), v.data)

    return make


def attention_rollout(weights: np.ndarray) -> np.ndarray:
    """How much each layer's state of a token draws from each input, through all layers below.

        R_l = (mean over heads of alpha_l + 1) / 2  R_{l-1}      R_0 = 1

    The 1 stands for the residual stream: half of what a layer passes on is what came in
    (Abnar & Zuidema 2020, section 3).

    weights  (L, H, T, T), rows sum to 1
    returns  (L, T, T) float64, rows sum to 1
    raises   ShapeError if queries and keys are not the same tokens
    """
    if weights.ndim != 4 or weights.shape[2] != weights.shape[3]:
        raise ShapeError(
            f"attention_rollout: weights {weights.shape}, needs (L, H, T, T): rollout is of "
            "self-attention"
        )
    rolled, layers = np.eye(weights.shape[-1]), []
    for layer in weights:
        step = (layer.mean(axis=0, dtype=np.float64) + np.eye(len(rolled))) / 2  # (T, T)
        rolled = step @ rolled
        layers.append(rolled)
    return np.stack(layers)

"""Attention of every layer and head, with its mask and its bias by position, and rollout.

The model reads the prompt once while an observer of the engine keeps the queries and keys
(generate/measure/attention_traced.py). A causal head is packed: of its T x T weights those of the
triangle travel, row by row. Where a page would become too large, weights travel as float16, and of
a large model only as many layers as fit; the figure says so. Read next: web/attention.js.
"""

import numpy as np

from tinylm.errors import ConfigError
from tinylm.explore.at_hand import AtHand, Unsuitable
from tinylm.explore.page import Figure, source_of
from tinylm.generate.measure.attention_traced import (
    Traced,
    attention_rollout,
    traced_attention,
)

WIDE = 6_000_000  # bytes of one figure's weights that travel as float32
LONGEST = 1024  # tokens: weights grow with the square, those of smollm2 to 1.1 GB here
MOST = 24_000_000  # bytes as float16 that a browser opens at once
TITLES = {
    "decoder": "Attention",
    "encoder": "Attention",
    "source": "Attention of the encoder",
    "target": "Attention of the decoder to itself",
    "cross": "Attention of the decoder to the source",
}


def figures(at_hand: AtHand) -> list[Figure]:
    """One figure; of an encoder-decoder three: source, target, and across."""
    reading = at_hand.reading
    names = {"decoder": ["decoder"], "encoder": ["encoder"]}
    traces = _traces(reading)
    texts = {"source": reading.ids, "target": reading.target}
    texts |= {name: reading.ids for name in ("decoder", "encoder")}
    made = []
    for name in names.get(reading.kind, ["source", "target", "cross"]):
        queries = texts["target" if name == "cross" else name]
        keys = texts["source" if name == "cross" else name]
        data = packed(traces[name], at_hand.layers)
        data |= {"queries": at_hand.tokens(queries), "keys": at_hand.tokens(keys)}
        data["same"] = name != "cross"
        text = (
            "Each small square is one head: a row is a query, a column a key, darker is more "
            "weight. Choose a head, and a token of the text to see what it attends to. Section "
            "2.1.1 (eq. 2.6) of the book; the weights are read off the model's own operations by "
            f"`{source_of(traced_attention)}`"
        )
        if name != "cross":
            text += f", rollout is `{source_of(attention_rollout)}`"
        made.append(Figure("attention", TITLES[name], f"{text}.", data))
    return made


def _traces(reading):
    """{name: list of Traced, one a layer} of a reading."""
    model, ids = reading.model, reading.ids[None]
    if ids.size > LONGEST:
        raise Unsuitable(f"{ids.size} tokens: attention is drawn of {LONGEST} at most")
    if reading.kind == "encoder-decoder":
        found = traced_attention(lambda: model(ids, reading.target[None]))
        L, M = model.config.n_layer, model.config.decoder_layers
        parts = {"source": found[:L], "target": found[L::2], "cross": found[L + 1 :: 2]}
        expected = L + 2 * M
    else:
        found = traced_attention(lambda: model.hidden(ids))
        parts = {reading.kind: found}
        expected = model.config.n_layer
    if len(found) != expected:
        raise Unsuitable(
            f"of {expected} attentions, {len(found)} are made of the operations that can be looked "
            "into; capped scores (attention_cap) are not"
        )
    return parts


def packed(traced: list[Traced], chosen: tuple[int, ...] = ()) -> dict:
    """The weights of all layers as they travel.

    traced   of one text, a layer each
    chosen   layers to keep, counted from 0; () for as many as fit
    returns  {"layers": numbers from 0, "all", "heads", "causal", "half" (True for float16),
             "weights": for each layer (H, n), "rollout": (n,) or None, "bias": (1|H, n) or None,
             once if it holds for all layers, "seen": (n,) or None}. n counts the pairs of query
             and key: T (T + 1) / 2 if causal, else T S
    raises   ConfigError for a layer that there is not
    """
    L = len(traced)
    for layer in chosen:
        if not 0 <= layer < L:
            raise ConfigError(f"no layer {layer}: this model has layers 0 to {L - 1}")
    _, H, T, S = traced[0].weights.shape
    causal = all(t.causal for t in traced) and T == S
    pairs = T * (T + 1) // 2 if causal else T * S
    room = max(1, MOST // (2 * pairs * H))
    kept = sorted(set(chosen)) or _spread(L, room)
    half = 4 * pairs * H * len(kept) > WIDE
    rolled = None
    if T == S:
        # Rollout reads means over heads, which are the means of one head.
        means = [t.weights[0].mean(axis=0, keepdims=True, dtype=np.float64) for t in traced]
        rolled = attention_rollout(np.stack(means))  # (L, 1, T, T) -> (L, T, T)

    def sent(weights):
        """(..., T, S) -> (..., n)."""
        flat = _triangle(weights) if causal else weights.reshape(*weights.shape[:-2], -1)
        return flat.astype(np.float16 if half else np.float32)

    return {
        "layers": kept,
        "all": L,
        "heads": H,
        "causal": causal,
        "half": half,
        "weights": [sent(traced[layer].weights[0]) for layer in kept],
        "rollout": None if rolled is None else [sent(rolled[layer]) for layer in kept],
        **_biases(traced, kept, (T, S), sent),
        **_masks(traced, kept, (T, S), sent),
    }


def _biases(traced, kept, shape, sent):
    """The bias of each kept layer, or of one that holds for all of them."""
    if traced[0].bias is None:
        return {"bias": None}
    found = []
    for layer in kept:
        bias = traced[layer].bias
        bias = bias.reshape(-1, *bias.shape[-2:])[: traced[layer].weights.shape[1]]
        found.append(np.broadcast_to(bias, (len(bias), *shape)))
    if all(np.array_equal(found[0], other) for other in found):
        found = found[:1]
    return {"bias": [sent(bias).astype(np.float32) for bias in found]}


def _masks(traced, kept, shape, sent):
    """What a query sees beside the triangle, of each kept layer: a window, say."""
    found = []
    for layer in kept:
        seen = traced[layer].seen
        if seen is None:
            seen = np.ones((1, 1), bool)
        found.append(np.broadcast_to(seen.reshape(-1, *seen.shape[-2:])[0], shape))
    if all(np.array_equal(sent(seen), np.ones_like(sent(seen))) for seen in found):
        return {"seen": None}
    return {"seen": [sent(seen).astype(bool) for seen in found]}


def _triangle(weights):
    """The lower triangle with its diagonal, row by row: (..., T, T) -> (..., T (T + 1) / 2)."""
    rows, columns = np.tril_indices(weights.shape[-1])
    return weights[..., rows, columns]


def _spread(layers, room):
    """At most `room` of the layers, evenly spread, the first and the last among them."""
    if layers <= room:
        return list(range(layers))
    if room == 1:
        return [layers - 1]
    return sorted({round(i * (layers - 1) / (room - 1)) for i in range(room)})

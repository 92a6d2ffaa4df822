"""Gradient checks of whole encoders, encoder-decoders and XLNet.

The models are tiny, with every head and every kind of mask.
"""

from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.backend import Random
from tinylm.models.early.cases import ready
from tinylm.models.encoder.encoder import Electra
from tinylm.models.encoder.heads import SpanBoundaryHead
from tinylm.models.encoder.presets import ENCODERS, build, preset, tiny
from tinylm.nn.attention.two_stream import RelativeAttention, permutation_mask, relative_waves
from tinylm.nn.module import Module

IDS = np.array([[1, 4, 2], [3, 0, 4]])
SEGMENTS = np.array([[0, 0, 1], [0, 1, 1]])
MASK = np.array([[True, True, False], [True, True, True]])
ONCE = "its parts are checked to second order one by one; whole, that would only take long"
SIZES = dict(vocab_size=5, n_layer=2, n_head=2, d_model=4, d_hidden=3)


def small(name: str, rng: np.random.Generator, **changes: Any) -> Any:
    """A tiny model of a family, with weights large enough for every derivative to show."""
    sizes = dict(SIZES)
    if name in ENCODERS:
        sizes["context"] = 4
        sizes["d_embed"] = preset(name).d_embed and 3  # None stays None
    model = build(tiny(name, **sizes | changes), int(rng.integers(99)), dtype=np.float64)
    return ready(model.eval())


def encoder(
    model: Module,
    ids: np.ndarray,
    segments: np.ndarray | None = None,
    mask: np.ndarray | None = None,
) -> Any:
    """All outputs of an encoder: hidden states, the head's logits, the classes of a pair."""
    languages = segments if model.config.languages else None
    if model.config.segments <= 1:
        segments = None
    h = model.hidden(ids, segments, mask, languages)  # (B, T, D)
    outputs = [h, model.logits(h)]
    if mask is not None:  # the third token of one row is padding
        outputs = [h[:, :2], model.logits(h[:, :2])]
    if model.classifier is not None:
        outputs.append(model.pair_logits(h))
    return outputs


def encoder_call(name: str, rng: np.random.Generator) -> Any:
    """One call of encoder(); RoBERTa and BERT also with padding."""
    # ALBERT's two layers share their weights, so that gradients of both add up.
    model = small(name, rng, n_layer=2 if "albert" in name else 1)
    if name in ("bert-base-uncased", "roberta-base"):
        return call(model, IDS, SEGMENTS, MASK)
    return call(model, IDS, SEGMENTS)


for _name in (
    "bert-base-uncased",
    "roberta-base",
    "albert-base-v2",
    "electra-small",
    "distilbert-base-uncased",
    "xlm-15",
):
    register(
        f"models.Encoder({_name})",
        encoder,
        lambda rng, name=_name: [encoder_call(name, rng)],
        order=1,
        reason=ONCE,
        covers=(),
        source="book section 1.3",
    )
register(
    "models.Encoder(pre-norm)",
    encoder,
    lambda rng: [
        call(small("bert-base-uncased", rng, norm_placement="pre", n_layer=1), IDS, SEGMENTS)
    ],
    order=1,
    reason=ONCE,
    covers=(),
    source="book eq. 2.5",
)


def electra(rng: np.random.Generator) -> Any:
    """A pair with shared tables."""
    sizes = SIZES | dict(context=4, d_embed=3, n_layer=1, pooler=False)
    pair = [tiny("electra-base", **sizes), tiny("electra-base-generator", **sizes)]
    return ready(Electra(*pair, seed=int(rng.integers(99)), dtype=np.float64).eval())


register(
    "models.Electra",
    lambda model, ids: (model.generator(ids), model.discriminator(ids)),
    lambda rng: [call(electra(rng), IDS)],
    order=1,
    reason=ONCE,
    covers=(),
    source="Clark et al. 2020",
)
# D = 4, because of float32: after GELU three features are often nearly equal, and a layer norm
# divides by their small deviation, which enlarges rounding errors (its eps of 1e-12 is no help).
# With D = 3 one draw of twenty is off by 1.2e-5 or more, with 4 by 5e-6.
register(
    "models.SpanBoundaryHead",
    lambda head, *inputs: head(*inputs),
    lambda rng: [
        call(
            ready(SpanBoundaryHead(4, 4, Random(int(rng.integers(99))), 2, dtype=np.float64)),
            normal(rng, 2, 3, 4),
            np.array([[0], [1]]),
            np.array([[2], [2]]),
            np.array([[0], [1]]),
            normal(rng, 4, 4),
        )
    ],
    covers=(),
    source="Joshi et al. 2020",
)


def seq2seq_call(name: str, rng: np.random.Generator) -> Any:
    """Source and target of one Seq2Seq, the source with padding."""
    changes = dict(n_layer=1)
    if name == "t5-small":
        # ReLU has a kink wherever a hidden unit is near 0; the rest of T5 is the same with GELU.
        changes["activation"] = "gelu"
    return call(small(name, rng, **changes), IDS, IDS[:, :2], source_mask=MASK)


for _name in ("t5-small", "t5-v1.1-small", "bart-base", "mbart-large"):
    register(
        f"models.Seq2Seq({_name})",
        lambda model, *ids, **masks: model(*ids, **masks),
        lambda rng, name=_name: [seq2seq_call(name, rng)],
        order=1,
        reason=ONCE,
        covers=(),
        source="book section 1.2.3",
    )

ORDER = np.array([[2, 0, 1], [0, 2, 1]])
register(
    "models.XLNet",
    lambda model, ids, **options: model(ids, **options),
    lambda rng: [
        call(small("xlnet-base", rng, n_layer=1), IDS, order=ORDER, segments=SEGMENTS),
        call(small("xlnet-base", rng, n_layer=1), IDS, segments=SEGMENTS, mask=MASK),
    ],
    order=1,
    reason=ONCE,
    covers=(),
    source="Yang et al. 2019",
)


def relative(
    module: Module, content: Tensor, query: Tensor, order: np.ndarray, segments: np.ndarray | None
) -> Any:
    """Both streams of one attention."""
    (q, k, v), (g, _, _) = module.project(content), module.project(query)
    waves = relative_waves(3, 4, order, content.dtype)
    other = (segments[:, :, None] != segments[:, None])[:, None]  # (B, 1, T, T)
    see, strictly = (permutation_mask(order, strict)[:, None] for strict in (False, True))
    return module(q, k, v, waves, see, other), module(g, k, v, waves, strictly, other)


register(
    "nn.RelativeAttention",
    relative,
    lambda rng: [
        call(
            ready(RelativeAttention(4, 2, Random(int(rng.integers(99))), dtype=np.float64)),
            normal(rng, 2, 3, 4),
            normal(rng, 2, 3, 4),
            ORDER,
            SEGMENTS,
        )
    ],
    covers=(),
    source="Yang et al. 2019; Dai et al. 2019",
)

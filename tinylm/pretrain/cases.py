"""Gradient checks of the objectives: each loss on the smallest model that has its parts.

The real models are checked on the floor below; here a table of embeddings and a linear map take
their place. Batches are drawn once for a check.
"""

from typing import Any

import numpy as np

from tinylm.autograd import Tensor, linear, stack
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.backend import Random, device_of
from tinylm.models.early.cases import ready
from tinylm.models.encoder.heads import SpanBoundaryHead
from tinylm.nn import Embedding, Module
from tinylm.pretrain.discriminative import contrastive
from tinylm.pretrain.discriminative.replaced import detection_losses, fooling_loss
from tinylm.pretrain.objectives import OBJECTIVES, objective
from tinylm.pretrain.special import Special

SPECIAL = Special.after(4, sentinels=3, others=3)
TEXT = np.array([[0, 1, 2, 3, 1, 0], [3, 3, 0, 2, 1, 2]])
PAIRS = [(TEXT[0, :2], TEXT[0, 3:5]), (TEXT[1, :3], TEXT[1, 4:])]
# `needs` of the recipes: a corpus for negatives, word beginnings, sentence ends, translations.
MORE = dict(
    corpus=np.array([2, 0, 1, 1, 3, 2, 0, 3]),
    starts=np.arange(SPECIAL.vocab_size) != 1,
    ends=np.array([2]),
    dictionary=np.where(np.arange(SPECIAL.vocab_size) < 2, 3, -1)[:, None],
)


class Reader(Module):
    """All the parts that losses use: states that depend on every token of a row, and linear maps of
    them.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.tokens = Embedding(SPECIAL.vocab_size, 2, Random(0), dtype=np.float64)
        self.tokens.weight = weight(rng, SPECIAL.vocab_size, 2)
        self.out, self.pair = weight(rng, 2, SPECIAL.vocab_size), weight(rng, 2, 2)

    def hidden(self, ids: np.ndarray, mask: np.ndarray | None = None, **options: Any) -> Tensor:
        h = self.tokens(ids)
        return h + (h * h).mean(axis=1, keepdims=True)  # (B, T, 2)

    def logits(self, h: Tensor) -> Tensor:
        return linear(h, self.out)

    def pair_logits(self, h: Tensor) -> Tensor:
        return linear(h[:, 0], self.pair)

    def __call__(
        self,
        ids: np.ndarray,
        *decoder: np.ndarray,
        source_mask: np.ndarray | None = None,
        **options: Any,
    ) -> Tensor:
        h = self.hidden(ids)
        if decoder:  # as an encoder-decoder: the source enters by its mean
            h = self.tokens(decoder[0]) + h.mean(axis=1, keepdims=True)
        return self.logits(h)


class Pair(Module):
    """A generator and a discriminator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.generator, self.judge = Reader(rng), Reader(rng)

    def discriminator(self, ids: np.ndarray, **options: Any) -> Tensor:
        return self.judge.hidden(ids)[..., 0]


class Heads(Module):
    """Four predictions at every position, of one set of weights."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.reader = Reader(rng)

    def __call__(self, ids: np.ndarray) -> Any:
        logits = self.reader(ids)
        return stack([logits * scale for scale in (1.0, -1.0, 2.0, 0.5)], axis=2)  # (B, T, 4, V)


class Bounded(Reader):
    """A Reader with a span boundary head."""

    def __init__(self, rng: np.random.Generator) -> None:
        Reader.__init__(self, rng)
        own = Random(int(rng.integers(99)))
        self.boundary = ready(SpanBoundaryHead(2, SPECIAL.vocab_size, own, 3, dtype=np.float64))


MODELS = {"electra": Pair, "multi_token": Heads, "span_boundary": Bounded}  # Recipe.model -> class


def weight(rng: np.random.Generator, *shape: int) -> Tensor:
    """A parameter with normal entries."""
    return Tensor(normal(rng, *shape), requires_grad=True)


def loss_of(model: Any, made: Any, batch: Any) -> Tensor:
    """The loss, on the device of the model."""
    return made.loss(model, batch.to(device_of(model.parameters()[0].data)))[0]


def _draw(name):
    """A function of rng that gives the call to check: the loss of an objective on TEXT."""
    made = objective(name, SPECIAL, **MORE)
    model = MODELS.get(OBJECTIVES[name].model, Reader)

    def draw(rng):
        return [call(model(rng), made, made.make_batch(TEXT, Random(int(rng.integers(99)), name)))]

    return draw


def _paired(rng):
    """Two Readers of pairs of sentences, with CLIP's maps and temperature."""
    model = contrastive.PairedEncoders(Reader(rng), Reader(rng), (2, 2), 3, dtype=np.float64)
    # At CLIP's own 1 / 0.07 the largest of the scaled cosines decides alone, and other gradients
    # vanish.
    model.log_scale.data[...] = 0.7
    made = contrastive.PairEmbedding(SPECIAL, pool="mean")
    return call(model, made, made.make_batch(PAIRS))


# One objective for every loss function; the others differ in their batches only.
for _name in (
    "causal",
    "prefix",
    "multi-token",
    "masked",
    "span-boundary",
    "bert",
    "replaced",
    "contrastive",
    "mass",
    "sentinels",
):
    _source = OBJECTIVES[_name].section
    if _source[0].isdigit():  # of the book; others are papers
        _source = f"book section {_source}"
    register(f"pretrain.{_name}", loss_of, _draw(_name), covers=(), source=_source)

register(
    "pretrain.info_nce",
    contrastive.info_nce,
    lambda rng: [
        call(normal(rng, 3, 3)),
        call(normal(rng, 3, 3), symmetric=True),
        call(normal(rng, 2, 4), excluded=np.array([[0, 1, 0, 1], [0, 0, 1, 0]], bool)),
    ],
    covers=(),
    source="Oord et al. 2018; Radford et al. 2021",
)
register(
    "pretrain.cosines",
    contrastive.cosines,
    lambda rng: [
        call(normal(rng, 3, 2), normal(rng, 3, 2)),
        call(normal(rng, 3, 2), normal(rng, 3, 2), np.array(0.7)),
    ],
    covers=(),
    source="Gao et al. 2021",
)
register(
    "pretrain.clip_loss",
    contrastive.clip_loss,
    lambda rng: [call(normal(rng, 3, 2), normal(rng, 3, 2), np.array(0.7))],
    covers=(),
    source="Radford et al. 2021",
)
register(
    "pretrain.paired", loss_of, lambda rng: [_paired(rng)], covers=(), source="Radford et al. 2021"
)
register(
    "pretrain.bilinear_score",
    contrastive.bilinear_score,
    lambda rng: [call(normal(rng, 3, 2), normal(rng, 3, 2), normal(rng, 2, 2))],
    covers=(),
    source="book Table 1.1",
)
register(
    "pretrain.mean_pool",
    contrastive.mean_pool,
    lambda rng: [
        call(normal(rng, 2, 3, 2), mask=np.array([[True, True, False], [True, True, True]])),
        call(normal(rng, 2, 3, 2)),
    ],
    covers=(),
)
register(
    "pretrain.detection_losses",
    detection_losses,
    lambda rng: [call(normal(rng, 2, 3), np.array([[0, 1, 1], [1, 0, 0]]))],
    covers=(),
    source="Clark et al. 2020",
)
register(
    "pretrain.fooling_loss",
    lambda logits, **options: fooling_loss(logits, **options),
    lambda rng: [
        call(
            normal(rng, 2, 3, 4),
            tokens=np.array([[0, 3, 1], [2, 2, 0]]),
            rewards=rng.normal(size=(2, 3)),
            targets=np.array([[0, -100, 1], [2, 2, -100]]),
        )
    ],
    covers=(),
    source="Clark et al. 2020, appendix F",
)

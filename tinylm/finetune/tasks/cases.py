"""Gradient-check cases of the heads and their losses: the CRF, both readings of the span loss, and
each head on a tiny encoder.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.primitives.cases import normal
from tinylm.autograd.registry import call, register
from tinylm.backend import device_of
from tinylm.finetune.freezing import only
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification, MultipleChoice, Regression
from tinylm.finetune.tasks.crf import LinearChain, log_partition, path_score
from tinylm.finetune.tasks.grafted import Grafted
from tinylm.finetune.tasks.heads import Classifier, Regressor
from tinylm.finetune.tasks.spans import (
    SpanPrediction,
    SpanPredictor,
    binary_span_loss,
    softmax_span_loss,
)
from tinylm.finetune.tasks.tagging import Tagging, TokenClassifier
from tinylm.finetune.tasks.text_to_text import Answering
from tinylm.finetune.tasks.word_forms import CharacterCNN, PartVectors, WordForms
from tinylm.models.early.cases import ready
from tinylm.models.encoder.presets import build, tiny
from tinylm.nn.module import Module
from tinylm.pretrain.special import Special

SPECIAL = Special.after(4, sentinels=0)
INPUTS = EncoderInput(SPECIAL)
ONCE = "its parts are checked to second order one by one; whole, that would only take long"
# words of two sentences of 3 and 2 words; the last position is padding
HELD = np.array([[True, True, True], [True, True, False]])
SHORT, LONG = [0, 1], [3, 3, 2]  # two texts, so that a row is padded


def encoder(rng: np.random.Generator) -> Module:
    """The smallest BERT, frozen but for its first norm and its pooler.

    All other weights have entries of their own elsewhere.
    """
    sizes = dict(
        vocab_size=SPECIAL.vocab_size,
        n_layer=1,
        n_head=2,
        d_model=4,
        d_hidden=3,
        context=12,
        head=None,
        classes=0,
    )
    model = build(tiny("bert-base-uncased", **sizes), int(rng.integers(99)), dtype=np.float64)
    return only(ready(model), "embedding_norm.*", "pooler.*")


def grafted(rng: np.random.Generator) -> Module:
    """An encoder of width 4 under a decoder of width 6."""
    sizes = dict(
        vocab_size=SPECIAL.vocab_size,
        n_layer=1,
        n_head=2,
        d_model=6,
        d_hidden=3,
        context=6,
        start=SPECIAL.start,
    )
    return only(
        ready(Grafted(encoder(rng), tiny("bart-base", **sizes), "linear")),
        "encoder.embedding_norm.*",
        "adapter.*",
        "decoder.embedding_norm.*",
        "decoder.blocks.0.cross.out.*",
    )


def loss_of(model: Module, task: Any, examples: Sequence) -> Tensor:
    """The task's loss of a model, on any device."""
    device = device_of(model.parameters()[0].data)
    loss, _ = task.loss(model, task.make_batch(examples).to(device))
    return loss


TAGGED = [(SHORT, "ab"), (LONG, "bba")]
# name: (head on an encoder, task, examples)
HEADS = {
    "Classification": (
        lambda e: Classifier(e, 3, "mean"),
        Classification(INPUTS),
        [(SHORT, 2), ((LONG, SHORT), 0)],
    ),
    "Classification(pooler)": (
        lambda e: Classifier(e, 2, "pooler"),
        Classification(INPUTS),
        [(SHORT, 1)],
    ),
    "MultipleChoice": (
        lambda e: Classifier(e, 1),
        MultipleChoice(INPUTS),
        [((SHORT, [LONG, SHORT]), 1)],
    ),
    "Regression": (Regressor, Regression(INPUTS), [(SHORT, 0.25), ((LONG, SHORT), 0.5)]),
    "Tagging": (lambda e: TokenClassifier(e, 2), Tagging(INPUTS, ("a", "b")), TAGGED),
    "Tagging(crf)": (
        lambda e: TokenClassifier(e, 2, crf=True),
        Tagging(INPUTS, ("a", "b")),
        TAGGED,
    ),
    "SpanPrediction": (
        SpanPredictor,
        SpanPrediction(INPUTS),
        [((SHORT, LONG), (0, 1)), ((LONG, SHORT), None)],
    ),
    "SpanPrediction(binary)": (
        SpanPredictor,
        SpanPrediction(INPUTS, "binary"),
        [((SHORT, LONG), (0, 1))],
    ),
}
for _name, (_head, _task, _examples) in HEADS.items():
    register(
        f"finetune.{_name}",
        loss_of,
        lambda rng, head=_head, task=_task, examples=_examples: [
            call(ready(head(encoder(rng)).eval()), task, examples)
        ],
        order=1,
        reason=ONCE,
        covers=(),
        source="book section 1.4",
    )
# sources of different lengths are padded; a target is the other text
register(
    "finetune.Grafted",
    loss_of,
    lambda rng: [
        call(grafted(rng).eval(), Answering(SPECIAL, framed=True), [(SHORT, LONG), (LONG, SHORT)])
    ],
    order=1,
    reason=ONCE,
    covers=(),
    source="book section 1.4.6",
)


FORMS = WordForms.of(("dab", "bad"), least=1)


def form(kind: Callable) -> Callable:
    """A module that reads the form of words, with drawn weights."""
    return lambda rng: ready(kind(FORMS, 2, int(rng.integers(99)), dtype=np.float64))


# A sentence of one word and one of two, so that a row is padded and a word is shorter than another.
# Small filters: at few places is their largest value one of two.
for _name, _new in {
    "PartVectors": form(PartVectors),
    "CharacterCNN": form(lambda *sizes, dtype: CharacterCNN(*sizes, 2, 2, dtype=dtype)),
}.items():
    register(
        f"finetune.{_name}",
        lambda model, parts, characters: model(parts, characters),
        lambda rng, new=_new: [call(new(rng), *FORMS.batch([["bad"], ["a", "dab"]], 2))],
        covers=(),
        source="Huang et al. 2015; Ma & Hovy 2016",
    )


def chain(rng: np.random.Generator, K: int) -> LinearChain:
    """A CRF with drawn weights."""
    model = LinearChain(K, np.float64)
    for p in model.parameters():
        p.data[...] = rng.normal(size=p.shape)
    return model


# tags of the words of HELD; -100 (IGNORE) in the padding
GOLD = np.array([[0, 2, 1], [1, 1, -100]])
register(
    "finetune.log_partition",
    log_partition,
    lambda rng: [
        call(normal(rng, 2, 3, 2), normal(rng, 2, 2), normal(rng, 2), normal(rng, 2), held=HELD),
        call(normal(rng, 1, 1, 2), normal(rng, 2, 2), normal(rng, 2), normal(rng, 2)),
    ],
    covers=(),
    source="Lafferty et al. 2001",
)
register(
    "finetune.path_score",
    lambda *scores, tags, held: path_score(scores[0], tags, *scores[1:], held),
    lambda rng: [
        call(
            normal(rng, 2, 3, 3),
            normal(rng, 3, 3),
            normal(rng, 3),
            normal(rng, 3),
            tags=GOLD,
            held=HELD,
        )
    ],
    covers=(),
    source="Lafferty et al. 2001",
)
register(
    "finetune.LinearChain",
    lambda model, e, tags, held: model(e, tags, held),
    lambda rng: [call(chain(rng, 3), normal(rng, 2, 3, 3), GOLD, HELD)],
    covers=(),
    source="Lafferty et al. 2001",
)
# a gold span within the words; and a row without an answer, IGNORE twice
for _loss in (softmax_span_loss, binary_span_loss):
    register(
        f"finetune.{_loss.__name__}",
        _loss,
        lambda rng: [
            call(normal(rng, 2, 3, 2), np.array([[0, 2], [1, 1]]), HELD),
            call(normal(rng, 2, 3, 2), np.array([[-100, -100], [0, 1]]), HELD),
        ],
        covers=(),
        source="book eq. 1.24",
    )

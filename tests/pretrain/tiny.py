"""Real models of every kind in the smallest sizes, and a batch of every objective for them."""

import numpy as np

from tinylm.backend import Random
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.gpt import GPT
from tinylm.models.early.cases import ready
from tinylm.models.encoder.encoder import Electra
from tinylm.models.encoder.heads import SpanBoundaryHead
from tinylm.models.encoder.presets import build, tiny
from tinylm.pretrain.cases import MORE, PAIRS, SPECIAL, TEXT
from tinylm.pretrain.language.multi_token import MultiTokenHeads
from tinylm.pretrain.objectives import OBJECTIVES, objective

SIZES = dict(vocab_size=SPECIAL.vocab_size, n_layer=1, n_head=2, d_model=4, d_hidden=3)


def encoder(seed=0, **changes):
    """A BERT that tells two classes and two languages."""
    sizes = SIZES | dict(context=14, languages=2, classes=2, dropout=0.0) | changes
    return ready(build(tiny("bert-base-uncased", **sizes), seed, dtype=np.float64).eval())


def bounded(seed=0):
    """An encoder with a span boundary head."""
    model = encoder(seed, languages=0)
    model.boundary = ready(SpanBoundaryHead(4, SPECIAL.vocab_size, Random(seed), dtype=np.float64))
    return model


def electra(seed=0):
    """A pair with shared tables."""
    sizes = SIZES | dict(context=14, d_embed=3, pooler=False)
    pair = [tiny(name, **sizes) for name in ("electra-base", "electra-base-generator")]
    return ready(Electra(*pair, seed, np.float64).eval())


def decoder(seed=0, **changes):
    """A GPT."""
    return ready(
        GPT(GPTConfig(**SIZES | dict(context=14, dropout=0.0) | changes), seed, np.float64).eval()
    )


def seq2seq(seed=0):
    """A BART."""
    return ready(build(tiny("bart-base", **SIZES), seed, dtype=np.float64).eval())


def xlnet(seed=0):
    """An XLNet."""
    return ready(build(tiny("xlnet-base", **SIZES), seed, dtype=np.float64).eval())


MODELS = {
    "replaced": electra,
    "span-boundary": bounded,
    "permuted": xlnet,
    "causal": decoder,
    "fim": decoder,
    "translation": encoder,
    "multi-token": lambda seed=0: ready(MultiTokenHeads(decoder(seed), 4, 1).eval()),
}


def model_for(name, seed=0):
    """A model that the objective of this name trains."""
    if name in MODELS:
        return MODELS[name](seed)
    if OBJECTIVES[name].trains == ("seq2seq",) or name in ("mass", "bert-style"):
        return seq2seq(seed)
    return encoder(seed, languages=0)


def text_for(name, rows=None):
    """What the objective of this name reads."""
    if name == "translation":
        return PAIRS[:rows]
    return TEXT[:rows]


def made(name):
    """The objective of this name for the small vocabulary."""
    return objective(name, SPECIAL, **MORE)

"""The families of encoders and encoder-decoders, each as its differences from BERT-base, BART-base
and XLNet-base (book sections 1.2, 1.3).

Each encoder has the head it was trained with, so that its count is that of the whole pre-trained
model; what is published is often the count without heads (`preset(name, head=None, classes=0)`:
109,482,240 for BERT-base). Sizes are recalled from the published configurations; tests hold the
counts against Hugging Face's classes. Read next: encoder.py, seq2seq.py, xlnet.py, which read these
words.
"""

import dataclasses
import difflib
from typing import Any

from tinylm.backend import DType
from tinylm.errors import ConfigError
from tinylm.models.encoder.encoder import Electra, Encoder, EncoderConfig
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig
from tinylm.models.encoder.xlnet import XLNet, XLNetConfig
from tinylm.nn.module import Module

# fmt: off
# What the families have in common, as differences from the defaults.
ROBERTA = dict(vocab_size=50265, segments=1, first_position=2, norm_eps=1e-5)           # no second sentence: no NSP
XLMR = ROBERTA | dict(vocab_size=250002)
ALBERT = dict(vocab_size=30000, d_embed=128, layer_groups=1, activation="gelu_tanh", dropout=0.0, classes=2)   # classes: SOP
ELECTRA = dict(pooler=False, head="replaced")
GENERATOR = dict(pooler=False, head="token")
DISTIL = dict(n_layer=6, segments=0, pooler=False)
XLM = dict(segments=0, pooler=False, head="token_plain")
T5 = dict(vocab_size=32128, context=None, norm="rms", norm_placement="pre", norm_eps=1e-6, embedding_norm=False, activation="relu",
          positions="t5", bias=False, attention_scale=1.0, embedding_std=1.0)
T511 = T5 | dict(activation="geglu_tanh", tied=False)
BART = dict(first_position=2, start=2)
MBART = BART | dict(vocab_size=250027, norm_placement="pre")
# fmt: on


def _sizes(n_layer, d_model, n_head, d_hidden=None, **others):
    return dict(n_layer=n_layer, d_model=d_model, n_head=n_head, d_hidden=d_hidden) | others


def _t5(*sizes, **others):
    fields = T5 | _sizes(*sizes) | others
    # The tied table has entries of size 1: a product with it grows with sqrt(D).
    return fields | dict(logit_scale=fields["d_model"] ** -0.5)


def _mbart(*sizes):
    fields = MBART | _sizes(*sizes)
    return fields | dict(embedding_scale=fields["d_model"] ** 0.5)


# fmt: off
#                                                             L     D     H     F
ENCODERS = {
    "bert-base-uncased": dict(classes=2),                                               # classes: NSP
    "bert-large-uncased": dict(classes=2) | _sizes(          24, 1024,   16),
    "bert-base-multilingual": dict(vocab_size=119547, classes=2),
    "minilm-l6": dict(head=None) | _sizes(                    6,  384,   12),
    "roberta-base": ROBERTA | dict(pooler=False),
    "roberta-large": ROBERTA | dict(pooler=False) | _sizes(  24, 1024,   16),
    "xlm-roberta-base": XLMR | dict(pooler=False),
    "xlm-roberta-large": XLMR | dict(pooler=False) | _sizes( 24, 1024,   16),
    "xlm-15": XLM | dict(vocab_size=95000, languages=15) | _sizes(12, 1024, 8),
    "spanbert-base": dict(vocab_size=28996),
    "spanbert-large": dict(vocab_size=28996) | _sizes(       24, 1024,   16),
    "distilbert-base-uncased": DISTIL,
    "albert-base-v2": ALBERT,
    "albert-large-v2": ALBERT | _sizes(                      24, 1024,   16),
    "albert-xlarge-v2": ALBERT | _sizes(                     24, 2048,   16),
    "albert-xxlarge-v2": ALBERT | _sizes(                    12, 4096,   64),
    "electra-small": ELECTRA | _sizes(                       12,  256,    4, d_embed=128),
    "electra-base": ELECTRA,
    "electra-large": ELECTRA | _sizes(                       24, 1024,   16),
    "electra-base-generator": GENERATOR | _sizes(            12,  256,    4, d_embed=768),
    "electra-large-generator": GENERATOR | _sizes(           24,  256,    4, d_embed=1024),
}
SEQ2SEQS = {
    "t5-small": _t5(                                          6,  512,    8,  2048, head_width=64),
    "t5-base": _t5(                                          12,  768,   12,  3072),
    "t5-large": _t5(                                         24, 1024,   16,  4096),
    "t5-3b": _t5(                                            24, 1024,   32, 16384, head_width=128),
    "t5-11b": _t5(                                           24, 1024,  128, 65536, head_width=128),
    "t5-v1.1-small": T511 | _sizes(                           8,  512,    6,  1024, head_width=64),
    "t5-v1.1-base": T511 | _sizes(                           12,  768,   12,  2048),
    "t5-v1.1-xxl": T511 | _sizes(                            24, 4096,   64, 10240),
    "bart-base": BART,
    "bart-large": BART | _sizes(                             12, 1024,   16),
    "mbart-large": _mbart(                                   12, 1024,   16),
    "mass-base": dict(vocab_size=60000, context=512) | _sizes(6, 1024,    8),
}
XLNETS = {
    "xlnet-base": {},
    "xlnet-large": _sizes(                                   24, 1024,   16),
}
ENCODER_FAMILIES = {**ENCODERS, **SEQ2SEQS, **XLNETS}

# The generators that discriminators were trained with.
ELECTRA_PAIRS = {"electra-base": "electra-base-generator", "electra-large": "electra-large-generator"}

NOTES = {
    "bert-base-uncased": "pooler and next-sentence classifier; 109,482,240 without heads",
    "bert": "pooler and next-sentence classifier",
    "roberta": "no pooler and no second segment; positions start at row 2",
    "xlm-roberta": "RoBERTa with 250,002 pieces for 100 languages",
    "xlm-15": "an embedding for each language; predicts by the bare embedding table",
    "spanbert": "BERT's parts; what differs is the objective (encoder_heads.SpanBoundaryHead)",
    "distilbert": "half the layers of BERT, no segments, no pooler; see encoder.distilled",
    "albert": "all layers share one set of weights; embeddings of width 128",
    "electra": "finds replaced tokens; narrow embeddings in the small one",
    "t5-v1.1": "gated feed-forward, output weights of their own",
    "t5": "RMS pre-norm, relative bias shared by all layers, no scaling of scores, no biases",
    "minilm": "a small BERT trained to put sentences of one meaning close together; tinylm embed uses it",
    "bart": "post-norm, an embedding norm on each side, positions from row 2",
    "mbart": "BART with pre-norm and scaled embeddings, 25 languages",
    "mass": "sizes of the paper (section 4.1); its heads and positions from its code",
    "xlnet": "two streams, relative positions and segments",
}
# fmt: on


def preset(name: str, **changes: Any) -> Any:
    """The configuration of a published model: EncoderConfig, Seq2SeqConfig or XLNetConfig.

    name      of ENCODER_FAMILIES, such as "roberta-base"
    changes   fields of the configuration to set otherwise
    raises    ConfigError naming the near ones
    """
    if name not in ENCODER_FAMILIES:
        near = difflib.get_close_matches(name, ENCODER_FAMILIES, n=4, cutoff=0.4)
        hint = f"there are {', '.join(ENCODER_FAMILIES)}"
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        raise ConfigError(f"no model {name!r}: {hint}")
    fields = ENCODER_FAMILIES[name] | changes
    if name in ENCODERS:
        return EncoderConfig(**fields)
    if name in SEQ2SEQS:
        return Seq2SeqConfig(**fields)
    return XLNetConfig(**fields)


def build(
    config: EncoderConfig | Seq2SeqConfig | XLNetConfig, seed: int | None = 0, **options: DType
) -> Module:
    """The model of a configuration of any of the three kinds.

    seed     None: the weights are placeholders, to be replaced by published ones
    options  dtype
    """
    kind = {EncoderConfig: Encoder, Seq2SeqConfig: Seq2Seq, XLNetConfig: XLNet}[type(config)]
    return kind(config, seed, **options)


def electra_pair(name: str, seed: int = 0, **changes: Any) -> Electra:
    """Discriminator and generator with shared tables.

    name     of ELECTRA_PAIRS;  changes as in preset, to both
    returns  Electra
    """
    if name not in ELECTRA_PAIRS:
        raise ConfigError(f"electra_pair: no pair {name!r}; there are {', '.join(ELECTRA_PAIRS)}")
    return Electra(preset(name, **changes), preset(ELECTRA_PAIRS[name], **changes), seed)


def tiny(name: str, **changes: Any) -> Any:
    """A model of the same parts in sizes for tests: 3,000 to 15,000 parameters.

    name, changes  as in preset
    returns        configuration. Fields that the family leaves unset stay so
    """
    c = preset(name)
    sizes = dict(vocab_size=31, n_layer=2, n_head=4, d_model=16, d_hidden=24)
    if isinstance(c, EncoderConfig):
        sizes |= dict(context=16, d_embed=c.d_embed and 6, languages=min(c.languages, 3))
    if isinstance(c, Seq2SeqConfig):
        sizes |= dict(context=c.context and 16, head_width=c.head_width and 6)
        sizes |= dict(buckets=6, max_distance=8)
        if c.embedding_scale != 1:
            sizes["embedding_scale"] = 4.0  # sqrt(D)
        if c.logit_scale != 1:
            sizes["logit_scale"] = 0.25  # 1 / sqrt(D)
    return dataclasses.replace(c, **sizes | changes)


def note(name: str) -> str:
    """A remark on a preset, or ""."""
    return next((text for start, text in NOTES.items() if name.startswith(start)), "")

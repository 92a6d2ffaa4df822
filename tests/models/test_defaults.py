"""What a model is when nothing is said: the published sizes, the seed 0, and settings that stay."""

import dataclasses
import inspect

import numpy as np
import pytest

from tinylm.models import GPT, GPTConfig
from tinylm.models.early.glove import GloVe
from tinylm.models.early.nplm import FeedForwardNGramLM
from tinylm.models.early.recurrent import RecurrentConfig, RecurrentLM
from tinylm.models.early.word2vec import CBOW, SkipGram, noise_distribution, subsample
from tinylm.models.encoder.encoder import Electra, Encoder, EncoderConfig, distilled
from tinylm.models.encoder.heads import SpanBoundaryHead, TokenHead
from tinylm.models.encoder.presets import build, electra_pair, tiny
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig
from tinylm.models.encoder.xlnet import XLNet, XLNetConfig
from tinylm.models.low_bit.fixedpoint import to_fixed
from tinylm.pretrain.discriminative.contrastive import PairedEncoders

NO_EXTRAS = dict(head_width=None, d_hidden=None)
# fmt: off
# Devlin et al. 2019 (BERT-base, uncased), Lewis et al. 2020 (BART-base, whose decoder scores by the
# embedding table), Yang et al. 2019 (XLNet-base), Radford et al. 2019 (GPT-2 of 124 million).
CONFIGURATIONS = {
    EncoderConfig: dict(
        vocab_size=30522, context=512, n_layer=12, n_head=12, d_model=768, d_hidden=None,
        d_embed=None, segments=2, languages=0, positions="learned", rope_base=10000.0,
        first_position=0, layer_groups=None,
        norm_placement="post", activation="gelu", head_activation=None, norm_eps=1e-12,
        pooler=True, classes=0, head="token", dropout=0.1),
    Seq2SeqConfig: NO_EXTRAS | dict(
        vocab_size=50265, context=1024, n_layer=6, n_decoder_layer=None, n_head=12, d_model=768,
        norm="layer", norm_placement="post", norm_eps=1e-5, embedding_norm=True, activation="gelu",
        positions="learned", first_position=0, bias=True, attention_scale=None,
        buckets=32, max_distance=128,  # of T5's bias: Raffel et al. 2020
        embedding_scale=1.0, logit_scale=1.0, embedding_std=0.02, tied=True, start=0, dropout=0.1),
    XLNetConfig: dict(
        vocab_size=32000, n_layer=12, n_head=12, d_model=768, d_hidden=None, segments=True,
        activation="gelu", norm_eps=1e-12, dropout=0.1),
    GPTConfig: NO_EXTRAS | dict(
        context=1024, n_layer=12, n_head=12, d_model=768, n_kv_head=None, norm="layer",
        norm_placement="pre", activation="gelu_tanh", positions="learned", rope_base=10000.0,
        bias=True, tied=True, dropout=0.0, qkv_bias=None, mlp_bias=None, norm_bias=None,
        norm_eps=None, rope_scaling=None, rotary_width=None, rotation=("rope",), qk_norm=None,
        embedding_scale=1.0, embedding_norm=False, attention=("full",), window=None,
        attention_scale=None, kv_sharing=1, segment_memory=0, scale_by_layer=False,
        attention_cap=None, logit_cap=None, feed_forward=("dense",), experts=0,
        experts_per_token=2, gates="probability", capacity_factor=None),
    RecurrentConfig: dict(
        d_model=128, n_layer=1, cell="lstm", d_state=16, tied=True, context=None),
}
# fmt: on


@pytest.mark.parametrize("cls", CONFIGURATIONS, ids=lambda cls: cls.__name__)
def test_a_configuration_without_words_is_the_published_one(cls):
    expected = CONFIGURATIONS[cls]
    found = {field.name: field.default for field in dataclasses.fields(cls)}
    assert {name: found[name] for name in expected} == expected
    left = found.keys() - expected.keys()
    assert all(found[name] is dataclasses.MISSING for name in left)  # the vocabulary of a decoder


@pytest.mark.parametrize("cls", CONFIGURATIONS, ids=lambda cls: cls.__name__)
def test_a_configuration_cannot_be_changed_after_its_checks(cls):
    with pytest.raises(dataclasses.FrozenInstanceError):
        cls(vocab_size=9).n_layer = 0


SEEDED = [
    Encoder,
    Seq2Seq,
    XLNet,
    GPT,
    Electra,
    RecurrentLM,
    FeedForwardNGramLM,
    SkipGram,
    CBOW,
    GloVe,
    distilled,
    build,
    electra_pair,
    PairedEncoders,
]


@pytest.mark.parametrize("made", SEEDED, ids=lambda made: made.__name__)
def test_a_model_without_a_seed_is_that_of_seed_0(made):
    assert inspect.signature(made).parameters["seed"].default == 0


# Mikolov et al. 2013b: noise ~ count^(3/4), frequent words thinned out from 10^-5 on. Pennington et
# al. 2014: counts from 100 on weigh alike, below them as (X / 100)^(3/4). Joshi et al. 2020: spans
# of at most ten tokens. BERT's layer norms add 10^-12.
OTHERS = [
    (noise_distribution, {"power": 0.75}),
    (subsample, {"threshold": 1e-5}),
    (GloVe.loss, {"most": 100.0, "power": 0.75}),
    (SpanBoundaryHead, {"longest": 10, "eps": 1e-12}),
    (TokenHead, {"activation": "gelu", "eps": 1e-12, "plain": False}),
    (FeedForwardNGramLM, {"direct": True}),  # Bengio et al. 2003: W not 0 by default
    (to_fixed, {"bits": 8, "axis": None}),
]


@pytest.mark.parametrize(
    "made, expected", OTHERS, ids=lambda value: getattr(value, "__qualname__", "")
)
def test_defaults_are_those_of_the_papers(made, expected):
    parameters = inspect.signature(made).parameters
    assert {name: parameters[name].default for name in expected} == expected


def in_training(name):
    """A small model that drops half of what it computes, and what makes it read a text."""
    ids = np.array([[3, 1, 4, 1, 5]])
    if name == "gpt":
        config = GPTConfig(vocab_size=9, context=8, n_layer=2, n_head=2, d_model=8, dropout=0.5)
        model = GPT(config)
    else:
        model = build(tiny(name, dropout=0.5))
    if isinstance(model, Seq2Seq):
        return model, lambda: model(ids, ids).numpy()
    if isinstance(model, XLNet):
        return model, lambda: model.hidden(ids).numpy()
    return model, lambda: model(ids).numpy()


@pytest.mark.parametrize(
    "name", ["gpt", "bert-base-uncased", "bart-base", "t5-small", "xlnet-base"]
)
def test_dropout_of_all_parts_is_drawn_from_one_stream_of_the_model(name):
    """Set back to its beginning, the stream drops the same numbers: no part draws from another."""
    model, read = in_training(name)
    model.rng.counter = 0
    first, second = read(), read()
    assert (first != second).any()
    model.rng.counter = 0
    np.testing.assert_array_equal(read(), first)


@pytest.mark.parametrize("cls", [EncoderConfig, Seq2SeqConfig, XLNetConfig, GPTConfig])
def test_without_a_seed_nothing_is_drawn_and_dropout_has_the_stream_of_seed_0(cls):
    config = cls(vocab_size=9, n_layer=1, n_head=2, d_model=8)
    made = GPT if cls is GPTConfig else build
    assert made(config, None).rng.key == made(config, 0).rng.key != made(config, 1).rng.key

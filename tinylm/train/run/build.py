"""The model of a run: from a TrainConfig and the special ids of its vocabulary to a model with the
heads that its objective needs.

    gpt, multi_token    GPT; with heads for the tokens further ahead
    encoder             Encoder; for pairs of sentences with a pooler and two classes
    span_boundary       Encoder with one more head
    electra, xlnet      Electra, XLNet
    seq2seq             Seq2Seq

Which of them an objective trains is `model` of its Recipe (pretrain/objectives.py). Read next:
models/decoder/gpt.py.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.models import GPT
from tinylm.models.encoder.encoder import Electra, Encoder, EncoderConfig
from tinylm.models.encoder.heads import SpanBoundaryHead
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig
from tinylm.models.encoder.xlnet import XLNet, XLNetConfig
from tinylm.nn.linear import fit_to_width
from tinylm.nn.module import Module
from tinylm.pretrain.language.multi_token import MultiTokenHeads
from tinylm.pretrain.objectives import AHEAD
from tinylm.pretrain.special import Special

if TYPE_CHECKING:
    from tinylm.train.run.config import TrainConfig


SHARED = "n_layer", "n_head", "d_model", "d_hidden", "activation", "dropout"  # of every model


def new_model(config: "TrainConfig", special: Special) -> Module:
    """The model of a run, freshly initialized from the configuration's seed.

    config   TrainConfig
    special  Special of its vocabulary, config.special(words)
    returns  Module
    """
    model = BUILDERS[config.recipe.model](config, special, config.weights_dtype)
    if isinstance(model, Encoder | Electra | XLNet) or (_has_gpt(model) and config.init == "width"):
        # An initial spread of 0.02 is meant for 768 columns; narrower stacks start wider.
        return fit_to_width(model, config.d_model)
    return model


def _has_gpt(model):
    return isinstance(model, GPT | MultiTokenHeads)


def _gpt(config, special, dtype):
    return GPT(config.model(special.vocab_size), config.seed, dtype)


def _multi_token(config, special, dtype):
    return MultiTokenHeads(_gpt(config, special, dtype), AHEAD, config.seed)


def _encoder(config, special, dtype):
    return Encoder(encoder_config(config, special), config.seed, dtype)


def _span_boundary(config, special, dtype):
    model = _encoder(config, special, dtype)
    rng = Random(config.seed, "init", "boundary")
    model.boundary = SpanBoundaryHead(config.d_model, special.vocab_size, rng, dtype=dtype)
    return model


def _electra(config, special, dtype):
    shape = encoder_config(config, special)
    discriminator = dataclasses.replace(shape, head="replaced")
    return Electra(discriminator, generator_config(shape), config.seed, dtype)


def _xlnet(config, special, dtype):
    shape = XLNetConfig(special.vocab_size, segments=False, **_shared(config))
    return XLNet(shape, config.seed, dtype)


def _seq2seq(config, special, dtype):
    return Seq2Seq(seq2seq_config(config, special), config.seed, dtype)


BUILDERS = {
    "gpt": _gpt,
    "multi_token": _multi_token,
    "encoder": _encoder,
    "span_boundary": _span_boundary,
    "electra": _electra,
    "xlnet": _xlnet,
    "seq2seq": _seq2seq,
}


def _shared(config):
    return {field: getattr(config, field) for field in SHARED}


def encoder_config(config: "TrainConfig", special: Special) -> EncoderConfig:
    """The EncoderConfig of a run: positions for `context` tokens and the marks around them, and the
    heads that the objective needs.
    """
    recipe, shape = config.recipe, _shared(config)
    shape["dropout"] = config.dropout or recipe.dropout  # contrastive needs some
    two = 2 if recipe.paired else 0  # segments, and classes of the pair
    return EncoderConfig(
        special.vocab_size,
        config.context + recipe.marks,
        segments=two,
        languages=2 if recipe.pairs else 0,
        norm_placement=config.norm_placement,
        pooler=recipe.paired,
        classes=two,
        head="token" if recipe.token_head else None,
        positions=config.positions,
        rope_base=config.rope_base,
        **shape,
    )


def generator_config(discriminator: EncoderConfig) -> EncoderConfig:
    """The EncoderConfig of ELECTRA's generator: a quarter of the discriminator's heads, and so of
    its width; embeddings as wide as the discriminator's   (Clark et al. 2020, section 3.2).
    """
    c = discriminator
    heads = max(1, c.n_head // 4)
    d_hidden = c.d_hidden
    if d_hidden:
        d_hidden = max(1, d_hidden * heads // c.n_head)
    return dataclasses.replace(
        c,
        n_head=heads,
        d_model=c.d_model // c.n_head * heads,  # heads keep their width
        d_embed=c.d_model,
        head="token",
        d_hidden=d_hidden,
    )


def seq2seq_config(config: "TrainConfig", special: Special) -> Seq2SeqConfig:
    """The Seq2SeqConfig of a run."""
    return Seq2SeqConfig(
        special.vocab_size,
        # Corruptions may lengthen a row: at most a [MASK] for a span of no token before each token.
        2 * config.context + 4,
        positions=config.positions,
        norm=config.norm,
        norm_placement=config.norm_placement,
        embedding_norm=config.norm_placement == "post",
        bias=config.bias,
        tied=config.tied,
        start=special.start,
        **_shared(config),
    )


def decoder_of(model: Module, config: "TrainConfig", words: int) -> Any:
    """The GPT in the model of a run, for continuing plain text: without heads for tokens further
    ahead, and without special ids.

    model    of load_run
    config   its TrainConfig
    words    ids of the tokenizer. Special ids follow them, and their rows are cut off: the softmax
             over the rest is Pr(token | it is a word)
    returns  GPT
    raises   ConfigError naming what can be done instead, if the run has no decoder
    """
    model = getattr(model, "model", model)
    if not isinstance(model, GPT):
        raise ConfigError(
            f"the run was trained with objective {config.objective}: "
            f"{_why_no_decoder(model, config)}; in Python, tinylm.train.load_run opens it. "
            "To continue texts, train with objective causal"
        )
    if not config.recipe.own_ids or model.config.vocab_size == words:
        return model
    cut = GPT(dataclasses.replace(model.config, vocab_size=words), dtype=model.tokens.weight.dtype)
    state = model.state_dict()
    state["tokens.weight"] = state["tokens.weight"][:words]  # (V, D) -> (words, D)
    if "head" in state:
        state["head"] = state["head"][:, :words]  # (D, V) -> (D, words)
    cut.load_state_dict(state)
    return cut.train(model.training)


def _why_no_decoder(model, config):
    """What such a model does instead, and the command for it."""
    if isinstance(model, Seq2Seq) and config.recipe.writes:
        return 'an encoder-decoder writes its answer to a text: `tinylm generate RUN "..."`'
    if config.recipe.fills:
        return (
            "it predicts hidden tokens and cannot continue a text: "
            '`tinylm fill RUN "... [MASK] ..."` shows its guesses, and `tinylm classify RUN --data '
            "FILE` trains it to label texts"
        )
    if config.recipe.shifted:
        why = "its prefix is read in both directions, which no decoding here does"
    else:
        why = "an encoder predicts no next token"
    return f"{why}; `tinylm eval` scores it, and `tinylm train` ends with examples"

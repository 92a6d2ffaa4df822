"""From a configuration and its family to what is trained: the objective, and the model with its
heads.

Read next: rows.py.
"""

import dataclasses

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.models import GPT
from tinylm.models.encoder.encoder import Electra, Encoder, EncoderConfig
from tinylm.models.encoder.heads import SpanBoundaryHead
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig
from tinylm.models.encoder.xlnet import XLNet, XLNetConfig
from tinylm.nn.linear import fit_to_width
from tinylm.pretrain.denoising.seq2seq import Seq2SeqLM
from tinylm.pretrain.language.multi_token import MultiTokenHeads
from tinylm.pretrain.language.prefix import prefix_split
from tinylm.pretrain.objectives import OBJECTIVES, SEQ2SEQ, objective
from tinylm.train.run.families import AHEAD, CONTRAST, PAIRED
from tinylm.train.run.words import dictionary_table, sentence_ends, word_starts


def new_objective(family, tokenizer, corpus=None, dictionary=None):
    """The objective of a family.

    corpus      (N,) ids of the training text, where negatives are drawn from
    dictionary  {word: [translations]}, for code-switching
    returns     make_batch(sequences, rng), loss(model, batch)
    raises      ConfigError for a text that lacks what the objective works on
    """
    special, name = family.special, family.name
    if name == "causal" and family.architecture == SEQ2SEQ:
        return Seq2SeqLM(special, say_all)
    needs, more = OBJECTIVES[name].needs, {"corpus": corpus}
    if "starts" in needs:
        more["starts"] = word_starts(tokenizer, special.vocab_size)
    if "ends" in needs:
        more["ends"] = sentence_ends(tokenizer)
        if name == "sentence-permutation" and not len(more["ends"]):
            raise ConfigError(
                "objective sentence-permutation: no token of the vocabulary ends in . ! or ?, so there are no "
                "sentences: use another tokenizer or objective"
            )
    if "dictionary" in needs:
        more["dictionary"] = dictionary_table(dictionary, tokenizer, special.vocab_size)
    return objective(name, special, **more)


def say_all(ids, draws):
    """A task for an encoder-decoder: nothing is read (but [CLS]), everything is said: language
    modeling by the decoder.
    """
    return prefix_split(ids, 0)


def new_model(config, family):
    """The model of a family in the sizes of a TrainConfig, freshly initialized from its seed."""
    name, dtype = family.name, np.dtype(config.dtype).type
    if family.architecture == SEQ2SEQ:
        return Seq2Seq(seq2seq_config(config, family.special), config.seed, dtype)
    if family.shifted and name != "prefix":
        model = GPT(config.model(family.special.vocab_size), config.seed, dtype)
        if name == "multi-token":
            return MultiTokenHeads(model, AHEAD, config.seed)
        return model
    return fit_to_width(new_encoder(config, family, dtype), config.d_model)


def new_encoder(config, family, dtype):
    """The encoder of a family, as its class initializes it."""
    name, shape = family.name, encoder_config(config, family)
    if name == "permuted":
        return XLNet(
            XLNetConfig(family.special.vocab_size, segments=False, **_shared(config)),
            config.seed,
            dtype,
        )
    if name == "replaced":
        return Electra(
            dataclasses.replace(shape, head="replaced"), generator_config(shape), config.seed, dtype
        )
    model = Encoder(shape, config.seed, dtype)
    if name == "span-boundary":
        model.boundary = SpanBoundaryHead(
            config.d_model, shape.vocab_size, Random(config.seed, "init", "boundary"), dtype=dtype
        )
    return model


def _shared(config):
    return {
        field: getattr(config, field)
        for field in ("n_layer", "n_head", "d_model", "d_hidden", "activation", "dropout")
    }


def encoder_config(config, family):
    """The EncoderConfig of a family: room for [CLS] and [SEP] around `context` tokens, and the
    heads its objective needs.
    """
    name, paired = family.name, family.name in PAIRED
    marks = 0 if name == "prefix" else 3 if paired or family.pairs else 1
    shape = _shared(config)
    if name == "contrastive":
        shape["dropout"] = config.dropout or CONTRAST
    return EncoderConfig(
        family.special.vocab_size,
        config.context + marks,
        segments=2 if paired else 0,
        languages=2 if family.pairs else 0,
        norm_placement=config.norm_placement,
        pooler=paired,
        classes=2 if paired else 0,
        head=None if name in ("next-sentence", "sentence-order", "contrastive") else "token",
        **shape,
    )


def generator_config(discriminator):
    """A generator a quarter as wide as its discriminator, with tables of the same width   (Clark et
    al. 2020, section 3.2).
    """
    c = discriminator
    heads = max(1, c.n_head // 4)
    return dataclasses.replace(
        c,
        n_head=heads,
        d_model=c.d_model // c.n_head * heads,
        d_embed=c.d_model,
        head="token",
        d_hidden=c.d_hidden and max(1, c.d_hidden * heads // c.n_head),
    )


def seq2seq_config(config, special):
    """The Seq2SeqConfig of a TrainConfig. Corruptions may lengthen a row: every second token a span
    of none is the most.
    """
    return Seq2SeqConfig(
        special.vocab_size,
        2 * config.context + 4,
        norm=config.norm,
        norm_placement=config.norm_placement,
        embedding_norm=config.norm_placement == "post",
        bias=config.bias,
        tied=config.tied,
        start=special.start,
        **_shared(config),
    )


def decoder_of(model, config, words):
    """The GPT of a run that continues plain text: without further heads, and of the text's own
    vocabulary.

    model    of load_run;  config its TrainConfig;  words ids of the tokenizer
    returns  GPT; special ids, which come last, lose their rows: what is left is Pr(token | it is a
             word)
    raises   ConfigError, saying what to do instead, if the run has no decoder
    """
    model = getattr(model, "model", model)
    if not isinstance(model, GPT):
        if isinstance(model, Seq2Seq):
            what = "an encoder-decoder says a target for a source (in Python: tinylm.generate.protocol.conditional.Conditional)"
        else:
            if config.objective == "prefix":
                what = "its prefix is read in both directions, which generating does not do here"
            else:
                what = "an encoder tells what is hidden and does not go on with a text"
        raise ConfigError(
            f"the run was trained with objective {config.objective}: {what}; `tinylm eval` scores it, and "
            "training ends with examples. To go on with texts, train with objective causal"
        )
    if config.objective != "fim" or model.config.vocab_size == words:
        return model
    cut = GPT(dataclasses.replace(model.config, vocab_size=words), dtype=model.tokens.weight.dtype)
    state = model.state_dict()
    state["tokens.weight"] = state["tokens.weight"][:words]
    if "head" in state:
        state["head"] = state["head"][:, :words]
    cut.load_state_dict(state)
    return cut.train(model.training)

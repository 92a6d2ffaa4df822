"""A model of this package in the parts of a published family, for save_pretrained to write.

    same, described = published_form(model)
    save_pretrained(same, "folder", described=described)

A decoder stays as it is, or gets biases of zero, or its positions as a table. An encoder without
segments becomes a BERT whose one segment is zero; an encoder-decoder becomes a BART, whose
positions begin at row 2. Pre-norm encoders are Megatron-BERTs and pre-norm encoder-decoders
Blenderbots. Each computes the same function as the model. A part that no family has raises
ConfigError. Read next: save.py.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from tinylm.autograd import Tensor
from tinylm.backend import to_cpu
from tinylm.errors import ConfigError
from tinylm.models.decoder.gpt import GPT
from tinylm.models.encoder.encoder import Encoder
from tinylm.models.encoder.presets import build
from tinylm.models.encoder.seq2seq import Seq2Seq
from tinylm.models.encoder.xlnet import XLNet
from tinylm.models.published.build import new_model
from tinylm.models.published.save import described_as, kind_of

# {activation here: its name in config.json}
WORDS = {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu": "relu", "silu": "silu"}
BART_ROWS = 2  # unused rows of its table of positions, before that of the first token
TABLE = "positions.table.weight"
# For messages: the families of encoders, of encoder-decoders, and of two-stream encoders.
CLASSES = "bert, megatron-bert or electra", "bart or blenderbot", "xlnet"


def published_form(model: GPT) -> tuple[Any, dict[str, Any]]:
    """A model that computes the same, made of the parts of a published family, and its config.json.

    model    GPT, Encoder, Seq2Seq or XLNet
    returns  (model, its config.json as a dict)
    raises   ConfigError naming the part that no family has
    """
    # Each returns (model, config.json).
    if isinstance(model, GPT):
        return _decoder(model)
    if isinstance(model, Encoder):
        return _encoder(model)
    if isinstance(model, Seq2Seq):
        return _seq2seq(model)
    if isinstance(model, XLNet):
        return _xlnet(model)
    raise ConfigError(
        f"no published class is written for a {type(model).__name__}; written are decoders (GPT), "
        "encoders (Encoder, XLNet) and encoder-decoders (Seq2Seq)"
    )


def _refuse(field, value, instead, classes):
    """Raise ConfigError for a field whose value no family has."""
    mend = ""
    if field == "positions":
        mend = f": train what is to be exported with --positions {instead.strip(chr(39))}"
    raise ConfigError(f"{field} = {value!r} is in no {classes}, but {instead}{mend}")


def _decoder(model):
    """(model, config.json) of a GPT, in the first of its _spellings() that some family has."""
    refusal = None  # of the first spelling: the model as it is
    for config in _spellings(model.config):
        try:
            kind = kind_of(config)
        except ConfigError as error:  # the first one names a part of the model as it is
            refusal = refusal or error
            continue
        described = described_as(config, kind)
        if kind in ("gpt2", "openai-gpt"):  # dropout of later training; the classes' default is 0.1
            drops = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
            described |= dict.fromkeys(drops, config.dropout)
        if config != model.config:
            model = _rebuilt(model, config, _added(model, config))
        return model, described
    raise refusal


def _spellings(c):
    """Equivalent configurations: the given one, then others in which a model computes the same."""
    yield c
    # Positions that are computed, or none, are a table like a learned one; no bias is one of zero.
    tables = {}
    if c.positions in ("sinusoidal", "none"):
        tables["positions"] = "learned"
    biases = {"bias": True, "qkv_bias": None, "mlp_bias": None, "norm_bias": None}
    for changes in (tables, biases, tables | biases):
        if replace(c, **changes) != c:
            yield replace(c, **changes)


def _added(model, config):
    """{name: array} of the parameters that a spelling adds: zero biases, a table of positions."""
    made = GPT(config, seed=None, dtype=model.tokens.weight.dtype)
    left = made.named_parameters().keys() - model.named_parameters().keys()
    shapes = {name: made.named_parameters()[name].shape for name in left}
    zeros = {name: np.zeros(shape, model.tokens.weight.dtype) for name, shape in shapes.items()}
    if TABLE in zeros and model.positions is not None:
        # The table is what the positions add to hidden states of zero.
        rows = Tensor(zeros[TABLE][None])  # (1, T, D)
        zeros[TABLE] = model.positions(rows, np.arange(config.context)).numpy()[0]
    return zeros


def _encoder(model):
    """(model, config.json) of an Encoder as bert, megatron-bert or electra."""
    c, classes = model.config, CLASSES[0]
    # First the parts that no class of the family has.
    if c.activation not in WORDS:
        _refuse("activation", c.activation, ", ".join(WORDS), classes)
    only = {"languages": 0, "layer_groups": None, "first_position": 0, "positions": "learned"}
    for field, value in only.items():
        if getattr(c, field) != value:
            _refuse(field, getattr(c, field), repr(value), classes)
    if c.head not in ("token", "replaced", None):
        _refuse("head", c.head, "token, replaced or none", classes)
    if c.head_activation not in (None, c.activation):
        _refuse("head_activation", c.head_activation, repr(c.activation), classes)
    if c.head != "replaced" and c.d_embed is not None:
        _refuse("d_embed", c.d_embed, "the width of the model", classes)
    if c.head == "replaced" and c.norm_placement != "post":
        _refuse("norm_placement", c.norm_placement, "'post'", "electra")
    kind = "bert"
    if c.norm_placement == "pre":
        kind = "megatron-bert"
    if c.head == "replaced":
        kind = "electra"
    described = {
        "model_type": kind,
        "architectures": [_class(kind, c)],
        "vocab_size": c.vocab_size,
        "max_position_embeddings": c.context,
        "num_hidden_layers": c.n_layer,
        "num_attention_heads": c.n_head,
        "hidden_size": c.d_model,
        "intermediate_size": c.d_hidden or 4 * c.d_model,
        "hidden_act": WORDS[c.activation],
        "layer_norm_eps": c.norm_eps,
        "type_vocab_size": c.segments or 1,
        "hidden_dropout_prob": c.dropout,
        "attention_probs_dropout_prob": c.dropout,
        "tie_word_embeddings": True,
    }
    if kind == "electra":  # of the three, the one whose embeddings may be narrower
        described["embedding_size"] = c.d_embed or c.d_model
    if c.segments:
        return model, described
    # One segment whose embedding is zero adds nothing.
    width = c.d_embed or c.d_model
    zeros = {"segments.weight": np.zeros((1, width), model.tokens.weight.dtype)}
    return _rebuilt(model, replace(c, segments=1), zeros), described


def _class(kind, c):
    """The class of Hugging Face's library that has the heads of an encoder."""
    name = {"bert": "Bert", "megatron-bert": "MegatronBert", "electra": "Electra"}[kind]
    if c.head == "replaced" or c.classes and c.head:
        return f"{name}ForPreTraining"
    if c.head:
        return f"{name}ForMaskedLM"
    if c.classes:
        return f"{name}ForNextSentencePrediction"
    return f"{name}Model"


def _of_both_families(c, classes):
    """Refuse a configuration that has what neither bart nor blenderbot can have."""
    if c.activation not in WORDS:
        _refuse("activation", c.activation, ", ".join(WORDS), classes)
    wanted = {  # what both families have, and no field of theirs can change
        "norm": "layer",
        "positions": "learned",
        "bias": True,
        "tied": True,
        "embedding_norm": c.norm_placement == "post",
        "norm_eps": 1e-5,
        "attention_scale": None,
        "logit_scale": 1.0,
        "head_width": None,
    }
    for field, value in wanted.items():
        if getattr(c, field) != value:
            _refuse(field, getattr(c, field), repr(value), classes)
    if c.embedding_scale not in (1.0, c.d_model**0.5):
        _refuse("embedding_scale", c.embedding_scale, "1 or the root of d_model", classes)


def _seq2seq(model):
    """(model, config.json) of a Seq2Seq as bart (post-norm) or blenderbot (pre-norm)."""
    c, classes = model.config, CLASSES[1]
    post = c.norm_placement == "post"
    kind, name, rows = "blenderbot", "Blenderbot", 0
    if post:
        kind, name, rows = "bart", "Bart", BART_ROWS
    _of_both_families(c, classes)
    hidden = c.d_hidden or 4 * c.d_model
    described = {
        "model_type": kind,
        "architectures": [f"{name}ForConditionalGeneration"],
        "is_encoder_decoder": True,
        "vocab_size": c.vocab_size,
        "max_position_embeddings": c.context,
        "d_model": c.d_model,
        "encoder_layers": c.n_layer,
        "decoder_layers": c.decoder_layers,
        "num_hidden_layers": c.n_layer,
        "encoder_attention_heads": c.n_head,
        "decoder_attention_heads": c.n_head,
        "encoder_ffn_dim": hidden,
        "decoder_ffn_dim": hidden,
        "activation_function": WORDS[c.activation],
        "scale_embedding": c.embedding_scale != 1.0,
        "dropout": c.dropout,
        "attention_dropout": c.dropout,
        "decoder_start_token_id": c.start,
        "tie_word_embeddings": True,
        # The defaults of the library's classes are those of one published model.
        "forced_eos_token_id": None,
        "forced_bos_token_id": None,
        "encoder_no_repeat_ngram_size": 0,
    }
    if c.first_position == rows:
        return model, described
    # Rows can be put in front of a table, not taken away.
    if c.first_position:
        _refuse("first_position", c.first_position, f"0 or {rows}", classes)
    # BART adds 2 to every position: rows of zeros in front keep each token's own row.
    parameters = model.named_parameters()
    made = {}
    for side in ("encoder", "decoder"):
        table = to_cpu(parameters[f"{side}.{TABLE}"].data)
        made[f"{side}.{TABLE}"] = _after_zeros(table, rows)
    return _rebuilt(model, replace(c, first_position=rows), made), described


def _xlnet(model):
    """(model, config.json) of an XLNet."""
    c = model.config
    if c.activation not in WORDS:
        _refuse("activation", c.activation, ", ".join(WORDS), CLASSES[2])
    described = {
        "model_type": "xlnet",
        "architectures": ["XLNetLMHeadModel"],
        "vocab_size": c.vocab_size,
        "d_model": c.d_model,
        "n_layer": c.n_layer,
        "n_head": c.n_head,
        "d_inner": c.d_hidden or 4 * c.d_model,
        "ff_activation": WORDS[c.activation],
        "layer_norm_eps": c.norm_eps,
        "attn_type": "bi",
        "untie_r": True,
        "dropout": c.dropout,
        "tie_word_embeddings": True,
    }
    if c.segments:
        return model, described
    # Without segments: the parameters of relative segments, which are zero and so add nothing.
    same = build(replace(c, segments=True), None, dtype=model.tokens.weight.dtype)
    left = same.named_parameters().keys() - model.named_parameters().keys()
    shapes = {name: same.named_parameters()[name].shape for name in left}
    zeros = {name: np.zeros(shape, model.tokens.weight.dtype) for name, shape in shapes.items()}
    return _rebuilt(model, same.config, zeros), described


def _after_zeros(table, rows):
    """A table with rows of zeros in front: (n, D) -> (rows + n, D)."""
    return np.concatenate([np.zeros((rows, table.shape[1]), table.dtype), table])


def _rebuilt(model, config, changed):
    """A model of another configuration with the same parameters, except those in `changed`."""
    made = new_model(config, model.tokens.weight.dtype)
    arrays = model.state_dict() | changed
    for name, parameter in made.named_parameters().items():
        parameter.data = np.array(arrays[name])
    return made

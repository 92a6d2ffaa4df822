"""Published encoders and encoder-decoders: a folder in Hugging Face's layout becomes a model, and a model a folder.

Read next: published/layouts/encoders.py for the names, encoder/presets.py for the families.
"""
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from tinylm.errors import CheckpointError, ConfigError
from tinylm.files import read_json, write_text
from tinylm.models.encoder.encoder import EncoderConfig
from tinylm.models.encoder.presets import build
from tinylm.models.encoder.seq2seq import Seq2SeqConfig
from tinylm.models.encoder.xlnet import XLNetConfig
from tinylm.models.published.formats.safetensors import read_safetensors, write_sharded
from tinylm.models.published.layouts.encoder_rules import fill, find, read, write
from tinylm.models.published.layouts.encoders import LAYOUTS
from tinylm.models.published.layouts.rules import check_unchanged

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu",
               "swish": "silu"}


def _activation(name):
    if name not in ACTIVATIONS:
        raise CheckpointError(f"config.json: activation {name!r} is not one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def _bert_config(h):
    """BERT, RoBERTa, XLM-RoBERTa, ALBERT, ELECTRA: one set of words. RoBERTa's table has two rows before the first token."""
    kind, width, albert = h["model_type"], h.get("embedding_size", h["hidden_size"]), h["model_type"] == "albert"
    first = h.get("pad_token_id", 1) + 1 if kind in ("roberta", "xlm-roberta") else 0
    if h.get("position_embedding_type", "absolute") != "absolute" or h.get("inner_group_num", 1) != 1 or h.get("is_decoder"):
        raise CheckpointError(f"config.json: this {kind} has relative positions, inner groups or a decoder: not read here")
    return EncoderConfig(
        vocab_size=h["vocab_size"], context=h["max_position_embeddings"] - first, n_layer=h["num_hidden_layers"],
        n_head=h["num_attention_heads"], d_model=h["hidden_size"], d_hidden=h["intermediate_size"],
        d_embed=width if albert or width != h["hidden_size"] else None, segments=h.get("type_vocab_size", 2),
        first_position=first, layer_groups=h.get("num_hidden_groups", 1) if albert else None,
        activation=_activation(h.get("hidden_act", "gelu_new" if albert else "gelu")),
        norm_eps=h.get("layer_norm_eps", 1e-12), dropout=h.get("hidden_dropout_prob", 0.1))


def _distilbert_config(h):
    return EncoderConfig(
        vocab_size=h["vocab_size"], context=h["max_position_embeddings"], n_layer=h["n_layers"], n_head=h["n_heads"],
        d_model=h["dim"], d_hidden=h["hidden_dim"], segments=0, pooler=False, activation=_activation(h.get("activation", "gelu")),
        dropout=h.get("dropout", 0.1))


def _xlm_config(h):
    languages = h.get("n_langs", 1) if h.get("use_lang_emb", True) else 0
    return EncoderConfig(
        vocab_size=h["vocab_size"] if "vocab_size" in h else h["n_words"], context=h["max_position_embeddings"],
        n_layer=h["n_layers"], n_head=h["n_heads"], d_model=h["emb_dim"], segments=0, pooler=False, head="token_plain",
        languages=languages if languages > 1 else 0, activation="gelu" if h.get("gelu_activation", True) else "relu",
        norm_eps=h.get("layer_norm_eps", 1e-12), dropout=h.get("dropout", 0.1))


def _t5_config(h):
    words = h.get("feed_forward_proj", "relu").split("-")
    activation = _activation("gelu_new" if words == ["gated", "gelu"] else words[-1])
    if words[0] == "gated":
        activation = {"gelu_tanh": "geglu_tanh", "silu": "swiglu", "gelu": "geglu"}[activation]
    tied = h.get("tie_word_embeddings", True)
    scaled = h.get("scale_decoder_outputs", tied)           # version 1.0; newer files say so, older ones by being tied
    return Seq2SeqConfig(
        vocab_size=h["vocab_size"], context=None, n_layer=h["num_layers"], n_decoder_layer=h.get("num_decoder_layers"),
        n_head=h["num_heads"], d_model=h["d_model"], d_hidden=h["d_ff"], head_width=h["d_kv"], norm="rms", norm_placement="pre",
        norm_eps=h.get("layer_norm_epsilon", 1e-6), embedding_norm=False, activation=activation, positions="t5",
        buckets=h.get("relative_attention_num_buckets", 32), max_distance=h.get("relative_attention_max_distance", 128),
        bias=False, attention_scale=1.0, logit_scale=h["d_model"] ** -0.5 if scaled else 1.0, embedding_std=1.0, tied=tied,
        start=h.get("decoder_start_token_id") or 0, dropout=h.get("dropout_rate", 0.1))


def _bart_config(h):
    heads, hidden = h["encoder_attention_heads"], h["encoder_ffn_dim"]
    if (heads, hidden) != (h["decoder_attention_heads"], h["decoder_ffn_dim"]):
        raise CheckpointError("config.json: encoder and decoder differ in heads or hidden width, which is not read here")
    return Seq2SeqConfig(
        vocab_size=h["vocab_size"], context=h["max_position_embeddings"], n_layer=h["encoder_layers"],
        n_decoder_layer=h["decoder_layers"], n_head=heads, d_model=h["d_model"], d_hidden=hidden,
        norm_placement="pre" if h["model_type"] == "mbart" else "post", first_position=2,
        activation=_activation(h.get("activation_function", "gelu")), start=h.get("decoder_start_token_id") or 2,
        embedding_scale=h["d_model"] ** 0.5 if h.get("scale_embedding") else 1.0, dropout=h.get("dropout", 0.1))


def _xlnet_config(h):
    return XLNetConfig(
        vocab_size=h["vocab_size"], n_layer=h["n_layer"], n_head=h["n_head"], d_model=h["d_model"], d_hidden=h["d_inner"],
        activation=_activation(h.get("ff_activation", "gelu")), norm_eps=h.get("layer_norm_eps", 1e-12),
        dropout=h.get("dropout", 0.1))


CONFIGS = {"bert": _bert_config, "roberta": _bert_config, "xlm-roberta": _bert_config, "albert": _bert_config,
           "electra": _bert_config, "distilbert": _distilbert_config, "xlm": _xlm_config, "t5": _t5_config,
           "bart": _bart_config, "mbart": _bart_config, "xlnet": _xlnet_config}


def read_config(described, names=None):
    """Our configuration from the contents of a config.json.

    described  dict
    names      names of the tensors there are: heads and pooler that have none are left out; None: all are kept
    returns    EncoderConfig, Seq2SeqConfig or XLNetConfig
    raises     CheckpointError for a model_type, an activation or a part that is not known here, or a word that is missing
    """
    kind = described.get("model_type")
    if kind not in CONFIGS:
        raise CheckpointError(f"config.json: model_type {kind!r} is not one of {', '.join(CONFIGS)}")
    try:
        config = CONFIGS[kind](described)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"config.json of a {kind} lacks or misstates {error}") from error
    except ConfigError as error:
        raise CheckpointError(f"config.json: {error}") from error
    return config if names is None or not isinstance(config, EncoderConfig) else _parts_there(config, kind, names)


def _parts_there(config, kind, names):
    def has(part, config):
        rules, prefix = LAYOUTS[kind]
        return any(rule.ours.startswith(part) and find(rule.theirs[0], names, prefix) for rule in rules(config))

    heads = ["replaced", "token"] if kind == "electra" else ["token_plain" if kind == "xlm" else "token"]
    head = next((head for head in heads if has("head.", replace(config, head=head))), None)
    return replace(config, head=head, pooler=has("pooler.", config), classes=2 if has("classifier.", config) else 0)


def load_pretrained(folder, dtype=np.float32):
    """A published model, in evaluation mode.

    folder   with config.json and model.safetensors (or its shards); tensors that have no place in the model, such as
             a classifier, are left where they are
    dtype    of the parameters; the file's numbers are converted one tensor at a time
    returns  Encoder, Seq2Seq or XLNet
    raises   CheckpointError for what is missing, damaged or not known here
    """
    path = Path(folder) / "config.json"
    try:
        described = read_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    weights = read_safetensors(folder)
    _check_size(read_config(described), weights)            # before anything is counted layer by layer
    config = read_config(described, weights)
    rules, prefix = LAYOUTS[described["model_type"]]
    return fill(build(config, None, dtype=dtype), read(rules(config), weights, prefix)).eval()


def _check_size(config, weights):
    """Refuse a description of a model that its weights cannot fill, before anything is made of it."""
    sizes = {f.name: getattr(config, f.name) for f in fields(config) if f.type in (int, int | None)}
    wrong = [f"{name} = {value!r}" for name, value in sizes.items() if value is not None and (type(value) is not int or value < 0)]
    numbers, layers = weights.parameters(), config.n_layer + getattr(config, "decoder_layers", 0) if not wrong else 0
    if not wrong and (layers * config.d_model > numbers or max(v or 0 for v in sizes.values()) > numbers):
        wrong = [f"{layers} layers of width {config.d_model}, vocabulary {config.vocab_size}"]
    if wrong:
        raise CheckpointError(f"{weights.path}: {numbers:,} numbers are not the model that config.json describes: {wrong[0]}")


def save_pretrained(folder, model, described):
    """Write a model in the layout that Hugging Face reads.

    folder     made if it is not there
    described  dict: the config.json to lie beside it, which names the model_type
    raises     CheckpointError for a model that was changed, by something around its layers or a mask on its weights
    """
    rules = list(LAYOUTS[described["model_type"]][0](model.config))
    check_unchanged(model, {rule.ours for rule in rules}, all_of_them=False)
    write_sharded(folder, write(rules, model.state_dict()))
    write_text(Path(folder) / "config.json", json.dumps(described, indent=2))

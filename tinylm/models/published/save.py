"""A model as other libraries read it: config.json and safetensors   (the layout of Hugging Face).

Read next: formats/safetensors.py.
"""

import dataclasses
import json
import re
from pathlib import Path

from tinylm.errors import CheckpointError, ConfigError
from tinylm.files import write_text
from tinylm.models.published import formats
from tinylm.models.published.layouts import DECODERS, LAYOUTS
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rules import check_unchanged, write_rules

# What is written here, and may be written over.
_OWN = re.compile(r"config\.json|model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")


def save_pretrained(model, folder, kind=None, numbers=None, tokens=None, described=None):
    """Write a model as Hugging Face's library keeps it: config.json and model.safetensors (or
    shards).

    model    GPT; or an Encoder, Seq2Seq or XLNet, with `described`
    folder   made if it is not there; an earlier model there is written over
    kind     model_type, such as "llama"; None: the first of layouts.DECODERS that has words for all
             parts of the model
    numbers  None: as they are; "BF16", "F16", "F32", "F64"
    tokens   {"bos_token_id": id, ...} for config.json
    described  the config.json, a dict, instead of one made from the model's configuration
    raises   ConfigError if no family is made of these parts, or the folder holds something else;
             CheckpointError for a model that was changed, by something around its layers or a mask
             on its weights, which no such file can say
    """
    if described is None:
        kind = kind or kind_of(model.config)
        described = described_as(model.config, kind)
        if described is None:
            raise ConfigError(
                f"save_pretrained: a {kind} is not made of these parts: {model.config}"
            )
    kind, folder = described["model_type"], Path(folder)
    _check_free(folder)
    rules = list(LAYOUTS[kind].rules(model.config, kind))
    check_unchanged(model, {rule.ours for rule in rules}, all_of_them=kind in DECODERS)
    tensors = write_rules(rules, model.state_dict())
    formats.write_sharded(folder, tensors, kind=numbers)
    words = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
    dtype = words.get(numbers, str(model.tokens.weight.dtype))
    described = described | {"dtype": dtype, "torch_dtype": dtype} | (tokens or {})
    write_text(folder / "config.json", json.dumps(described, indent=2) + "\n")


def _check_free(folder):
    """Refuse a folder in which something else lies, or a link, which leads to what is another's."""
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    links = [path for path in there if path.is_symlink() and _OWN.fullmatch(path.name)]
    if links:
        raise ConfigError(
            f"save_pretrained: {links[0]} is a link, and nothing is written through links: name "
            "another folder, or remove it"
        )
    others = [path.name for path in there if not _OWN.fullmatch(path.name)]
    if others:
        raise ConfigError(
            f"save_pretrained: {folder} holds {', '.join(others[:3])}, which are not these "
            "weights: written over are config.json and model.safetensors alone; name another folder"
        )


def described_as(config, kind):
    """The config.json of a GPTConfig as a model of that type; None if it cannot say all of it."""
    described, differing = _attempt(config, kind)
    if described is None or differing:
        return None
    # What is left out stands for the first model of the family: its ids, which may lie outside
    # this vocabulary.
    return dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")) | described


def _attempt(config, kind):
    """(config.json, where the model it describes differs); (None, []) where there is no word for a
    part.
    """
    layout = DECODERS[kind]
    try:
        described = layout.write_config(config, kind)
        return described, differences(config, layout.read_config(Fields(described)))
    except (KeyError, TypeError, ConfigError, CheckpointError):
        return None, []


def kind_of(config):
    """The model_type whose config.json says all of a GPTConfig.

    raises  ConfigError naming what the nearest family has instead
    """
    nearest = None
    for kind in DECODERS:
        described, differing = _attempt(config, kind)
        if described is None:
            continue
        if not differing:
            return kind
        if nearest is None or len(differing) < len(nearest[1]):
            nearest = kind, differing
    what = config
    if nearest is not None:
        kind, differing = nearest
        what = "; ".join(
            f"{name} = {mine!r}, and {kind} has {other!r}" for name, mine, other in differing
        )
    raise ConfigError(
        f"save_pretrained: no family of {', '.join(DECODERS)} is made of these parts: {what}"
    )


def differences(config, other):
    """[(field, its value, the other's)] where two GPTConfigs are not the same model."""
    mine, others = canonical(config), canonical(other)
    return [(name, mine[name], others[name]) for name in mine if mine[name] != others[name]]


def canonical(config):
    """The same model with nothing left to defaults, as a dict to compare; without dropout."""
    c, layers = config, range(config.n_layer)
    attention, feed_forward, rotation = (
        [c.layer(field, i) for i in layers] for field in ("attention", "feed_forward", "rotation")
    )
    qkv_bias, norm_bias = (
        c.bias if value is None else value for value in (c.qkv_bias, c.norm_bias)
    )
    return dataclasses.asdict(c) | {
        "n_kv_head": c.kv_heads,
        "head_width": c.key_width,
        "d_hidden": c.hidden_width,
        "qkv_bias": qkv_bias,
        "mlp_bias": c.bias if c.mlp_bias is None else c.mlp_bias,
        "norm_bias": norm_bias and c.norm == "layer",
        "norm_eps": c.norm_eps or (1e-5 if c.norm == "layer" else 1e-6),
        "rope_base": c.positions == "rope" and c.rope_base,
        "rotary_width": c.positions == "rope" and c.turned_width,
        "rotation": rotation,
        "dropout": 0,
        "attention": attention,
        "feed_forward": feed_forward,
        "window": "window" in attention and c.window,
        "experts": "experts" in feed_forward and (c.experts, c.experts_per_token),
        "experts_per_token": 0,
        "gates": c.gates if "experts" in feed_forward and c.experts_per_token == 1 else None,
        "attention_scale": round(c.attention_scale or c.key_width**-0.5, 12),
        "embedding_scale": round(c.embedding_scale, 9),
    }

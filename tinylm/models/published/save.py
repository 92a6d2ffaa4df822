"""A model as other libraries read it: config.json and safetensors   (Hugging Face's layout).

Read next: formats/safetensors.py.
"""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from tinylm.errors import CheckpointError, ConfigError
from tinylm.files import write_text
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published import formats
from tinylm.models.published.layouts import DECODERS, LAYOUTS
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rules import check_unchanged, write_rules
from tinylm.nn.module import Module

# The files that are written here, and may be overwritten.
_OWN = re.compile(r"config\.json|model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")


def save_pretrained(
    model: Module,
    folder: str | Path,
    kind: str | None = None,
    numbers: str | None = None,
    tokens: dict[str, Any] | None = None,
    described: dict[str, Any] | None = None,
) -> None:
    """Write a model in Hugging Face's layout: config.json and model.safetensors, or shards.

    model      GPT; or an Encoder, Seq2Seq or XLNet, with `described`
    folder     made if it is not there; an earlier model there is overwritten
    kind       model_type, such as "llama"; None: the first of layouts.DECODERS that can describe
               all parts of the model
    numbers    None: as they are; "BF16", "F16", "F32", "F64"
    tokens     {"bos_token_id": id, ...} for config.json
    described  the config.json, a dict, instead of one made from the model's configuration
    raises     ConfigError if no family is made of these parts, or the folder holds something else;
               CheckpointError for a model with a wrapped layer or a masked weight, which no such
               file can describe
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
    """Refuse a folder that holds anything else, or a link, which may lead to another's file."""
    if not folder.is_dir():
        return
    there = sorted(folder.iterdir())
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
            "weights: only config.json and model.safetensors are overwritten; name another folder"
        )


def described_as(config: GPTConfig, kind: str) -> dict[str, Any] | None:
    """The config.json of a GPTConfig as a model of that type; None if it cannot describe it."""
    described, differing = _attempt(config, kind)
    if described is None or differing:
        return None
    # A missing id would mean that of the family's first model, which may lie outside this
    # vocabulary: null is written.
    return dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")) | described


def _attempt(config, kind):
    """(config.json, `differences` of its model); (None, []) if a part has no field."""
    layout = DECODERS[kind]
    try:
        # Written and read back: what comes back differently cannot be described.
        described = layout.write_config(config, kind)
        return described, differences(config, layout.read_config(Fields(described)))
    except (KeyError, TypeError, ConfigError, CheckpointError):
        return None, []


def kind_of(config: GPTConfig) -> str:
    """The first model_type whose config.json describes all of a GPTConfig.

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


def differences(config: GPTConfig, other: GPTConfig) -> list[tuple[str, Any, Any]]:
    """[(field, its value, the other's)] where two GPTConfigs are not the same model."""
    mine, others = canonical(config), canonical(other)
    return [(name, mine[name], others[name]) for name in mine if mine[name] != others[name]]


def canonical(config: GPTConfig) -> dict[str, int]:
    """A GPTConfig as a dict to compare: nothing left to defaults, and without dropout.

    A field that has no effect in this model gets one value, whatever it is.
    """
    c = config
    # Per layer: one row of layers may be written as patterns of several lengths.
    attention, feed_forward, rotation = (
        [c.layer(field, i) for i in range(c.n_layer)]
        for field in ("attention", "feed_forward", "rotation")
    )
    # None means the general setting.
    qkv_bias, mlp_bias, norm_bias = (
        c.bias if value is None else value for value in (c.qkv_bias, c.mlp_bias, c.norm_bias)
    )
    norm_eps = c.norm_eps or {"layer": 1e-5}.get(c.norm, 1e-6)
    gates = None  # the kinds of gates differ only where a token has one expert
    if "experts" in feed_forward and c.experts_per_token == 1:
        gates = c.gates
    return dataclasses.asdict(c) | {
        "n_kv_head": c.kv_heads,
        "head_width": c.key_width,
        "d_hidden": c.hidden_width,
        "qkv_bias": qkv_bias,
        "mlp_bias": mlp_bias,
        "norm_bias": norm_bias and c.norm == "layer",
        "norm_eps": norm_eps,
        "rope_base": c.positions == "rope" and c.rope_base,
        "rotary_width": c.positions == "rope" and c.turned_width,
        "rotation": rotation,
        "dropout": 0,
        "attention": attention,
        "feed_forward": feed_forward,
        "window": "window" in attention and c.window,
        "experts": "experts" in feed_forward and (c.experts, c.experts_per_token),
        "experts_per_token": 0,
        "gates": gates,
        "capacity_factor": None,  # drops in training only
        "attention_scale": round(c.attention_scale or c.key_width**-0.5, 12),
        "embedding_scale": round(c.embedding_scale, 9),
    }

"""Models that others trained, from their files and back   (book section 2.1.2; the layouts of Hugging Face and GGUF).

    published = load_pretrained("smollm2")               a name of formats.PUBLISHED, a file, or a folder
    logits = published.model(ids)
    save_pretrained(model, "folder")                     config.json and model.safetensors, for Hugging Face to read

No weight is drawn before it is read: the model is made of placeholders, and each array of the file becomes a parameter
in turn, so memory holds the model once and one tensor besides. Read next: layouts/rules.py.
"""
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylm.errors import CheckpointError, ConfigError
from tinylm.files import read_json, write_text
from tinylm.models.decoder.gpt import GPT, GPTConfig
from tinylm.models.decoder.sizes import count_parameters
from tinylm.models.published import formats
from tinylm.models.published.chat.found import folder_template, gguf_template
from tinylm.models.published.layouts import LAYOUTS, encoders, gguf
from tinylm.models.published.layouts.rules import check_unchanged
from tinylm.tokenizers.published import read_tokenizer

# Tensors of a file that are no parameters: masks and frequencies that older versions of the library saved too.
_BUFFERS = ".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq"


@dataclass(frozen=True)
class Published:
    """What a file of published weights gives.

    model      GPT in evaluation mode
    tokenizer  or None where its files are missing
    template   formats.ChatTemplate of a model tuned to follow instructions, or None
    special    {"bos": id, "eos": id}, as far as they are known
    path       Path of the file or folder
    weights    WeightFile, for those who want the numbers as they lie
    """

    model: GPT
    tokenizer: object
    template: formats.ChatTemplate | None
    special: dict
    path: Path
    weights: formats.WeightFile


def load_pretrained(name, dtype=np.float32):
    """A published model with its tokenizer and chat template.

    name     "smollm2", a .gguf or .safetensors file, or a folder with config.json and weights
    dtype    of the parameters
    returns  Published
    raises   MissingExtra or ConfigError if there is no such thing; CheckpointError for a file that is damaged, or of
             a family that is not read here
    """
    path = formats.find_weights(name)
    weights = formats.read_weights(path)
    if path.suffix == ".gguf":
        config, kind = gguf.read_config(weights), weights.metadata["general.architecture"]
        check_size(config, weights)
        rules = gguf.rules(config, kind)
        tokenizer, special = formats.tokenizer_of(weights), formats.special_ids(weights)
        template = gguf_template(weights, tuple(tokenizer.special))
    else:
        folder = path if path.is_dir() else path.parent
        described = _json(folder / "config.json")
        config, kind = read_layout(described, folder)
        check_size(config, weights)
        rules = LAYOUTS[kind].rules(config, kind)
        words = read_tokenizer(folder, described)
        tokenizer, special = words.tokenizer, words.special
        template = folder_template(folder, tuple(tokenizer.special) if tokenizer else ())
    model = GPT(config, seed=None, dtype=dtype)
    fill(model, rules, weights, dtype)
    return Published(model.eval(), tokenizer, template, special, path, weights)


def read_layout(described, where="config.json"):
    """(GPTConfig, model_type) of a config.json that has been read into a dict.

    raises  CheckpointError for a family not read here, or a description that lacks something
    """
    kind = described.get("model_type")
    if kind in encoders.LAYOUTS:
        raise CheckpointError(f"{where}: {kind!r} is no decoder that continues a text: load it with "
                              "tinylm.models.published.load_encoders.load_pretrained, or try `tinylm embed`")
    if kind not in LAYOUTS:
        raise CheckpointError(f"{where}: a model of type {kind!r} is not read here, but {', '.join(LAYOUTS)}")
    try:
        config = LAYOUTS[kind].read_config(described)
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{where}: config.json lacks or misstates {error}") from error
    return config, kind


def check_size(config, weights):
    """Refuse a description of a model that its weights cannot fill, before anything is made of it.

    raises  CheckpointError
    """
    names = "vocab_size context n_layer n_head n_kv_head d_model d_hidden head_width window experts experts_per_token"
    sizes = {name: getattr(config, name) for name in names.split()}
    wrong = [f"{name} = {value!r}" for name, value in sizes.items()
             if value is not None and (type(value) is not int or value < (name != "experts"))]
    # A layer, or an expert, has a tensor at least, or else counting would take long. Twice: what is smaller may lack one
    # tensor, and fill() says which.
    if not wrong and max(config.n_layer, config.experts) <= len(weights) and count_parameters(config) <= 2 * weights.parameters():
        return
    said = wrong[0] if wrong else f"{config.n_layer} layers of width {config.d_model}, vocabulary {config.vocab_size}"
    raise CheckpointError(f"{weights.path}: {len(weights)} tensors of {weights.parameters():,} numbers in all are not the model "
                          f"that its configuration describes: {said}")


def fill(model, rules, weights, dtype):
    """Give a model its parameters, one after another.

    model    GPT, its matrices may be placeholders; all of its parameters are replaced
    rules    list of Rule
    weights  mapping name -> array; names may lack their first part ("transformer.", "model.")
    raises   CheckpointError for a tensor that is missing, of another shape, or that has no place in the model
    """
    left, parameters = set(weights), model.named_parameters()
    where = getattr(weights, "path", "the weights")
    for rule in rules:
        names = [name if name in weights else name.partition(".")[2] for name in rule.theirs]
        missing = [ours for ours, found in zip(rule.theirs, names) if found not in weights]
        if missing:
            raise CheckpointError(f"{where} has no tensor {missing[0]!r}, which a model of this configuration needs")
        try:
            array = rule.read([lambda name=name: weights[name] for name in names], dtype)
        except (ValueError, IndexError) as error:           # of other sizes, or with fewer axes
            shapes = ", ".join(f"{name} {np.shape(weights[name])}" for name in names)
            raise CheckpointError(f"{where}: {shapes} do not make the parameter {rule.ours}: {error}") from error
        parameter = parameters.pop(rule.ours)
        if array.shape != parameter.shape:
            raise CheckpointError(f"{where}: {names[0]!r} gives {rule.ours} the shape {array.shape}, and the configuration "
                                  f"{parameter.shape}")
        parameter.data = array
        left.difference_update(names)
    tied = {"lm_head.weight"} if model.config.tied else set()
    left = sorted(name for name in left - tied if not name.endswith(_BUFFERS))
    if left or parameters:
        given, lacking = (", ".join(list(names)[:4]) or "nothing" for names in (left, parameters))
        raise CheckpointError(f"{where}: in the model is no place for {given}, and the layout does not give {lacking}")


def save_pretrained(model, folder, kind=None, numbers=None, tokens=None):
    """Write a model as Hugging Face's library keeps it: config.json and model.safetensors (or shards).

    model    GPT
    folder   made if it is not there
    kind     model_type, such as "llama"; None: the first of layouts.LAYOUTS that has words for all parts of the model
    numbers  None: as they are; "BF16", "F16", "F32", "F64"
    tokens   {"bos_token_id": id, ...} for config.json
    raises   ConfigError if no family there is made of these parts; CheckpointError for a model that was changed, by
             something around its layers or a mask on its weights, which no such file can say
    """
    kind = kind or kind_of(model.config)
    described = LAYOUTS[kind].write_config(model.config, kind)
    if canonical(LAYOUTS[kind].read_config(described)) != canonical(model.config):
        raise ConfigError(f"save_pretrained: a {kind} is not made of these parts: {model.config}")
    rules = list(LAYOUTS[kind].rules(model.config, kind))
    check_unchanged(model, {rule.ours for rule in rules})
    parameters, tensors = model.named_parameters(), {}
    for rule in rules:
        tensors |= zip(rule.theirs, rule.write(parameters[rule.ours].numpy()))
    folder = Path(folder)
    formats.write_sharded(folder, tensors, kind=numbers)
    dtype = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}.get(numbers, str(model.tokens.weight.dtype))
    described = described | {"dtype": dtype, "torch_dtype": dtype} | (tokens or {})
    write_text(folder / "config.json", json.dumps(described, indent=2) + "\n")


def kind_of(config):
    """The model_type whose config.json says all of a GPTConfig; ConfigError if there is none."""
    for kind, layout in LAYOUTS.items():
        try:
            if canonical(layout.read_config(layout.write_config(config, kind))) == canonical(config):
                return kind
        except (KeyError, TypeError, ConfigError, CheckpointError):
            continue
    raise ConfigError(f"save_pretrained: no family of {', '.join(LAYOUTS)} is made of these parts: {config}")


def canonical(config):
    """The same model with nothing left to defaults, as a dict to compare; dropout is no part of it."""
    c, layers = config, range(config.n_layer)
    attention, feed_forward = ([c.layer(field, i) for i in layers] for field in ("attention", "feed_forward"))
    qkv_bias, norm_bias = (c.bias if value is None else value for value in (c.qkv_bias, c.norm_bias))
    return dataclasses.asdict(c) | {
        "n_kv_head": c.kv_heads, "head_width": c.key_width, "d_hidden": c.hidden_width, "qkv_bias": qkv_bias,
        "norm_bias": norm_bias and c.norm == "layer", "norm_eps": c.norm_eps or (1e-5 if c.norm == "layer" else 1e-6),
        "rope_base": c.positions == "rope" and c.rope_base, "dropout": 0, "attention": attention, "feed_forward": feed_forward,
        "window": "window" in attention and c.window, "experts": "experts" in feed_forward and (c.experts, c.experts_per_token),
        "experts_per_token": 0, "attention_scale": round(c.attention_scale or c.key_width ** -0.5, 12),
        "embedding_scale": round(c.embedding_scale, 9)}


def _json(path):
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}; weights in Hugging Face's layout have it beside them") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is no JSON object")
    return found


__all__ = ["GPTConfig", "Published", "canonical", "fill", "kind_of", "load_pretrained", "read_layout", "save_pretrained"]

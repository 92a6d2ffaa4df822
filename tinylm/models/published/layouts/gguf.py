"""Decoders in GGUF's names: LLaMA, Qwen2 and 3, Gemma and Gemma 2, Phi-3, OLMo 2, StarCoder2.

Settings are called `llama.block_count` and so on; each is read, known to have no effect, or
refused, as in a config.json. Where they are silent, llama.cpp's code decides: windows of Gemma 2 in
every other layer, the tanh form of GELU. LLaMA's queries and keys are ordered there for rotating
neighboring pairs; Gemma's gains are not reduced by 1. Read next: formats/gguf.py.
"""

from typing import TYPE_CHECKING, Any

from tinylm.errors import CheckpointError, ConfigError
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rules import (
    Rule,
    adjacent_pairs,
    affine,
    layer_norm,
    linear_weight,
    part_of,
    resting_pairs,
    same,
    untied_head,
)

if TYPE_CHECKING:
    from tinylm.models.published.formats.mapped import WeightFile


# general.architecture
KINDS = "llama", "qwen2", "qwen3", "gemma", "gemma2", "phi3", "olmo2", "starcoder2"
NO_EFFECT = "rope.scaling.finetuned", "tensor_data_layout", "attention.group_norm_groups"
SCALINGS = {"none": "none", "linear": "linear", "yarn": "yarn", "longrope": "longrope"}
# Tensors of rotary factors: settings, not parameters.
LLAMA3_FACTORS = "rope_freqs.weight"
LONG, SHORT = "rope_factors_long.weight", "rope_factors_short.weight"
REPEATED = LLAMA3_FACTORS, LONG, SHORT


class Settings(Fields):
    """The settings of one architecture; methods take their names with or without it.

    weights  WeightFile
    kind     the architecture, with which names begin
    """

    def __init__(self, weights: "WeightFile", kind: str) -> None:
        self.start = f"{kind}."
        own = {n: value for n, value in weights.metadata.items() if n.startswith(self.start)}
        super().__init__(own, str(weights.path))

    def only(self, name: str, *allowed: Any) -> None:
        """As in Fields."""
        super().only(self._whole(name), *allowed)

    def ignore(self, names: str) -> None:
        """As in Fields."""
        super().ignore(" ".join(map(self._whole, names.split())))

    def has(self, name: str) -> bool:
        """As in Fields."""
        return super().has(self._whole(name))

    def refuse(self, name: str, value: str, read: str) -> None:
        """As in Fields."""
        super().refuse(self._whole(name), value, read)

    def _found(self, names, default):
        return super()._found([self._whole(name) for name in names], default)

    def _whole(self, name):
        if name.startswith(self.start):
            return name
        return self.start + name


def read_config(weights: "WeightFile") -> GPTConfig:
    """The GPTConfig of a GGUF file.

    raises  CheckpointError for an architecture or a setting that is not read
    """
    # Settings of the architecture become fields; finish() refuses those that are left.
    kind = weights.metadata.get("general.architecture")
    if kind not in KINDS:
        raise CheckpointError(
            f"{weights.path}: architecture {kind!r} is not read here, but {', '.join(KINDS)}"
        )
    f = Settings(weights, kind)
    try:
        config = GPTConfig(**_parts(f, kind, weights))
    except (ConfigError, OverflowError, ZeroDivisionError) as error:
        raise CheckpointError(f"{f.where}: {error}") from error
    f.finish()
    return config


def _parts(f, kind, weights):
    """The fields of a GPTConfig, a dict."""
    vocabulary = weights.shape("token_embd.weight")[0]
    f.only("vocab_size", vocabulary)
    f.only("expert_count", 0)  # no mixture of experts is read
    f.only("expert_used_count", 0)
    f.only("attention.causal", True)
    f.ignore(" ".join(NO_EFFECT))
    heads, d_model = f.integer("attention.head_count"), f.integer("embedding_length")
    width = f.integer("attention.key_length", default=d_model // heads)
    f.only("attention.value_length", width)
    head_width = None  # D / H
    if width * heads != d_model:
        head_width = width
    special = SPECIAL.get(kind, lambda f, d, w: {"activation": "swiglu"})
    return dict(
        vocab_size=vocabulary,
        context=f.integer("context_length"),
        n_layer=f.integer("block_count"),
        n_head=heads,
        n_kv_head=f.integer("attention.head_count_kv", default=heads),
        d_model=d_model,
        d_hidden=f.integer("feed_forward_length"),
        head_width=head_width,
        positions="rope",
        tied="output.weight" not in weights,  # no setting for it
        **_norms(f, kind),
        **_rotation(f, kind, weights, width),
        **special(f, d_model, width),
    )


def _norms(f, kind):
    """The kind of norm, its epsilon, and biases, which follow from the architecture."""
    if kind == "starcoder2":
        eps = f.number("attention.layer_norm_epsilon")
        return dict(norm="layer", norm_eps=eps, bias=True)
    eps = f.number("attention.layer_norm_rms_epsilon")
    return dict(norm="rms", norm_eps=eps, bias=False, qkv_bias=kind == "qwen2")


def _gemma(f, d_model, width):
    return dict(activation="geglu_tanh", embedding_scale=d_model**0.5)


def _gemma2(f, d_model, width):
    # Scores are divided by sqrt(K), but in the largest of its three sizes, of 46 layers, by
    # sqrt(D / H). No setting distinguishes them.
    divisor = width
    if f.integer("block_count") == 46:
        divisor = d_model // f.integer("attention.head_count")
    window = f.integer("attention.sliding_window", default=4096)
    return _gemma(f, d_model, width) | dict(
        norm_placement="sandwich",
        attention=("window", "full"),
        window=window,
        attention_scale=divisor**-0.5,
        attention_cap=f.number("attn_logit_softcapping", default=50.0),
        logit_cap=f.number("final_logit_softcapping", default=30.0),
    )


def _phi3(f, d_model, width):
    window = f.integer("attention.sliding_window", default=0)  # 0: none
    if not window:
        return dict(activation="swiglu")
    return dict(activation="swiglu", attention=("window",), window=window)


# {architecture: function (Settings, D, K) -> fields of a GPTConfig}
SPECIAL = {
    "gemma": _gemma,
    "gemma2": _gemma2,
    "phi3": _phi3,
    "qwen3": lambda f, d, w: {"activation": "swiglu", "qk_norm": "head"},
    "olmo2": lambda f, d, w: {
        "activation": "swiglu",
        "qk_norm": "width",
        "norm_placement": "branch",
    },
    "starcoder2": lambda f, d, w: {"activation": "gelu_tanh"},
}


def _rotation(f, kind, weights, width):
    """rope_base, rope_scaling and rotary_width, a dict."""
    turned = f.integer("rope.dimension_count", default=width)
    # Reordering neighboring pairs and leaving a part of the head unturned are not combined.
    if kind == "llama" and turned != width:
        f.refuse("rope.dimension_count", turned, f"{width}, the whole head")
    base, scaling = f.number("rope.freq_base", default=10000.0), _scaling(f, weights)
    if turned == width:  # all of a head
        turned = None
    return dict(rope_base=base, rope_scaling=scaling, rotary_width=turned)


def _scaling(f, weights):
    """rope_scaling of a GPTConfig, or None."""
    default = "none"
    if f.has("rope.scaling.factor") or f.has("rope.scale_linear"):
        default = "linear"
    named = f.choice("rope.scaling.type", table=SCALINGS, default=default)
    factor = f.number("rope.scaling.factor", "rope.scale_linear", default=1.0)
    trained = f.integer("rope.scaling.original_context_length", default=f.integer("context_length"))
    # Phi-3: a factor for each frequency, in tensors for short and for long texts.
    if LONG in weights:
        if named in ("linear", "yarn") or LLAMA3_FACTORS in weights:
            f.refuse("rope.scaling.type", named, f"longrope alone, beside the tensor {LONG}")
        return _by_length(f, weights, trained)
    # Settings of YaRN that a GPTConfig has no field for.
    f.only("rope.scaling.attn_factor", 1.0)
    f.only("rope.scaling.yarn_attn_factor", 1.0)
    f.only("rope.scaling.yarn_ext_factor", 1.0)
    f.only("rope.scaling.yarn_log_multiplier", 0.0)
    # LLaMA 3: a factor for each frequency, whatever the length.
    if LLAMA3_FACTORS in weights:
        if named != "none":
            f.refuse("rope.scaling.type", named, "none, beside the tensor " + LLAMA3_FACTORS)
        return {"name": "longrope", "factors": _numbers(weights, LLAMA3_FACTORS)}
    if named == "longrope":
        f.refuse("rope.scaling.type", named, f"none, linear or yarn without the tensor {LONG}")
    if factor < 1:
        f.refuse("rope.scaling.factor", factor, "at least 1")
    if named == "yarn":
        return {
            "name": "yarn_by_index",
            "factor": factor,
            "trained": trained,
            "fast": f.number("rope.scaling.yarn_beta_fast", default=32.0),
            "slow": f.number("rope.scaling.yarn_beta_slow", default=1.0),
        }
    if named == "none" or factor == 1:  # a factor of 1 changes no angle
        return None
    return {"name": "linear", "factor": factor}


def _by_length(f, weights, trained):
    """The rope_scaling of two tensors of factors."""
    return {
        "name": "longrope_by_length",
        "trained": trained,
        "short": _numbers(weights, SHORT),
        "long": _numbers(weights, LONG),
        "magnitude": f.number("rope.scaling.attn_factor", default=1.0),
    }


def _numbers(weights, name):
    """The numbers of a tensor, a list."""
    return [float(number) for number in weights[name].reshape(-1)]


# {norm_placement: {norm here: norm there}}
NORMS = {
    "pre": {"0": "attn_norm", "1": "ffn_norm"},
    "branch": {"0": "post_attention_norm", "1": "post_ffw_norm"},
    "sandwich": {
        "0.0": "attn_norm",
        "0.1": "post_attention_norm",
        "1.0": "ffn_norm",
        "1.1": "post_ffw_norm",
    },
}


def rules(config: GPTConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    c = config
    made = [same("tokens.weight", "token_embd.weight")]
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"blk.{i}"
        # blk.0.attn_q.weight, blk.0.ffn_up.weight, ...
        made += _attention(c, kind, f"{ours}.attention", theirs)
        made += _feed_forward(c, kind, f"{ours}.feed_forward", theirs)
        for n, norm in NORMS[c.norm_placement].items():
            made += layer_norm(f"{ours}.norms.{n}", f"{theirs}.{norm}", bias=c.norm == "layer")
    made += layer_norm("norm", "output_norm", bias=c.norm == "layer")
    return made + untied_head(c, "output.weight")


def _attention(c, kind, ours, theirs):
    """The rules of attention in one layer."""
    heads = c.n_head, c.kv_heads, c.kv_heads
    bias = c.bias
    if c.qkv_bias is not None:
        bias = c.qkv_bias
    if kind == "phi3":
        made = affine(f"{ours}.qkv", f"{theirs}.attn_qkv", bias=bias)
    else:
        sizes = [n * c.key_width for n in heads]
        names = (f"{theirs}.attn_{x}" for x in "qkv")
        made = affine(f"{ours}.qkv", *names, sizes=sizes, bias=bias)
    if kind == "llama":  # queries and keys are reordered, values (0) are not
        made = [adjacent_pairs(rule, (c.n_head, c.kv_heads, 0)) for rule in made]
    if c.rotary_width is not None:
        made = [resting_pairs(rule, c) for rule in made]
    made += affine(f"{ours}.out", f"{theirs}.attn_output", bias=c.bias)
    if c.qk_norm:
        for x in "qk":
            made.append(same(f"{ours}.{x}_norm.gain", f"{theirs}.attn_{x}_norm.weight"))
    return made


def _feed_forward(c, kind, ours, theirs):
    """The rules of the feed-forward in one layer: plain, packed, or with a gate."""
    out = affine(f"{ours}.out", f"{theirs}.ffn_down", bias=c.bias)
    if kind == "starcoder2":
        return affine(f"{ours}.hidden", f"{theirs}.ffn_up", bias=c.bias) + out
    if kind == "phi3":
        packed = f"{theirs}.ffn_up.weight"
        gate = part_of(f"{ours}.gate.weight", packed, 0, 2)
        up = part_of(f"{ours}.up.weight", packed, 1, 2)
        return [gate, up, *out]
    return [
        linear_weight(f"{ours}.{x}.weight", f"{theirs}.ffn_{x}.weight") for x in ("gate", "up")
    ] + out

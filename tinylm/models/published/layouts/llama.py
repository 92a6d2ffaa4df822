"""LLaMA and the families that follow it, in Hugging Face's layout.

One layout with few differences:

    Mistral     a window in all layers
    Mixtral     experts, whose matrices are called w1 (gate), w3 (up) and w2 (out)
    Qwen2       biases on queries, keys and values
    Qwen3       norms of queries and keys, head by head
    Gemma       gains published minus 1; embeddings times sqrt(D)
    Gemma 2     norms before and after each branch; scores and logits capped
    OLMo 2      norms after each branch only, and of queries and keys over all heads at once
    SmolLM 3    no RoPE in some layers
    Phi-3       q, k and v in one matrix, gate and up in another

Read next: falcon.py.
"""

from typing import Any

from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rope import read_rope, trained_context, write_rope
from tinylm.models.published.layouts.rules import (
    Rule,
    affine,
    linear_weight,
    part_of,
    resting_pairs,
    same,
    untied_head,
)

PREFIX = "model."
# {hidden_act: the gated form here}
ACTIVATION = {
    "silu": "swiglu",
    "swish": "swiglu",
    "gelu_pytorch_tanh": "geglu_tanh",
    "gelu_new": "geglu_tanh",
    "gelu_fast": "geglu_tanh",
    "gelu": "geglu",
}
# {model_type: the name in the library's classes}
ARCHITECTURE = {
    "llama": "Llama",
    "mistral": "Mistral",
    "mixtral": "Mixtral",
    "qwen2": "Qwen2",
    "gemma": "Gemma",
    "gemma2": "Gemma2",
    "qwen3": "Qwen3",
    "olmo2": "Olmo2",
    "smollm3": "SmolLM3",
    "phi3": "Phi3",
}
BASE = {"mixtral": 1e6, "smollm3": 2e6}  # rope_theta of configurations without one
KINDS_OF_LAYER = {"full_attention": "full", "sliding_attention": "window"}
WINDOWS = ("mistral", "mixtral", "phi3")  # a window in all layers, if there is one
SWITCHED = ("qwen2", "qwen3", "smollm3")  # windows only with use_sliding_window
MOST_LAYERS = 4096  # of a list made here: a damaged file may have an absurd number of layers


def read_config(f: Fields, names: Any = None) -> GPTConfig:
    """The GPTConfig of a config.json."""
    kind = f.described["model_type"]
    layers = f.integer("num_hidden_layers")
    heads, d_model = f.integer("num_attention_heads"), f.integer("hidden_size")
    attention, window = _attention(f, kind, layers)
    width = None  # only Phi-3 rotates a part of a head
    if kind == "phi3":
        width = d_model // heads
    head_width = None
    if d_model % heads:  # the library rounds down
        head_width = d_model // heads
    base, scaling, turned, context = read_rope(
        f, f.integer("max_position_embeddings"), BASE.get(kind, 10000.0), width=width
    )
    f.ignore("pretraining_tp")  # slices of a product, added up again
    parts = dict(
        vocab_size=f.integer("vocab_size"),  # V
        context=context,  # most T
        n_layer=layers,  # L
        n_head=heads,  # H
        n_kv_head=f.integer("num_key_value_heads", default=None),
        d_model=d_model,  # D
        d_hidden=f.integer("intermediate_size"),  # F
        head_width=f.integer("head_dim", default=head_width),  # K; None: D / H
        norm="rms",
        norm_eps=f.number("rms_norm_eps", default=1e-6),
        activation=_activation(f, kind),
        positions="rope",
        rope_base=base,
        rope_scaling=scaling,
        rotary_width=turned,
        bias=False,
        qkv_bias=kind == "qwen2",
        attention=attention,
        window=window,
        tied=f.flag("tie_word_embeddings", default=kind.startswith("gemma")),
    )
    if kind in SPECIAL:
        parts |= SPECIAL[kind](f, d_model)
    return GPTConfig(**parts)


def _activation(f, kind):
    """The activation of a feed-forward; Gemma's field has another name, and a history."""
    if kind == "gemma2":
        return f.choice("hidden_activation", table=ACTIVATION, default="gelu_pytorch_tanh")
    if kind == "gemma" and f.has("hidden_activation"):  # the library then ignores hidden_act
        f.ignore("hidden_act")
        return f.choice("hidden_activation", table=ACTIVATION)
    if kind == "gemma":  # its first files have "gelu" for the tanh form
        table = ACTIVATION | {"gelu": "geglu_tanh"}
        return f.choice("hidden_act", table=table, default="gelu")
    return f.choice("hidden_act", table=ACTIVATION, default="silu")


# What a family has besides: function (Fields, D) -> fields of GPTConfig.


def _biases(f, d_model):
    return _attention_biases(f) | dict(mlp_bias=f.flag("mlp_bias", default=False))


def _attention_biases(f):
    bias = f.flag("attention_bias", default=False)
    return dict(bias=bias, qkv_bias=bias, mlp_bias=False)


def _qwen3(f, d_model):
    return _attention_biases(f) | dict(qk_norm="head")


def _phi3(f, d_model):
    for name in ("attention_bias", "mlp_bias", "lm_head_bias"):  # fields of the authors' own class
        f.only(name, False)
    f.only("full_attn_mod", 1)
    f.only("interpolate_factor", 1)
    return {}


def _olmo2(f, d_model):
    return _attention_biases(f) | dict(norm_placement="branch", qk_norm="width")


def _smollm3(f, d_model):
    return _biases(f, d_model) | dict(rotation=_rotation(f, f.integer("num_hidden_layers")))


def _rotation(f, layers):
    """("rope" or "none", layer by layer): listed as 1 and 0, or one without in every so many."""
    every = f.integer("no_rope_layer_interval", default=4)
    listed = f.items("no_rope_layers", default=None)
    if listed is None:
        if every < 1:
            f.refuse("no_rope_layer_interval", every, "at least 1")
        # The last layer of each group is without.
        listed = [int((i + 1) % every != 0) for i in range(min(layers, MOST_LAYERS))]
    elif len(listed) != layers or any(type(one) is not int or one not in (0, 1) for one in listed):
        f.refuse("no_rope_layers", listed, f"a list of {layers} of 0 and 1, one for each layer")
    return tuple(("none", "rope")[one] for one in listed)


def _gemma(f, d_model):
    f.only("attention_bias", False)
    f.only("use_bidirectional_attention", False)
    return dict(embedding_scale=d_model**0.5)


def _gemma2(f, d_model):
    f.ignore("hidden_act cache_implementation hybrid_cache")
    scalar = f.number("query_pre_attn_scalar", default=256)
    return _gemma(f, d_model) | dict(
        norm_placement="sandwich",
        attention_scale=scalar**-0.5,
        attention_cap=f.number("attn_logit_softcapping", default=None),
        logit_cap=f.number("final_logit_softcapping", default=None),
    )


def _mixtral(f, d_model):
    return dict(
        feed_forward=("experts",),
        experts=f.integer("num_local_experts"),
        gates="share",
        experts_per_token=f.integer("num_experts_per_tok"),
    )


SPECIAL = {
    "llama": _biases,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "mixtral": _mixtral,
    "qwen3": _qwen3,
    "olmo2": _olmo2,
    "smollm3": _smollm3,
    "phi3": _phi3,
}


def _attention(f, kind, layers):
    """(the kinds of attention, layer by layer; the window or None)."""
    window = f.integer("sliding_window", default=None)
    use = f.flag("use_sliding_window", default=kind not in SWITCHED)
    first = f.integer("max_window_layers", default=28)  # Qwen: layers before it have no window
    listed = f.items("layer_types", table=KINDS_OF_LAYER, default=None)
    if listed is not None and len(listed) != layers:
        f.refuse(
            "layer_types", f.described["layer_types"], f"a list of {layers}, one for each layer"
        )
    if listed is None and kind == "smollm3":  # its windows are in the layers without RoPE
        listed = [{"rope": "full", "none": "window"}[one] for one in _rotation(f, layers)]
    elif listed is None:
        listed = _unlisted(kind, min(layers, MOST_LAYERS), first)
    # A window needs a width and, in some families, a switch; a list that has windows without them
    # contradicts itself.
    windows = "window" in listed and window is not None
    if "window" in listed and f.has("layer_types") and not (windows and use):
        f.refuse(
            "layer_types", "sliding_attention", "full_attention where no sliding_window is in use"
        )
    if not (windows and use):
        return ("full",), None
    return tuple(listed), window


def _unlisted(kind, layers, first):
    """The kinds of layers where a file lists none; `first` is Qwen's first with a window."""
    if kind == "gemma2":
        return ["window", "full"]
    if kind in WINDOWS:
        return ["window"]
    if kind.startswith("qwen"):
        before = min(max(first, 0), layers)
        return ["full"] * before + ["window"] * (layers - before)
    return ["full"] * layers


def write_config(config: GPTConfig, kind: str) -> dict[str, Any]:
    """The config.json of a GPTConfig, without the parts that the family has no fields for."""
    c = config
    windows = [c.layer("attention", i) == "window" for i in range(c.n_layer)]
    words = {ours: theirs for theirs, ours in KINDS_OF_LAYER.items()}
    activations = {"swiglu": "silu", "geglu_tanh": "gelu_pytorch_tanh", "geglu": "gelu"}
    # First the fields of all families, then those of some.
    # Defaults are written out: those of the library's classes differ from family to family.
    d = write_rope(c) | {
        "model_type": kind,
        "architectures": [f"{ARCHITECTURE[kind]}ForCausalLM"],
        "vocab_size": c.vocab_size,
        "max_position_embeddings": trained_context(c),
        "num_hidden_layers": c.n_layer,
        "num_attention_heads": c.n_head,
        "num_key_value_heads": c.kv_heads,
        "hidden_size": c.d_model,
        "intermediate_size": c.hidden_width,
        "head_dim": c.key_width,
        "rms_norm_eps": c.norm_eps or 1e-6,
        "hidden_act": activations[c.activation],
        "tie_word_embeddings": c.tied,
    }
    if kind in ("llama", "qwen3", "olmo2", "smollm3"):
        d |= {"attention_bias": c.bias}
    if kind in ("llama", "smollm3"):
        d |= {"mlp_bias": _bias(c.mlp_bias, c)}
    if kind == "smollm3":
        d["no_rope_layers"] = [int(c.layer("rotation", i) == "rope") for i in range(c.n_layer)]
    if kind == "phi3":
        d |= {"original_max_position_embeddings": (c.rope_scaling or {}).get("trained", c.context)}
    if kind in WINDOWS:
        d["sliding_window"] = None
        if all(windows):
            d["sliding_window"] = c.window
    if kind in (*SWITCHED, "gemma2"):
        d |= {
            "sliding_window": c.window,
            "layer_types": [words[c.layer("attention", i)] for i in range(c.n_layer)],
        }
    if kind in SWITCHED:
        d["use_sliding_window"] = any(windows)
    if kind == "gemma2":
        d |= {
            "sliding_window": c.window or c.context,  # the class needs one, used or not
            "attn_logit_softcapping": c.attention_cap,
            "final_logit_softcapping": c.logit_cap,
            # attention_scale is the inverse of its root; an integer there.
            "query_pre_attn_scalar": round((c.attention_scale or c.key_width**-0.5) ** -2),
            "hidden_activation": d["hidden_act"],
        }
    if kind == "mixtral":
        d |= {"num_local_experts": c.experts, "num_experts_per_tok": c.experts_per_token}
    return d


def _bias(own, config):
    """A bias of one part: its own setting, or where that is None the general one."""
    if own is None:
        return config.bias
    return own


def rules(config: GPTConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    c = config
    shift = 0.0  # of gains
    if kind.startswith("gemma"):
        shift = 1.0
    # Widths of q, k and v: several heads of queries may share one of keys and values.
    sizes = [heads * c.key_width for heads in (c.n_head, c.kv_heads, c.kv_heads)]
    made = [same("tokens.weight", f"{PREFIX}embed_tokens.weight")]
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"{PREFIX}layers.{i}"
        attention = f"{theirs}.self_attn"
        bias = bool(_bias(c.qkv_bias, c))
        if kind == "phi3":
            qkv = affine(f"{ours}.attention.qkv", f"{attention}.qkv_proj", bias=bias)
        else:
            names = (f"{attention}.{x}_proj" for x in "qkv")
            qkv = affine(f"{ours}.attention.qkv", *names, sizes=sizes, bias=bias)
        if c.rotary_width is not None:
            qkv = [resting_pairs(rule, c) for rule in qkv]
        made += qkv
        if c.qk_norm is not None:
            made += [
                same(f"{ours}.attention.{x}_norm.gain", f"{attention}.{x}_norm.weight")
                for x in "qk"
            ]
        made += affine(f"{ours}.attention.out", f"{attention}.o_proj", bias=c.bias)
        made += _feed_forward(c, i, f"{ours}.feed_forward", theirs, kind)
        # norms.0 and norms.1 before the branches; with two to a branch, norms.0.0 before and
        # norms.0.1 after it. Hugging Face's names mean another place in each family.
        norms = {"0": "input_layernorm", "1": "post_attention_layernorm"}
        if kind == "gemma2":
            norms = {
                "0.0": "input_layernorm",
                "0.1": "post_attention_layernorm",
                "1.0": "pre_feedforward_layernorm",
                "1.1": "post_feedforward_layernorm",
            }
        if c.norm_placement == "branch":
            norms = {"0": "post_attention_layernorm", "1": "post_feedforward_layernorm"}
        made += [
            same(f"{ours}.norms.{n}.gain", f"{theirs}.{norm}.weight", shift)
            for n, norm in norms.items()
        ]
    made.append(same("norm.gain", f"{PREFIX}norm.weight", shift))
    return made + untied_head(c)


def _feed_forward(c, layer, ours, theirs, kind):
    """The rules of the feed-forward of one layer: packed (Phi-3), dense, or of experts."""
    if kind == "phi3":
        packed = f"{theirs}.mlp.gate_up_proj.weight"
        rising = [part_of(f"{ours}.{x}.weight", packed, i, 2) for i, x in enumerate(("gate", "up"))]
        return rising + [linear_weight(f"{ours}.out.weight", f"{theirs}.mlp.down_proj.weight")]
    if c.layer("feed_forward", layer) == "dense":
        bias, made = _bias(c.mlp_bias, c), []
        for name, other in (("gate", "gate"), ("up", "up"), ("out", "down")):
            made += affine(f"{ours}.{name}", f"{theirs}.mlp.{other}_proj", bias=bias)
        return made
    moe = f"{theirs}.block_sparse_moe"
    made = [linear_weight(f"{ours}.router.weight", f"{moe}.gate.weight")]
    for e in range(c.experts):
        expert, other = f"{ours}.experts.{e}", f"{moe}.experts.{e}"
        for name, number in (("gate", 1), ("up", 3), ("out", 2)):
            made.append(linear_weight(f"{expert}.{name}.weight", f"{other}.w{number}.weight"))
    return made

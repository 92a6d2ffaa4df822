"""Falcon as Hugging Face keeps it: parallel blocks, one matrix for queries, keys and values, RoPE
or ALiBi.

Its ALiBi is the book's (eq. 2.83): the bias stands beside q k^T under one root. Read next:
bloom.py.
"""

from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.rope import read_rope, trained_context, write_rope
from tinylm.models.published.layouts.rules import affine, grouped_qkv, layer_norm, linear, same

PREFIX = "transformer."
ACTIVATION = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
}


def read_config(f, names=None):
    """The GPTConfig of a config.json."""
    heads = f.integer("num_attention_heads", "n_head")
    new = f.flag("new_decoder_architecture", default=False)
    several = f.flag("multi_query", default=True)
    kv_heads = f.integer("num_kv_heads", "n_head_kv", default=heads)
    if not new:
        kv_heads = 1 if several else heads
    alibi = f.flag("alibi", default=False)
    base, scaling, _, context = read_rope(f, f.integer("max_position_embeddings", default=2048))
    return GPTConfig(
        vocab_size=f.integer("vocab_size"),
        context=context,
        n_layer=f.integer("num_hidden_layers", "n_layer"),
        n_head=heads,
        d_model=f.integer("hidden_size"),
        n_kv_head=kv_heads,
        d_hidden=f.integer("ffn_hidden_size", default=None),
        norm_placement=_placement(f, new),
        norm_eps=f.number("layer_norm_epsilon", default=1e-5),
        activation=f.choice("activation", table=ACTIVATION, default="gelu"),
        positions="alibi_in_root" if alibi else "rope",
        rope_base=base,
        rope_scaling=None if alibi else scaling,
        bias=f.flag("bias", default=False),
        norm_bias=True,
        tied=f.flag("tie_word_embeddings", default=True),
    )


def _placement(f, new):
    norms = f.integer("num_ln_in_parallel_attn", default=2 if new else 1)
    parallel = f.flag("parallel_attn", default=True)
    if norms not in (1, 2):
        f.refuse("num_ln_in_parallel_attn", norms, "1 or 2")
    if new:
        if norms == 2:
            return "parallel_pair"
        return "parallel"
    if parallel:
        return "parallel"
    return "pre"


def write_config(config, kind):
    """The config.json of a GPTConfig, as far as the family has words for it."""
    c = config
    new = c.norm_placement == "parallel_pair" or c.kv_heads not in (1, c.n_head)
    words = {ours: theirs for theirs, ours in ACTIVATION.items() if theirs != "gelu_new"}
    return write_rope(c) | {
        "model_type": kind,
        "architectures": ["FalconForCausalLM"],
        "vocab_size": c.vocab_size,
        "max_position_embeddings": trained_context(c),
        "num_hidden_layers": c.n_layer,
        "num_attention_heads": c.n_head,
        "hidden_size": c.d_model,
        "num_kv_heads": c.kv_heads,
        "ffn_hidden_size": c.hidden_width,
        "activation": words[c.activation],
        "layer_norm_epsilon": c.norm_eps or 1e-5,
        "bias": c.bias,
        "alibi": c.positions == "alibi_in_root",
        "new_decoder_architecture": new,
        "multi_query": c.kv_heads == 1,
        "num_ln_in_parallel_attn": 2 if c.norm_placement == "parallel_pair" else 1,
        "parallel_attn": c.norm_placement.startswith("parallel"),
        "tie_word_embeddings": c.tied,
    }


def rules(config, kind):
    """How each parameter is kept."""
    c = config
    names = {
        "parallel_pair": ("ln_attn", "ln_mlp"),
        "parallel": ("input_layernorm",),
        "pre": ("input_layernorm", "post_attention_layernorm"),
    }[c.norm_placement]
    made = [same("tokens.weight", f"{PREFIX}word_embeddings.weight")]
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"{PREFIX}h.{i}"
        qkv = f"{theirs}.self_attention.query_key_value"
        parts = ["weight"] + ["bias"] * c.bias
        made += [grouped_qkv(f"{ours}.attention.qkv.{part}", f"{qkv}.{part}", c) for part in parts]
        made += affine(f"{ours}.attention.out", f"{theirs}.self_attention.dense", bias=c.bias)
        made += affine(f"{ours}.feed_forward.hidden", f"{theirs}.mlp.dense_h_to_4h", bias=c.bias)
        made += affine(f"{ours}.feed_forward.out", f"{theirs}.mlp.dense_4h_to_h", bias=c.bias)
        for n, name in enumerate(names):
            made += layer_norm(f"{ours}.norms.{n}", f"{theirs}.{name}")
    made += layer_norm("norm", f"{PREFIX}ln_f")
    return made + ([] if c.tied else [linear("head", "lm_head.weight")])

"""Falcon in Hugging Face's layout: parallel blocks, one matrix for q, k and v, RoPE or ALiBi.

Its ALiBi is the book's (eq. 2.83): the bias stands beside q k^T under one root. Read next:
bloom.py.
"""

from typing import Any

from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rope import read_rope, trained_context, write_rope
from tinylm.models.published.layouts.rules import (
    Rule,
    affine,
    grouped_qkv,
    layer_norm,
    same,
    untied_head,
)

PREFIX = "transformer."
# {activation there: here}
ACTIVATION = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
}


def read_config(f: Fields, names: Any = None) -> GPTConfig:
    """The GPTConfig of a config.json."""
    heads = f.integer("num_attention_heads", "n_head")
    new = f.flag("new_decoder_architecture", default=False)
    multi_query = f.flag("multi_query", default=True)
    kv_heads = f.integer("num_kv_heads", "n_head_kv", default=heads)
    if not new:  # the first architecture ignores that field: one head of keys, or one a query
        kv_heads = heads
        if multi_query:
            kv_heads = 1
    alibi = f.flag("alibi", default=False)
    base, scaling, _, context = read_rope(f, f.integer("max_position_embeddings", default=2048))
    positions = "rope"
    if alibi:
        positions, scaling = "alibi_in_root", None
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
        positions=positions,
        rope_base=base,
        rope_scaling=scaling,
        bias=f.flag("bias", default=False),
        norm_bias=True,
        tied=f.flag("tie_word_embeddings", default=True),
    )


def _placement(f, new):
    """norm_placement: parallel branches with one norm or two, or one after the other."""
    norms = f.integer("num_ln_in_parallel_attn", default=1 + new)
    parallel = f.flag("parallel_attn", default=True)
    if norms not in (1, 2):
        f.refuse("num_ln_in_parallel_attn", norms, "1 or 2")
    if new and norms == 2:
        return "parallel_pair"
    if new or parallel:
        return "parallel"
    return "pre"


def write_config(config: GPTConfig, kind: str) -> dict[str, Any]:
    """The config.json of a GPTConfig, without the parts that the family has no fields for."""
    c = config
    # The newer architecture is written where only it has the part.
    new = c.norm_placement == "parallel_pair" or c.kv_heads not in (1, c.n_head)
    # Two names for the tanh form: the newer one is written.
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
        "num_ln_in_parallel_attn": 1 + (c.norm_placement == "parallel_pair"),
        "parallel_attn": c.norm_placement.startswith("parallel"),
        "tie_word_embeddings": c.tied,
    }


def rules(config: GPTConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    c = config
    # Of norms.0 and norms.1.
    names = {
        "parallel_pair": ("ln_attn", "ln_mlp"),
        "parallel": ("input_layernorm",),
        "pre": ("input_layernorm", "post_attention_layernorm"),
    }[c.norm_placement]
    # Falcon's projections are (out, in) as in torch; `affine` transposes them.
    made = [same("tokens.weight", f"{PREFIX}word_embeddings.weight")]
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"{PREFIX}h.{i}"
        # Group by group: the queries that share a head of keys, then that head of keys and values.
        qkv = f"{theirs}.self_attention.query_key_value"
        parts = ["weight"] + ["bias"] * c.bias
        made += [grouped_qkv(f"{ours}.attention.qkv.{part}", f"{qkv}.{part}", c) for part in parts]
        made += affine(f"{ours}.attention.out", f"{theirs}.self_attention.dense", bias=c.bias)
        made += affine(f"{ours}.feed_forward.hidden", f"{theirs}.mlp.dense_h_to_4h", bias=c.bias)
        made += affine(f"{ours}.feed_forward.out", f"{theirs}.mlp.dense_4h_to_h", bias=c.bias)
        for n, name in enumerate(names):
            made += layer_norm(f"{ours}.norms.{n}", f"{theirs}.{name}")
    made += layer_norm("norm", f"{PREFIX}ln_f")
    return made + untied_head(c)

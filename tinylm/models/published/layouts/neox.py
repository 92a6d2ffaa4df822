"""GPT-NeoX and Pythia in Hugging Face's layout: parallel blocks with two norms.

Queries, keys and values are one matrix, head by head, and RoPE rotates the first quarter of a
head. Black et al. 2022. Read next: opt.py.
"""

from typing import Any

from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.gpt2 import ACTIVATION
from tinylm.models.published.layouts.rope import read_rope, trained_context, write_rope
from tinylm.models.published.layouts.rules import (
    Rule,
    affine,
    grouped_qkv,
    layer_norm,
    resting_pairs,
    same,
    untied_head,
)

PREFIX = "gpt_neox."
# The names of the base and the share of a head that rotates, outside of rope_parameters.
BESIDE = "rotary_emb_base", "rotary_pct"


def read_config(f: Fields, names: Any = None) -> GPTConfig:
    """The GPTConfig of a config.json."""
    heads, d_model = f.integer("num_attention_heads"), f.integer("hidden_size")
    base, scaling, turned, context = read_rope(
        f, f.integer("max_position_embeddings"), share=0.25, width=d_model // heads, beside=BESIDE
    )
    placement = "parallel_pair"
    if not f.flag("use_parallel_residual", default=True):
        placement = "pre"
    bias = f.flag("attention_bias", default=True)
    return GPTConfig(
        vocab_size=f.integer("vocab_size"),
        context=context,
        n_layer=f.integer("num_hidden_layers"),
        n_head=heads,
        d_model=d_model,
        d_hidden=f.integer("intermediate_size"),
        norm_placement=placement,
        norm_eps=f.number("layer_norm_eps", default=1e-5),
        norm_bias=True,
        activation=f.choice("hidden_act", table=ACTIVATION, default="gelu"),
        positions="rope",
        rope_base=base,
        rope_scaling=scaling,
        rotary_width=turned,
        bias=bias,  # of attention; the feed-forward always has biases
        qkv_bias=bias,
        mlp_bias=True,
        tied=f.flag("tie_word_embeddings", default=False),
    )


def write_config(config: GPTConfig, kind: str) -> dict[str, Any]:
    """The config.json of a GPTConfig, without the parts that the family has no fields for."""
    c = config
    # Of several words for one activation, the first in ACTIVATION.
    words = {ours: theirs for theirs, ours in reversed(ACTIVATION.items())}
    turned = write_rope(c)
    share = turned["rope_parameters"].get("partial_rotary_factor", 1.0)
    # Versions of the library read the share from either section: it stands in both.
    for section in {"rope_parameters", "rope_scaling"} & turned.keys():
        turned[section]["partial_rotary_factor"] = share
    return turned | {
        "model_type": kind,
        "architectures": ["GPTNeoXForCausalLM"],
        "vocab_size": c.vocab_size,
        "max_position_embeddings": trained_context(c),
        "rotary_emb_base": c.rope_base,
        "rotary_pct": share,
        "num_hidden_layers": c.n_layer,
        "num_attention_heads": c.n_head,
        "hidden_size": c.d_model,
        "intermediate_size": c.hidden_width,
        "hidden_act": words[c.activation],
        "layer_norm_eps": c.norm_eps or 1e-5,
        "use_parallel_residual": c.norm_placement == "parallel_pair",
        "attention_bias": c.bias,
        "tie_word_embeddings": c.tied,
    }


def rules(config: GPTConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    c = config
    made = [same("tokens.weight", f"{PREFIX}embed_in.weight")]
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"{PREFIX}layers.{i}"
        for part in ["weight"] + ["bias"] * c.bias:
            # Head by head there; ours has all queries first. Then, for a head that turns in part,
            # the order of its numbers.
            name = f"{theirs}.attention.query_key_value.{part}"
            qkv = grouped_qkv(f"{ours}.attention.qkv.{part}", name, c)
            if c.rotary_width is not None:
                qkv = resting_pairs(qkv, c)
            made.append(qkv)
        made += affine(f"{ours}.attention.out", f"{theirs}.attention.dense", bias=c.bias)
        made += affine(f"{ours}.feed_forward.hidden", f"{theirs}.mlp.dense_h_to_4h")
        made += affine(f"{ours}.feed_forward.out", f"{theirs}.mlp.dense_4h_to_h")
        made += layer_norm(f"{ours}.norms.0", f"{theirs}.input_layernorm")
        made += layer_norm(f"{ours}.norms.1", f"{theirs}.post_attention_layernorm")
    made += layer_norm("norm", f"{PREFIX}final_layer_norm")
    return made + untied_head(c, "embed_out.weight")

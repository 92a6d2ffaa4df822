"""OPT in Hugging Face's layout: GPT-2's parts with ReLU; two unused rows before the positions.

Zhang et al. 2022. Position t of a sequence is row t + 2: the table was made for a padding index.
The one model with norms after the branches (350M) also has embeddings of another width, which are
not read. Read next: mpt.py.
"""

from typing import Any

from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.gpt2 import ACTIVATION
from tinylm.models.published.layouts.rules import (
    Rule,
    affine,
    layer_norm,
    rows_from,
    same,
    untied_head,
)

PREFIX = "model."
FIRST_POSITION = 2  # the row of the first token


def read_config(f: Fields, names: Any = None) -> GPTConfig:
    """The GPTConfig of a config.json."""
    d_model = f.integer("hidden_size")
    f.only("word_embed_proj_dim", d_model)  # embeddings of the model's width
    f.only("_remove_final_layer_norm", False)
    f.only("layer_norm_elementwise_affine", True)
    placement = "pre"
    if not f.flag("do_layer_norm_before", default=True):
        placement = "post"
    return GPTConfig(
        vocab_size=f.integer("vocab_size"),
        context=f.integer("max_position_embeddings"),
        n_layer=f.integer("num_hidden_layers"),
        n_head=f.integer("num_attention_heads"),
        d_model=d_model,
        d_hidden=f.integer("ffn_dim"),
        norm_placement=placement,
        norm_bias=True,
        activation=f.choice("activation_function", table=ACTIVATION, default="relu"),
        bias=f.flag("enable_bias", default=True),
        tied=f.flag("tie_word_embeddings", default=True),
    )


def write_config(config: GPTConfig, kind: str) -> dict[str, Any]:
    """The config.json of a GPTConfig, without the parts that the family has no fields for."""
    c = config
    # Of several words for one activation, the first in ACTIVATION.
    words = {ours: theirs for theirs, ours in reversed(ACTIVATION.items())}
    return {
        "model_type": kind,
        "architectures": ["OPTForCausalLM"],
        "vocab_size": c.vocab_size,
        "max_position_embeddings": c.context,
        "num_hidden_layers": c.n_layer,
        "num_attention_heads": c.n_head,
        "hidden_size": c.d_model,
        "word_embed_proj_dim": c.d_model,
        "ffn_dim": c.hidden_width,
        "activation_function": words[c.activation],
        "do_layer_norm_before": c.norm_placement == "pre",
        "enable_bias": c.bias,
        "tie_word_embeddings": c.tied,
    }


def rules(config: GPTConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    c, stem = config, f"{PREFIX}decoder"
    made = [
        same("tokens.weight", f"{stem}.embed_tokens.weight"),
        rows_from("positions.table.weight", f"{stem}.embed_positions.weight", FIRST_POSITION),
    ]
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"{stem}.layers.{i}"
        attention = f"{theirs}.self_attn"
        qkv = (f"{attention}.{x}_proj" for x in "qkv")
        made += affine(f"{ours}.attention.qkv", *qkv, bias=c.bias)
        made += affine(f"{ours}.attention.out", f"{attention}.out_proj", bias=c.bias)
        made += affine(f"{ours}.feed_forward.hidden", f"{theirs}.fc1", bias=c.bias)
        made += affine(f"{ours}.feed_forward.out", f"{theirs}.fc2", bias=c.bias)
        made += layer_norm(f"{ours}.norms.0", f"{theirs}.self_attn_layer_norm")
        made += layer_norm(f"{ours}.norms.1", f"{theirs}.final_layer_norm")
    if c.norm_placement == "pre":  # after the last block
        made += layer_norm("norm", f"{stem}.final_layer_norm")
    return made + untied_head(c)

"""BLOOM in Hugging Face's layout: ALiBi, a norm after the embeddings, q, k and v head by head.

Read next: bert.py.
"""

from typing import Any

from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rules import (
    Rule,
    affine,
    grouped_qkv,
    layer_norm,
    same,
    untied_head,
)

PREFIX = "transformer."


def read_config(f: Fields, names: Any = None) -> GPTConfig:
    """The GPTConfig of a config.json."""
    f.only("apply_residual_connection_post_layernorm", False)
    f.only("slow_but_exact", False)  # the library's slices of a product leave its bias out
    # Kernels, training, and padding: the same function.
    f.ignore(
        "pretraining_tp masked_softmax_fusion attention_softmax_in_fp32 bias_dropout_fusion "
        "skip_bias_add skip_bias_add_qkv offset_alibi unk_token_id"
    )
    return GPTConfig(
        vocab_size=f.integer("vocab_size"),
        context=f.integer("seq_length", default=2048),
        n_layer=f.integer("n_layer", "num_hidden_layers"),
        n_head=f.integer("n_head", "num_attention_heads"),
        d_model=f.integer("hidden_size", "n_embed"),
        norm_eps=f.number("layer_norm_epsilon", default=1e-5),
        positions="alibi",
        embedding_norm=True,
        tied=f.flag("tie_word_embeddings", default=True),
    )


def write_config(config: GPTConfig, kind: str) -> dict[str, Any]:
    """The config.json of a GPTConfig."""
    c = config
    return {
        "model_type": kind,
        "architectures": ["BloomForCausalLM"],
        "vocab_size": c.vocab_size,
        "seq_length": c.context,
        "n_layer": c.n_layer,
        "n_head": c.n_head,
        "hidden_size": c.d_model,
        "layer_norm_epsilon": c.norm_eps or 1e-5,
        "tie_word_embeddings": c.tied,
    }


def rules(config: GPTConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    c = config
    made = [same("tokens.weight", f"{PREFIX}word_embeddings.weight")]
    made += layer_norm("embedding_norm", f"{PREFIX}word_embeddings_layernorm")
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"{PREFIX}h.{i}"
        qkv = f"{theirs}.self_attention.query_key_value"
        # Every head has its own keys and values: groups of one.
        made += [
            grouped_qkv(f"{ours}.attention.qkv.{part}", f"{qkv}.{part}", c)
            for part in ("weight", "bias")
        ]
        made += affine(f"{ours}.attention.out", f"{theirs}.self_attention.dense")
        made += affine(f"{ours}.feed_forward.hidden", f"{theirs}.mlp.dense_h_to_4h")
        made += affine(f"{ours}.feed_forward.out", f"{theirs}.mlp.dense_4h_to_h")
        made += layer_norm(f"{ours}.norms.0", f"{theirs}.input_layernorm")
        made += layer_norm(f"{ours}.norms.1", f"{theirs}.post_attention_layernorm")
    made += layer_norm("norm", f"{PREFIX}ln_f")
    return made + untied_head(c)

"""BLOOM as Hugging Face keeps it: ALiBi, a norm after the embeddings, queries, keys and values head by head.

Read next: published/load.py.
"""
from tinylm.errors import CheckpointError
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.rules import affine, grouped_qkv, layer_norm, linear, same


def read_config(described):
    """The GPTConfig of a config.json."""
    d = described
    if d.get("apply_residual_connection_post_layernorm"):
        raise CheckpointError("config.json: a residual connection after the norm is not read here")
    width = d.get("hidden_size", d.get("n_embed"))
    return GPTConfig(d["vocab_size"], d.get("seq_length", 2048), d.get("n_layer", d.get("num_hidden_layers")),
                     d.get("n_head", d.get("num_attention_heads")), width, norm_eps=d.get("layer_norm_epsilon", 1e-5),
                     positions="alibi", embedding_norm=True, tied=d.get("tie_word_embeddings", True))


def write_config(config, kind):
    """The config.json of a GPTConfig."""
    c = config
    return {"model_type": kind, "architectures": ["BloomForCausalLM"], "vocab_size": c.vocab_size, "seq_length": c.context,
            "n_layer": c.n_layer, "n_head": c.n_head, "hidden_size": c.d_model, "layer_norm_epsilon": c.norm_eps or 1e-5,
            "tie_word_embeddings": c.tied}


def rules(config, kind):
    """How each parameter is kept."""
    c, top = config, "transformer."
    made = [same("tokens.weight", f"{top}word_embeddings.weight")] + layer_norm("embedding_norm", f"{top}word_embeddings_layernorm")
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"{top}h.{i}"
        made += [grouped_qkv(f"{ours}.attention.qkv.{part}", f"{theirs}.self_attention.query_key_value.{part}", c)
                 for part in ("weight", "bias")]
        made += affine(f"{ours}.attention.out", f"{theirs}.self_attention.dense")
        made += affine(f"{ours}.feed_forward.hidden", f"{theirs}.mlp.dense_h_to_4h")
        made += affine(f"{ours}.feed_forward.out", f"{theirs}.mlp.dense_4h_to_h")
        made += layer_norm(f"{ours}.norms.0", f"{theirs}.input_layernorm")
        made += layer_norm(f"{ours}.norms.1", f"{theirs}.post_attention_layernorm")
    made += layer_norm("norm", f"{top}ln_f")
    return made + ([] if c.tied else [linear("head", "lm_head.weight")])

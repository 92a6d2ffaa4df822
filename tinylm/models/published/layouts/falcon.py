"""Falcon as Hugging Face keeps it: parallel blocks, and one matrix for queries, keys and values. Read next: bloom.py."""
from tinylm.errors import CheckpointError
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.rules import affine, grouped_qkv, layer_norm, linear, same


def read_config(described):
    """The GPTConfig of a config.json; CheckpointError for the early models with ALiBi."""
    d = described
    if d.get("alibi"):
        raise CheckpointError("config.json: Falcon with ALiBi divides its biases by sqrt(K); it is not read here")
    new = d.get("new_decoder_architecture", False)
    heads = d.get("num_attention_heads", d.get("n_head"))
    kv_heads = d.get("num_kv_heads", d.get("n_head_kv")) if new else 1 if d.get("multi_query", True) else heads
    two = new and d.get("num_ln_in_parallel_attn") in (None, 2)
    placement = "parallel_pair" if two else "parallel" if new or d.get("parallel_attn", True) else "pre"
    rope = d.get("rope_parameters") or {}
    return GPTConfig(d["vocab_size"], d.get("max_position_embeddings", 2048), d.get("num_hidden_layers", d.get("n_layer")), heads,
                     d["hidden_size"], kv_heads, d.get("ffn_hidden_size"), norm_placement=placement,
                     norm_eps=d.get("layer_norm_epsilon", 1e-5), activation=d.get("activation", "gelu"), positions="rope",
                     rope_base=rope.get("rope_theta", d.get("rope_theta", 10000.0)), bias=d.get("bias", False), norm_bias=True,
                     tied=d.get("tie_word_embeddings", True))


def write_config(config, kind):
    """The config.json of a GPTConfig, as far as the family has words for it."""
    c = config
    new = c.norm_placement == "parallel_pair" or c.kv_heads not in (1, c.n_head)
    return {"model_type": kind, "architectures": ["FalconForCausalLM"], "vocab_size": c.vocab_size,
            "max_position_embeddings": c.context, "num_hidden_layers": c.n_layer, "num_attention_heads": c.n_head,
            "hidden_size": c.d_model, "num_kv_heads": c.kv_heads, "ffn_hidden_size": c.hidden_width, "activation": c.activation,
            "layer_norm_epsilon": c.norm_eps or 1e-5, "rope_theta": c.rope_base,
            "rope_parameters": {"rope_type": "default", "rope_theta": c.rope_base}, "bias": c.bias, "alibi": False,
            "new_decoder_architecture": new, "num_ln_in_parallel_attn": 2 if c.norm_placement == "parallel_pair" else 1,
            "multi_query": c.kv_heads == 1, "parallel_attn": c.norm_placement.startswith("parallel"), "tie_word_embeddings": c.tied}


def rules(config, kind):
    """How each parameter is kept."""
    c, top = config, "transformer."
    names = {"parallel_pair": ("ln_attn", "ln_mlp"), "parallel": ("input_layernorm",),
             "pre": ("input_layernorm", "post_attention_layernorm")}[c.norm_placement]
    made = [same("tokens.weight", f"{top}word_embeddings.weight")]
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"{top}h.{i}"
        made += [grouped_qkv(f"{ours}.attention.qkv.{part}", f"{theirs}.self_attention.query_key_value.{part}", c)
                 for part in ["weight"] + ["bias"] * c.bias]
        made += affine(f"{ours}.attention.out", f"{theirs}.self_attention.dense", c.bias)
        made += affine(f"{ours}.feed_forward.hidden", f"{theirs}.mlp.dense_h_to_4h", c.bias)
        made += affine(f"{ours}.feed_forward.out", f"{theirs}.mlp.dense_4h_to_h", c.bias)
        for n, name in enumerate(names):
            made += layer_norm(f"{ours}.norms.{n}", f"{theirs}.{name}")
    made += layer_norm("norm", f"{top}ln_f")
    return made + ([] if c.tied else [linear("head", "lm_head.weight")])

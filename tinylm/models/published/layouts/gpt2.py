"""GPT-2 and GPT-1 as Hugging Face keeps them: Conv1D matrices are (in, out), as ours. Read next: llama.py."""
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.rules import layer_norm, linear, same

ACTIVATION = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu": "relu", "silu": "silu"}


def read_config(described):
    """The GPTConfig of a config.json."""
    d = described
    first = d["model_type"] == "openai-gpt"                 # its "gelu" is the tanh form
    return GPTConfig(d["vocab_size"], d["n_positions"], d["n_layer"], d["n_head"], d["n_embd"], d_hidden=d.get("n_inner"),
                     norm_placement="post" if first else "pre", norm_eps=d.get("layer_norm_epsilon", 1e-5),
                     activation="gelu_tanh" if first else ACTIVATION[d["activation_function"]],
                     tied=d.get("tie_word_embeddings", True))


def write_config(config, kind):
    """The config.json of a GPTConfig."""
    c = config
    activation = {"afn": "gelu"} if kind == "openai-gpt" else {
        "activation_function": {"gelu_tanh": "gelu_new"}.get(c.activation, c.activation), "n_inner": c.d_hidden}
    return {"model_type": kind, "architectures": ["OpenAIGPTLMHeadModel" if kind == "openai-gpt" else "GPT2LMHeadModel"],
            "vocab_size": c.vocab_size, "n_positions": c.context, "n_layer": c.n_layer, "n_head": c.n_head, "n_embd": c.d_model,
            "layer_norm_epsilon": c.norm_eps or 1e-5, "tie_word_embeddings": c.tied, **activation}


def rules(config, kind):
    """How each parameter is kept."""
    top = "transformer."
    tokens, positions = ("tokens_embed", "positions_embed") if kind == "openai-gpt" else ("wte", "wpe")
    made = [same("tokens.weight", f"{top}{tokens}.weight"), same("positions.table.weight", f"{top}{positions}.weight")]
    for i in range(config.n_layer):
        ours, theirs = f"blocks.{i}", f"{top}h.{i}"
        for name, other in (("attention.qkv", "attn.c_attn"), ("attention.out", "attn.c_proj"),
                            ("feed_forward.hidden", "mlp.c_fc"), ("feed_forward.out", "mlp.c_proj")):
            made += [same(f"{ours}.{name}.{part}", f"{theirs}.{other}.{part}") for part in ("weight", "bias")]
        made += layer_norm(f"{ours}.norms.0", f"{theirs}.ln_1") + layer_norm(f"{ours}.norms.1", f"{theirs}.ln_2")
    made += [] if kind == "openai-gpt" else layer_norm("norm", f"{top}ln_f")
    return made + ([] if config.tied else [linear("head", "lm_head.weight")])

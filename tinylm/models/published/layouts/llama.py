"""LLaMA and what grew from it: Mistral, Mixtral, Qwen2, Gemma, Gemma 2, as Hugging Face keeps them.

One layout with few differences: Qwen2 has biases on queries, keys and values; Gemma publishes gains less 1 and Gemma 2
has twice as many; Mixtral has experts, whose three matrices are called w1 (gate), w3 (up) and w2 (out). Read next:
falcon.py.
"""
from tinylm.errors import CheckpointError
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.rules import joined, linear, same

ACTIVATION = {"silu": "swiglu", "gelu_pytorch_tanh": "geglu_tanh", "gelu": "geglu"}
ARCHITECTURE = {"llama": "Llama", "mistral": "Mistral", "mixtral": "Mixtral", "qwen2": "Qwen2", "gemma": "Gemma",
                "gemma2": "Gemma2"}
KINDS_OF_LAYER = {"full_attention": "full", "sliding_attention": "window"}


def read_config(described):
    """The GPTConfig of a config.json; CheckpointError for what no preset of the family has."""
    d, kind = described, described["model_type"]
    gemma = kind.startswith("gemma")
    if d.get("attention_bias") or d.get("mlp_bias"):
        raise CheckpointError("config.json: attention_bias and mlp_bias are not read here")
    attention = _attention(d, kind)
    base, scaling = _rope(d)
    parts = {}
    if gemma:
        parts |= dict(embedding_scale=d["hidden_size"] ** 0.5, activation="geglu_tanh")
    if kind == "gemma2":
        parts |= dict(norm_placement="sandwich", attention_cap=d["attn_logit_softcapping"], logit_cap=d["final_logit_softcapping"],
                      attention_scale=d["query_pre_attn_scalar"] ** -0.5)
    if kind == "mixtral":
        parts |= dict(feed_forward=("experts",), experts=d["num_local_experts"], experts_per_token=d["num_experts_per_tok"])
    return GPTConfig(**dict(
        vocab_size=d["vocab_size"], context=d["max_position_embeddings"], n_layer=d["num_hidden_layers"],
        n_head=d["num_attention_heads"], n_kv_head=d.get("num_key_value_heads"), d_model=d["hidden_size"],
        d_hidden=d["intermediate_size"], head_width=d.get("head_dim"), norm="rms", norm_eps=d["rms_norm_eps"],
        activation=ACTIVATION[d["hidden_act"] if not gemma else "silu"], positions="rope", rope_base=base, rope_scaling=scaling,
        bias=False, qkv_bias=kind == "qwen2", tied=d.get("tie_word_embeddings", gemma), attention=attention,
        window=d.get("sliding_window") if "window" in attention else None) | parts)


def _attention(d, kind):
    if d.get("layer_types"):
        return tuple(KINDS_OF_LAYER[layer] for layer in d["layer_types"])
    if kind in ("mistral", "mixtral"):
        return ("window",) if d.get("sliding_window") else ("full",)
    if kind == "qwen2" and d.get("use_sliding_window"):
        layers = min(d["num_hidden_layers"], 4096)          # an absurd number is refused when the weights are counted
        return tuple("window" if i >= d["max_window_layers"] else "full" for i in range(layers))
    return ("window", "full") if kind == "gemma2" else ("full",)


def _rope(d):
    """(base, rope_scaling), from either of the two ways in which the library has written them."""
    rope = d.get("rope_parameters") or d.get("rope_scaling") or {}
    base, kind = rope.get("rope_theta", d.get("rope_theta", 10000.0)), rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return base, None
    if kind == "linear":
        return base, {"name": "linear", "factor": rope["factor"]}
    if kind == "llama3":
        return base, {"name": "llama3", "factor": rope["factor"], "trained": rope["original_max_position_embeddings"],
                      "low": rope["low_freq_factor"], "high": rope["high_freq_factor"]}
    raise CheckpointError(f"config.json: rotary scaling of type {kind!r} is not read here, but default, linear, llama3")


def write_config(config, kind):
    """The config.json of a GPTConfig, as far as the family has words for it."""
    c = config
    rope = {"rope_type": "default"}
    if c.rope_scaling is not None:
        words = {"trained": "original_max_position_embeddings", "low": "low_freq_factor", "high": "high_freq_factor",
                 "name": "rope_type"}
        rope = {words.get(name, name): value for name, value in c.rope_scaling.items()}
    windows = [c.layer("attention", i) == "window" for i in range(c.n_layer)]
    words = {ours: theirs for theirs, ours in KINDS_OF_LAYER.items()}
    d = {"model_type": kind, "architectures": [f"{ARCHITECTURE[kind]}ForCausalLM"], "vocab_size": c.vocab_size,
         "max_position_embeddings": c.context, "num_hidden_layers": c.n_layer, "num_attention_heads": c.n_head,
         "num_key_value_heads": c.kv_heads, "hidden_size": c.d_model, "intermediate_size": c.hidden_width,
         "head_dim": c.key_width, "rms_norm_eps": c.norm_eps or 1e-6,
         "hidden_act": {ours: theirs for theirs, ours in ACTIVATION.items()}.get(c.activation, c.activation),
         "rope_theta": c.rope_base, "rope_parameters": rope | {"rope_theta": c.rope_base}, "tie_word_embeddings": c.tied}
    if c.rope_scaling is not None:
        d["rope_scaling"] = rope
    if kind in ("mistral", "mixtral"):
        d["sliding_window"] = c.window if all(windows) else None
    if kind in ("qwen2", "gemma2"):
        d |= {"sliding_window": c.window, "use_sliding_window": any(windows),
              "layer_types": [words[c.layer("attention", i)] for i in range(c.n_layer)]}
    if kind == "gemma2":
        d |= {"attn_logit_softcapping": c.attention_cap, "final_logit_softcapping": c.logit_cap,
              "query_pre_attn_scalar": round((c.attention_scale or c.key_width ** -0.5) ** -2),     # an integer there
              "hidden_activation": d["hidden_act"]}
    if kind == "mixtral":
        d |= {"num_local_experts": c.experts, "num_experts_per_tok": c.experts_per_token}
    return d


def rules(config, kind):
    """How each parameter is kept."""
    c, one = config, 1.0 if kind.startswith("gemma") else 0.0
    sizes = [heads * c.key_width for heads in (c.n_head, c.kv_heads, c.kv_heads)]
    made = [same("tokens.weight", "model.embed_tokens.weight")]
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        for part, rule in [("weight", linear)] + [("bias", joined)] * bool(c.qkv_bias):
            made.append(rule(f"{ours}.attention.qkv.{part}", *(f"{theirs}.self_attn.{x}_proj.{part}" for x in "qkv"), sizes=sizes))
        made.append(linear(f"{ours}.attention.out.weight", f"{theirs}.self_attn.o_proj.weight"))
        made += _feed_forward(c, i, f"{ours}.feed_forward", theirs)
        norms = {"0": "input_layernorm", "1": "post_attention_layernorm"}
        if kind == "gemma2":
            norms = {"0.0": "input_layernorm", "0.1": "post_attention_layernorm", "1.0": "pre_feedforward_layernorm",
                     "1.1": "post_feedforward_layernorm"}
        made += [same(f"{ours}.norms.{n}.gain", f"{theirs}.{norm}.weight", one) for n, norm in norms.items()]
    made.append(same("norm.gain", "model.norm.weight", one))
    return made + ([] if c.tied else [linear("head", "lm_head.weight")])


def _feed_forward(c, layer, ours, theirs):
    if c.layer("feed_forward", layer) == "dense":
        return [linear(f"{ours}.{name}.weight", f"{theirs}.mlp.{other}_proj.weight")
                for name, other in (("gate", "gate"), ("up", "up"), ("out", "down"))]
    moe = f"{theirs}.block_sparse_moe"
    return [linear(f"{ours}.router.weight", f"{moe}.gate.weight")] + [
        linear(f"{ours}.experts.{e}.{name}.weight", f"{moe}.experts.{e}.{other}.weight")
        for e in range(c.experts) for name, other in (("gate", "w1"), ("up", "w3"), ("out", "w2"))]

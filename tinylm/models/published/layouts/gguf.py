"""LLaMA and Qwen2 in GGUF's names. LLaMA's queries and keys lie there for rotating neighboring
pairs.
"""
from tinylm.errors import CheckpointError
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.rules import adjacent_pairs, joined, linear, same

KINDS = "llama", "qwen2"


def read_config(weights):
    """The GPTConfig of a GGUF file; CheckpointError for an architecture that is not read."""
    m = weights.metadata
    kind = m.get("general.architecture")
    if kind not in KINDS:
        raise CheckpointError(f"{weights.path}: architecture {kind!r} is not read here, but {', '.join(KINDS)}")
    if "rope_freqs.weight" in weights or m.get(f"{kind}.rope.scaling.type", "none") != "none" or f"{kind}.expert_count" in m:
        raise CheckpointError(f"{weights.path}: rotary scaling and experts are not read from GGUF; take the safetensors")

    def get(name, *default):
        value = m.get(f"{kind}.{name}", *default)
        if not isinstance(value, (int, float)) and default != (None,):
            raise CheckpointError(f"{weights.path}: {kind}.{name} is {value!r}, not a number; the file is damaged")
        return value

    heads = get("attention.head_count")
    return GPTConfig(weights.shape("token_embd.weight")[0], get("context_length"), get("block_count"), heads,
                     get("embedding_length"), get("attention.head_count_kv", heads), get("feed_forward_length"), norm="rms",
                     norm_eps=get("attention.layer_norm_rms_epsilon"), activation="swiglu", positions="rope",
                     rope_base=get("rope.freq_base", 10000.0), bias=False, qkv_bias=kind == "qwen2",
                     head_width=get("attention.key_length", None), tied="output.weight" not in weights)


def rules(config, kind):
    """How each parameter is kept."""
    c = config
    heads = c.n_head, c.kv_heads, c.kv_heads
    sizes = [n * c.key_width for n in heads]
    made = [same("tokens.weight", "token_embd.weight")]
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"blk.{i}"
        for part, rule in [("weight", linear)] + [("bias", joined)] * bool(c.qkv_bias):
            qkv = rule(f"{ours}.attention.qkv.{part}", *(f"{theirs}.attn_{x}.{part}" for x in "qkv"), sizes=sizes)
            made.append(adjacent_pairs(qkv, (c.n_head, c.kv_heads, 0)) if kind == "llama" else qkv)
        made += [linear(f"{ours}.{name}.weight", f"{theirs}.{other}.weight") for name, other in
                 (("attention.out", "attn_output"), ("feed_forward.gate", "ffn_gate"), ("feed_forward.up", "ffn_up"),
                  ("feed_forward.out", "ffn_down"))]
        made += [same(f"{ours}.norms.{n}.gain", f"{theirs}.{norm}_norm.weight") for n, norm in enumerate(("attn", "ffn"))]
    made.append(same("norm.gain", "output_norm.weight"))
    return made + ([] if c.tied else [linear("head", "output.weight")])

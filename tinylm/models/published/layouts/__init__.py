"""Layouts: fields, names and shapes in published files, translated to a model here.

A layout is a module with

    read_config(f, names)        Fields of a config.json -> a configuration; `names` of the tensors
                                 in the file, which decide what heads the model has, or None
    rules(config, kind)          list of Rule: each of our parameters and the tensors it is made of
    PREFIX                       what the names of a model without a head lack; or PREFIXES by kind
    REPEATED                     names of tensors that a file may hold a second time
    ZERO                         names of tensors that must hold zeros, and are then ignored
    write_config(config, kind)   for decoders: a configuration -> dict of config.json

where `kind` is Hugging Face's model_type. Read fields.py and rules.py first, then gpt2.py, the
simplest.
"""

from tinylm.models.published.layouts import (
    bart,
    bert,
    bloom,
    falcon,
    gpt2,
    llama,
    mpt,
    neox,
    opt,
    starcoder,
    t5,
    xlm,
)

# {model_type: layout}; save_pretrained tries decoders in this order.
DECODERS = {
    "gpt2": gpt2,
    "openai-gpt": gpt2,
    "llama": llama,
    "mistral": llama,
    "qwen2": llama,
    "gemma": llama,
    "gemma2": llama,
    "mixtral": llama,
    "falcon": falcon,
    "bloom": bloom,
    "qwen3": llama,
    "olmo2": llama,
    "smollm3": llama,
    "phi3": llama,
    "gpt_neox": neox,
    "opt": opt,
    "mpt": mpt,
    "starcoder2": starcoder,
}
ENCODERS = dict.fromkeys(bert.PREFIXES, bert) | {
    "xlm": xlm,
    "xlnet": xlm,
    "t5": t5,
    "mt5": t5,
    "bart": bart,
    "mbart": bart,
    "blenderbot": bart,
}
LAYOUTS = DECODERS | ENCODERS

# A field that a config.json leaves out has the default of the library's class. Here are those that
# a reader has no default for, or for which null means something (no window, no cap).
LEFT_OUT = {
    "mistral": {"sliding_window": 4096, "num_key_value_heads": 8},
    "mixtral": {"rms_norm_eps": 1e-5, "num_key_value_heads": 8},
    "gemma": {"head_dim": 256},
    "gemma2": {
        "head_dim": 256,
        "num_key_value_heads": 4,
        "sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    "qwen2": {"num_key_value_heads": 32, "sliding_window": 4096},
    "qwen3": {"num_key_value_heads": 32, "sliding_window": 4096, "head_dim": 128},
    "olmo2": {"rms_norm_eps": 1e-5},
    "smollm3": {"num_key_value_heads": 4},
    "phi3": {"rms_norm_eps": 1e-5, "original_max_position_embeddings": 4096},
    "bart": {"decoder_attention_heads": 16},
    "mbart": {"decoder_attention_heads": 16},
    "blenderbot": {"decoder_attention_heads": 32},
}


def prefix_of(kind: str) -> str:
    """The prefix of a family's tensors; a model without a head lacks it."""
    layout = LAYOUTS[kind]
    if hasattr(layout, "PREFIXES"):
        return layout.PREFIXES[kind]
    return layout.PREFIX

"""Layouts: what the fields, names and shapes in published files mean to a model here.

A layout is a module with

    read_config(f, names)        Fields of a config.json -> a configuration; `names` of the tensors
                                 there are, by which a layout sees which heads a model has, or None
    rules(config, kind)          list of Rule: each of our parameters and the tensors it is made of
    PREFIX                       what the names of a model without a head lack; or PREFIXES by kind
    REPEATED                     names of tensors that a file may hold once more
    ZERO                         names of tensors that are read only where they hold nothing but
                                 zeros
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


def prefix_of(kind):
    """What names of a family's tensors begin with, unless the model has no head."""
    layout = LAYOUTS[kind]
    return layout.PREFIXES[kind] if hasattr(layout, "PREFIXES") else layout.PREFIX

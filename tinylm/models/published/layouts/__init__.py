"""Layouts: what the names and shapes in published files mean to a model here.

A layout is a module with three functions,

    read_config(described)       dict of config.json -> GPTConfig
    write_config(config, kind)   GPTConfig -> dict of config.json; not every configuration has one, see published/load.py
    rules(config, kind)          list of Rule: each of our parameters and the tensors it is made of

and `kind` is Hugging Face's model_type. Read rules.py first, then gpt2.py, the simplest.
"""
from tinylm.models.published.layouts import bloom, falcon, gpt2, llama

LAYOUTS = {"gpt2": gpt2, "openai-gpt": gpt2, "llama": llama, "mistral": llama, "qwen2": llama, "gemma": llama, "gemma2": llama,
           "mixtral": llama, "falcon": falcon, "bloom": bloom}

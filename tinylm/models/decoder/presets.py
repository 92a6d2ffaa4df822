"""The families of decoder-only language models, each as its differences from GPT-2   (book section
2.1, Table 2.2).

Depth, width and heads are in the book's table; hidden width, vocabulary, head width and context are
recalled from the published configurations, and the counts agree with the published ones to the last
parameter where those are known (sizes.py). `tinylm models` prints this file as a table. Read next:
published/load.py, which reads their weights.
"""

import dataclasses
import difflib
from typing import Any

from tinylm.errors import ConfigError
from tinylm.models.decoder.config import GPTConfig

# fmt: off
# What the families have in common, as differences from the defaults of GPTConfig, which are GPT-2's.
LLAMA = dict(norm="rms", activation="swiglu", positions="rope", bias=False, tied=False)
GEMMA = LLAMA | dict(activation="geglu_tanh", tied=True, vocab_size=256000, context=8192, head_width=256)
QWEN2 = LLAMA | dict(qkv_bias=True, rope_base=1e6, context=32768)
FALCON = dict(positions="rope", activation="gelu", bias=False, norm_bias=True, vocab_size=65024, context=2048)
GPT3 = dict(vocab_size=50257, context=2048, attention=("full", "window"), window=256)
# fmt: on


def _sizes(n_layer, d_model, n_head, n_kv_head=None, d_hidden=None, **others):
    """A row's columns L, D, H, G, F as fields, and others by name."""
    sizes = dict(n_layer=n_layer, d_model=d_model, n_head=n_head)
    return sizes | dict(n_kv_head=n_kv_head, d_hidden=d_hidden) | others


def _gemma2(*sizes, **others):
    special = dict(
        norm_placement="sandwich",
        attention=("window", "full"),
        window=4096,
        attention_cap=50.0,
        logit_cap=30.0,
    )
    fields = GEMMA | special | _sizes(*sizes) | others
    return fields | dict(embedding_scale=fields["d_model"] ** 0.5)  # sqrt(D), as all Gemmas


# fmt: off
LLAMA1, LLAMA2, LLAMA3 = (LLAMA | dict(vocab_size=v, context=c, rope_base=base, norm_eps=eps) for v, c, base, eps in
                          ((32000, 2048, 1e4, 1e-6), (32000, 4096, 1e4, 1e-5), (128256, 8192, 5e5, 1e-5)))
LLAMA31 = LLAMA3 | dict(context=131072, rope_scaling={"name": "llama3", "factor": 8.0, "trained": 8192, "low": 1.0, "high": 4.0})
MISTRAL = LLAMA | dict(vocab_size=32000, context=32768, norm_eps=1e-5, attention=("window",), window=4096)
SMOLLM2 = LLAMA | dict(vocab_size=49152, context=8192, rope_base=1e5, norm_eps=1e-5, tied=True)

SMOLLM3 = LLAMA | dict(vocab_size=128256, context=65536, rope_base=5e6, tied=True, rotation=("rope",) * 3 + ("none",))
QWEN3 = LLAMA | dict(vocab_size=151936, context=40960, rope_base=1e6, head_width=128, qk_norm="head")
PHI3 = LLAMA | dict(vocab_size=32064, context=4096, norm_eps=1e-5, attention=("window",), window=2047)
OLMO2 = LLAMA | dict(vocab_size=100352, context=4096, rope_base=5e5, norm_placement="branch", qk_norm="width")
NEOX = dict(vocab_size=50304, context=2048, norm_placement="parallel_pair", activation="gelu", positions="rope", tied=False)
STARCODER2 = dict(vocab_size=49152, context=16384, positions="rope", rope_base=999999.4420358813, attention=("window",),
                  window=4096)
MPT = dict(vocab_size=50432, context=2048, activation="gelu", positions="alibi", bias=False)

#                                                      L     D      H    G      F
DECODERS = {
    "gpt1": dict(vocab_size=40478, context=512, norm_placement="post"),
    "gpt2": dict(vocab_size=50257),
    "gpt2-medium": dict(vocab_size=50257) | _sizes(   24,  1024,   16),
    "gpt2-large": dict(vocab_size=50257) | _sizes(    36,  1280,   20),
    "gpt2-xl": dict(vocab_size=50257) | _sizes(       48,  1600,   25),
    "gpt3-125m": GPT3 | _sizes(                       12,   768,   12),
    "gpt3-1.3b": GPT3 | _sizes(                       24,  2048,   16, head_width=128),
    "gpt3-6.7b": GPT3 | _sizes(                       32,  4096,   32),
    "gpt3-13b": GPT3 | _sizes(                        40,  5140,   40, head_width=128, d_hidden=20560),
    "gpt3-175b": GPT3 | _sizes(                       96, 12288,   96),
    "llama-7b": LLAMA1 | _sizes(                      32,  4096,   32, 32, 11008),
    "llama-13b": LLAMA1 | _sizes(                     40,  5120,   40, 40, 13824),
    "llama-33b": LLAMA1 | _sizes(                     60,  6656,   52, 52, 17920),
    "llama-65b": LLAMA1 | _sizes(                     80,  8192,   64, 64, 22016),
    "llama2-7b": LLAMA2 | _sizes(                     32,  4096,   32, 32, 11008),
    "llama2-13b": LLAMA2 | _sizes(                    40,  5120,   40, 40, 13824),
    "llama2-70b": LLAMA2 | _sizes(                    80,  8192,   64,  8, 28672),
    "llama3-8b": LLAMA3 | _sizes(                     32,  4096,   32,  8, 14336),
    "llama3-70b": LLAMA3 | _sizes(                    80,  8192,   64,  8, 28672),
    "llama3.1-8b": LLAMA31 | _sizes(                  32,  4096,   32,  8, 14336),
    "llama3.1-405b": LLAMA31 | _sizes(               126, 16384,  128,  8, 53248),
    "mistral-7b": MISTRAL | _sizes(                   32,  4096,   32,  8, 14336),
    "mixtral-8x7b": LLAMA | dict(vocab_size=32000, context=32768, rope_base=1e6, norm_eps=1e-5, feed_forward=("experts",),
                                 experts=8) | _sizes( 32,  4096,   32,  8, 14336),
    "gemma-2b": GEMMA | _sizes(                       18,  2048,    8,  1, 16384, embedding_scale=2048 ** 0.5),
    "gemma-7b": GEMMA | _sizes(                       28,  3072,   16, 16, 24576, embedding_scale=3072 ** 0.5),
    "gemma2-2b": _gemma2(                             26,  2304,    8,  4,  9216),
    "gemma2-9b": _gemma2(                             42,  3584,   16,  8, 14336),
    "gemma2-27b": _gemma2(                            46,  4608,   32, 16, 36864, head_width=128, attention_scale=144 ** -0.5),
    "qwen2-0.5b": QWEN2 | _sizes(                     24,   896,   14,  2,  4864, vocab_size=151936, tied=True),
    "qwen2-7b": QWEN2 | _sizes(                       28,  3584,   28,  4, 18944, vocab_size=152064),
    "qwen2.5-0.5b": QWEN2 | _sizes(                   24,   896,   14,  2,  4864, vocab_size=151936, tied=True),
    "qwen2.5-7b": QWEN2 | _sizes(                     28,  3584,   28,  4, 18944, vocab_size=152064),
    "qwen2.5-72b": QWEN2 | _sizes(                    80,  8192,   64,  8, 29568, vocab_size=152064),
    "falcon-7b": FALCON | _sizes(                     32,  4544,   71,  1, norm_placement="parallel"),
    "falcon-40b": FALCON | _sizes(                    60,  8192,  128,  8, norm_placement="parallel_pair"),
    "falcon-180b": FALCON | _sizes(                   80, 14848,  232,  8, norm_placement="parallel_pair"),
    "palm-540b": dict(vocab_size=256000, context=2048, norm_placement="parallel", activation="swiglu", positions="rope",
                      bias=False) | _sizes(          118, 18432,   48,  1, 73728, head_width=256),
    "bloom-560m": dict(vocab_size=250880, context=2048, positions="alibi", embedding_norm=True) | _sizes(24, 1024, 16),
    "bloom-176b": dict(vocab_size=250880, context=2048, positions="alibi", embedding_norm=True) | _sizes(70, 14336, 112),
    "switch-base-8": dict(vocab_size=32128, activation="relu", norm="rms", bias=False, positions="t5", context=512,
                          feed_forward=("dense", "experts"), experts=8, experts_per_token=1) | _sizes(12, 768, 12, head_width=64),
    "smollm2-135m": SMOLLM2 | _sizes(                 30,   576,    9,  3,  1536),
    "smollm2-360m": SMOLLM2 | _sizes(                 32,   960,   15,  5,  2560),
    "smollm2-1.7b": SMOLLM2 | _sizes(                 24,  2048,   32, 32,  8192, rope_base=130000.0),
    "smollm3-3b": SMOLLM3 | _sizes(                   36,  2048,   16,  4, 11008),
    "qwen3-0.6b": QWEN3 | _sizes(                     28,  1024,   16,  8,  3072, tied=True),
    "phi3-mini": PHI3 | _sizes(                       32,  3072,   32, 32,  8192),
    "olmo2-1b": OLMO2 | _sizes(                       16,  2048,   16, 16,  8192),
    "pythia-160m": NEOX | _sizes(                     12,   768,   12, rotary_width=16),
    "starcoder2-3b": STARCODER2 | _sizes(             30,  3072,   24,  2, 12288),
    "opt-125m": dict(vocab_size=50272, context=2048, activation="relu") | _sizes(12, 768, 12),
    "mpt-7b": MPT | _sizes(                           32,  4096,   32),
}

NOTES = {
    "gpt1": "post-norm, no last norm",
    "gpt3": "every other layer sees a window; its size is not published, 256 is the paper's model for it",
    "switch": "the decoder of a T5 alone, one expert a token in every other layer",
    "palm": "a parallel block, one key-value head, heads of 256, no biases anywhere",
    "smollm3": "every fourth layer does not turn",
    "qwen3": "queries and keys normed head by head",
    "olmo2": "norms what comes out of a branch, queries and keys over all heads",
    "pythia": "only the first quarter of a head turns",
    "gemma2": "norms on both sides of a branch, windows in every other layer, soft caps on scores and logits",
}
# fmt: on


def preset(name: str, **changes: Any) -> GPTConfig:
    """The configuration of a published model.

    name      of DECODERS, such as "llama3-8b"
    changes   fields of GPTConfig to set otherwise
    raises    ConfigError naming the near ones
    """
    if name not in DECODERS:
        near = difflib.get_close_matches(name, DECODERS, n=4, cutoff=0.4)
        hint = "`tinylm models` lists them"
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        raise ConfigError(f"no model {name!r}: {hint}")
    return GPTConfig(**DECODERS[name] | changes)


def tiny(name: str, **changes: Any) -> GPTConfig:
    """A model of the same parts in sizes for tests: four heads, and where the family groups them
    two key-value heads, or its single one.

    name     of DECODERS
    returns  GPTConfig of 3,000 to 12,000 parameters
    """
    c = preset(name)
    grouped = None  # G = H = 4
    if c.kv_heads < c.n_head:
        grouped = min(c.kv_heads, 2)
    sizes = dict(
        vocab_size=31,
        context=16,
        # As many layers as the longest pattern, so that every word of it is used.
        n_layer=max(2, len(c.attention), len(c.feed_forward), len(c.rotation)),
        n_head=4,
        n_kv_head=grouped,
        d_model=16,
        d_hidden=24,
        experts=min(c.experts, 4),
    )
    # Fields that the family leaves unset stay so.
    for field, size in dict(head_width=6, rotary_width=2, window=3).items():
        if getattr(c, field):
            sizes[field] = size
    if c.embedding_scale != 1:
        sizes["embedding_scale"] = 4.0  # sqrt(D)
    return dataclasses.replace(c, **sizes | changes)


def differences(config: GPTConfig) -> dict[str, Any]:
    """What distinguishes a configuration from GPT-2, sizes aside: {field: value}."""
    sizes = {"vocab_size", "context", "n_layer", "n_head", "d_model", "d_hidden"}
    return {
        f.name: getattr(config, f.name)
        for f in dataclasses.fields(config)
        if f.name not in sizes and getattr(config, f.name) != f.default
    }


def note(name: str) -> str:
    """A remark on a preset, or ""."""
    return next((text for start, text in NOTES.items() if name.startswith(start)), "")

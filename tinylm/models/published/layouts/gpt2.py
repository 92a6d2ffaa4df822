"""GPT-2 and GPT-1 in Hugging Face's layout: their Conv1D matrices are (in, out), as ours.

Read next: llama.py.
"""

from typing import Any

from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rules import Rule, layer_norm, same, untied_head

PREFIX = "transformer."
# {hidden_act: activation here}
ACTIVATION = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
# GPT-1's words; its "gelu" is the tanh form.
FIRST = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}


def read_config(f: Fields, names: Any = None) -> GPTConfig:
    """The GPTConfig of a config.json."""
    if f.described["model_type"] == "openai-gpt":
        parts = _first(f)
    else:
        parts = _second(f)
    config = GPTConfig(
        vocab_size=f.integer("vocab_size"),  # V
        context=f.integer("n_positions", "max_position_embeddings"),  # most T
        n_layer=f.integer("n_layer", "num_hidden_layers"),  # L
        n_head=f.integer("n_head", "num_attention_heads"),  # H
        d_model=f.integer("n_embd", "hidden_size"),  # D
        norm_eps=f.number("layer_norm_epsilon", default=1e-5),
        tied=f.flag("tie_word_embeddings", default=True),
        **parts,
    )
    f.ignore("n_ctx n_special predict_special_tokens")
    return config


def _first(f):
    """The parts of GPT-1: norms after each branch."""
    return {"norm_placement": "post", "activation": f.choice("afn", table=FIRST, default="gelu")}


def _second(f):
    """The parts of GPT-2: norms before each branch."""
    f.ignore("reorder_and_upcast_attn")  # the same products with other roundings
    scale = None  # 1 / sqrt(K)
    if not f.flag("scale_attn_weights", default=True):
        scale = 1.0
    return {
        "activation": f.choice("activation_function", table=ACTIVATION, default="gelu_new"),
        "d_hidden": f.integer("n_inner", default=None),
        "attention_scale": scale,
        "scale_by_layer": f.flag("scale_attn_by_inverse_layer_idx", default=False),
    }


def write_config(config: GPTConfig, kind: str) -> dict[str, Any]:
    """The config.json of a GPTConfig."""
    c = config
    described = {
        "model_type": kind,
        "vocab_size": c.vocab_size,
        "n_positions": c.context,
        "n_layer": c.n_layer,
        "n_head": c.n_head,
        "n_embd": c.d_model,
        "layer_norm_epsilon": c.norm_eps or 1e-5,
        "tie_word_embeddings": c.tied,
    }
    if kind == "openai-gpt":
        words = {ours: theirs for theirs, ours in FIRST.items() if theirs != "swish"}
        return described | {
            "architectures": ["OpenAIGPTLMHeadModel"],
            "afn": words.get(c.activation, c.activation),
        }
    word = {"gelu_tanh": "gelu_new"}.get(c.activation, c.activation)
    return described | {
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": word,
        "n_inner": c.d_hidden,
        "scale_attn_weights": c.attention_scale is None,
        "scale_attn_by_inverse_layer_idx": c.scale_by_layer,
    }


def rules(config: GPTConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    tokens, positions = "wte", "wpe"
    if kind == "openai-gpt":
        tokens, positions = "tokens_embed", "positions_embed"
    made = [
        same("tokens.weight", f"{PREFIX}{tokens}.weight"),
        same("positions.table.weight", f"{PREFIX}{positions}.weight"),
    ]
    for i in range(config.n_layer):
        ours, theirs = f"blocks.{i}", f"{PREFIX}h.{i}"
        for name, other in (
            ("attention.qkv", "attn.c_attn"),
            ("attention.out", "attn.c_proj"),
            ("feed_forward.hidden", "mlp.c_fc"),
            ("feed_forward.out", "mlp.c_proj"),
        ):
            # `same`, not `affine`: (in, out) in the file, too.
            made.append(same(f"{ours}.{name}.weight", f"{theirs}.{other}.weight"))
            made.append(same(f"{ours}.{name}.bias", f"{theirs}.{other}.bias"))
        made += layer_norm(f"{ours}.norms.0", f"{theirs}.ln_1")
        made += layer_norm(f"{ours}.norms.1", f"{theirs}.ln_2")
    if kind != "openai-gpt":  # pre-norm has one more after the last block
        made += layer_norm("norm", f"{PREFIX}ln_f")
    return made + untied_head(config)

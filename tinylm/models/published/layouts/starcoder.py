"""StarCoder2 in Hugging Face's layout: LLaMA's names and RoPE with layer norms and biases.

Its feed-forward has no gate. Lozhkov et al. 2024. Read next: bloom.py.
"""

from typing import Any

from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.gpt2 import ACTIVATION
from tinylm.models.published.layouts.rope import read_rope, trained_context, write_rope
from tinylm.models.published.layouts.rules import Rule, affine, layer_norm, same, untied_head

PREFIX = "model."


def read_config(f: Fields, names: Any = None) -> GPTConfig:
    """The GPTConfig of a config.json."""
    base, scaling, _, context = read_rope(f, f.integer("max_position_embeddings"))
    window = f.integer("sliding_window", default=None)
    eps = f.number("norm_epsilon", default=1e-5)
    _of_the_authors(f, eps)
    heads, d_model = f.integer("num_attention_heads"), f.integer("hidden_size")
    head_width = None
    if d_model % heads:  # the library rounds down
        head_width = d_model // heads
    attention = "window"  # in all layers, where there is one
    if window is None:
        attention = "full"
    return GPTConfig(
        vocab_size=f.integer("vocab_size"),
        context=context,
        n_layer=f.integer("num_hidden_layers"),
        n_head=heads,
        n_kv_head=f.integer("num_key_value_heads", default=2),
        d_model=d_model,
        head_width=head_width,
        d_hidden=f.integer("intermediate_size"),
        norm_eps=eps,
        norm_bias=True,  # whatever use_bias is
        activation=f.choice("hidden_act", table=ACTIVATION, default="gelu_pytorch_tanh"),
        positions="rope",
        rope_base=base,
        rope_scaling=scaling,
        attention=(attention,),
        window=window,
        bias=f.flag("use_bias", default=True),
        tied=f.flag("tie_word_embeddings", default=True),
    )


def _of_the_authors(f, eps):
    """Fields of the authors' own program, which published files hold beside those of the class."""
    f.ignore("activation_function attention_softmax_in_fp32 scale_attention_softmax_in_fp32")
    f.only("layer_norm_epsilon", eps)
    f.only("mlp_type", "default")
    f.only("norm_type", "layer_norm")
    f.only("scale_attn_weights", True)


def write_config(config: GPTConfig, kind: str) -> dict[str, Any]:
    """The config.json of a GPTConfig, without the parts that the family has no fields for."""
    c = config
    # Of several words for one activation, the first in ACTIVATION.
    words = {ours: theirs for theirs, ours in reversed(ACTIVATION.items())}
    window = None
    if all(c.layer("attention", i) == "window" for i in range(c.n_layer)):
        window = c.window
    return write_rope(c) | {
        "model_type": kind,
        "architectures": ["Starcoder2ForCausalLM"],
        "vocab_size": c.vocab_size,
        "max_position_embeddings": trained_context(c),
        "num_hidden_layers": c.n_layer,
        "num_attention_heads": c.n_head,
        "num_key_value_heads": c.kv_heads,
        "hidden_size": c.d_model,
        "intermediate_size": c.hidden_width,
        "hidden_act": words[c.activation],
        "norm_epsilon": c.norm_eps or 1e-5,
        "sliding_window": window,
        "use_bias": c.bias,
        "tie_word_embeddings": c.tied,
    }


def rules(config: GPTConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    c = config
    # Widths of q, k and v: several heads of queries may share one of keys and values.
    sizes = [heads * c.key_width for heads in (c.n_head, c.kv_heads, c.kv_heads)]
    made = [same("tokens.weight", f"{PREFIX}embed_tokens.weight")]
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"{PREFIX}layers.{i}"
        attention = f"{theirs}.self_attn"
        qkv = (f"{attention}.{x}_proj" for x in "qkv")
        made += affine(f"{ours}.attention.qkv", *qkv, sizes=sizes, bias=c.bias)
        made += affine(f"{ours}.attention.out", f"{attention}.o_proj", bias=c.bias)
        made += affine(f"{ours}.feed_forward.hidden", f"{theirs}.mlp.c_fc", bias=c.bias)
        made += affine(f"{ours}.feed_forward.out", f"{theirs}.mlp.c_proj", bias=c.bias)
        made += layer_norm(f"{ours}.norms.0", f"{theirs}.input_layernorm")
        made += layer_norm(f"{ours}.norms.1", f"{theirs}.post_attention_layernorm")
    made += layer_norm("norm", f"{PREFIX}norm")
    return made + untied_head(c)

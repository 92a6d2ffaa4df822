"""StarCoder2 as Hugging Face keeps it: LLaMA's names and rotations with layer norms, biases and a
plain feed-forward.

Lozhkov et al. 2024. Read next: bloom.py.
"""

from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.gpt2 import ACTIVATION
from tinylm.models.published.layouts.rope import read_rope, trained_context, write_rope
from tinylm.models.published.layouts.rules import affine, layer_norm, linear, same

PREFIX = "model."


def read_config(f, names=None):
    """The GPTConfig of a config.json."""
    base, scaling, _, context = read_rope(f, f.integer("max_position_embeddings"))
    window = f.integer("sliding_window", default=None)
    eps = f.number("norm_epsilon", default=1e-5)
    _of_the_authors(f, eps)
    heads, d_model = f.integer("num_attention_heads"), f.integer("hidden_size")
    return GPTConfig(
        vocab_size=f.integer("vocab_size"),
        context=context,
        n_layer=f.integer("num_hidden_layers"),
        n_head=heads,
        n_kv_head=f.integer("num_key_value_heads", default=2),
        d_model=d_model,
        head_width=d_model // heads if d_model % heads else None,
        d_hidden=f.integer("intermediate_size"),
        norm_eps=eps,
        norm_bias=True,
        activation=f.choice("hidden_act", table=ACTIVATION, default="gelu_pytorch_tanh"),
        positions="rope",
        rope_base=base,
        rope_scaling=scaling,
        attention=("full" if window is None else "window",),
        window=window,
        bias=f.flag("use_bias", default=True),
        tied=f.flag("tie_word_embeddings", default=True),
    )


def _of_the_authors(f, eps):
    """Fields of the authors' own program, which the published files hold besides the class's."""
    f.ignore("activation_function attention_softmax_in_fp32 scale_attention_softmax_in_fp32")
    f.only("layer_norm_epsilon", eps)
    f.only("mlp_type", "default")
    f.only("norm_type", "layer_norm")
    f.only("scale_attn_weights", True)


def write_config(config, kind):
    """The config.json of a GPTConfig, as far as the family has words for it."""
    c = config
    words = {ours: theirs for theirs, ours in reversed(ACTIVATION.items())}
    windows = all(c.layer("attention", i) == "window" for i in range(c.n_layer))
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
        "sliding_window": c.window if windows else None,
        "use_bias": c.bias,
        "tie_word_embeddings": c.tied,
    }


def rules(config, kind):
    """How each parameter is kept."""
    c = config
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
    return made + ([] if c.tied else [linear("head", "lm_head.weight")])

"""MPT in Hugging Face's layout: ALiBi, layer norms without biases, and no biases anywhere.

MosaicML 2023. With ALiBi the model has no table of positions, so `learned_pos_emb` has no effect.
Hugging Face's class ignores the width of the feed-forward and has four times the model's; other
values are refused. Read next: starcoder.py.
"""

from typing import Any

from tinylm.models.decoder.config import GPTConfig
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rules import Rule, linear_weight, same, untied_head

PREFIX = "transformer."


def read_config(f: Fields, names: Any = None) -> GPTConfig:
    """The GPTConfig of a config.json."""
    f.ignore("learned_pos_emb init_device verbose fc_type use_pad_tok_in_ffn init_config")
    f.ignore("tokenizer_name")
    # The class ignores these fields and has these values.
    f.only("no_bias", True)
    f.only("expansion_ratio", 4)
    f.only("embedding_fraction", 1, 1.0)
    f.only("logit_scale")
    f.only("norm_type", "low_precision_layernorm", "layernorm")
    return GPTConfig(
        vocab_size=f.integer("vocab_size"),
        context=f.integer("max_seq_len", default=2048),
        n_layer=f.integer("n_layers", "num_hidden_layers"),
        n_head=f.integer("n_heads", "num_attention_heads"),
        d_model=f.integer("d_model", "hidden_size"),
        norm_eps=f.number("layer_norm_epsilon", default=1e-5),
        activation="gelu",
        positions="alibi",
        attention_scale=_attention(f.section("attn_config")),
        bias=False,
        tied=f.flag("tie_word_embeddings", default=True),
    )


def _attention(f):
    """softmax_scale of attn_config, or None; its other fields must be those of a plain ALiBi."""
    if f is None:
        return None
    f.ignore("attn_impl attn_pdrop")
    f.only("attn_type", "multihead_attention")
    f.only("alibi", True)
    f.only("alibi_bias_max", 8)  # slopes 2^(-8 i / H), as in the paper
    # Parts of the authors' class that change attention and have no place here.
    for name in ("qk_ln", "prefix_lm", "attn_uses_sequence_id"):
        f.only(name, False)
    f.only("clip_qkv")
    scale = f.number("softmax_scale", default=None)
    f.finish()
    return scale


def write_config(config: GPTConfig, kind: str) -> dict[str, Any]:
    """The config.json of a GPTConfig, without the parts that the family has no fields for."""
    c = config
    return {
        "model_type": kind,
        "architectures": ["MptForCausalLM"],
        "vocab_size": c.vocab_size,
        "max_seq_len": c.context,
        "n_layers": c.n_layer,
        "n_heads": c.n_head,
        "d_model": c.d_model,
        "layer_norm_epsilon": c.norm_eps or 1e-5,
        "attn_config": {"softmax_scale": c.attention_scale},
        "tie_word_embeddings": c.tied,
    }


def rules(config: GPTConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    c = config
    made = [same("tokens.weight", f"{PREFIX}wte.weight")]
    for i in range(c.n_layer):
        ours, theirs = f"blocks.{i}", f"{PREFIX}blocks.{i}"
        # Wqkv has queries, keys and values one after another, as ours.
        made += [
            linear_weight(f"{ours}.attention.qkv.weight", f"{theirs}.attn.Wqkv.weight"),
            linear_weight(f"{ours}.attention.out.weight", f"{theirs}.attn.out_proj.weight"),
            linear_weight(f"{ours}.feed_forward.hidden.weight", f"{theirs}.ffn.up_proj.weight"),
            linear_weight(f"{ours}.feed_forward.out.weight", f"{theirs}.ffn.down_proj.weight"),
            same(f"{ours}.norms.0.gain", f"{theirs}.norm_1.weight"),
            same(f"{ours}.norms.1.gain", f"{theirs}.norm_2.weight"),
        ]
    made.append(same("norm.gain", f"{PREFIX}norm_f.weight"))
    return made + untied_head(c)

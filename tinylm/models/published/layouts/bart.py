"""BART, mBART and Blenderbot in Hugging Face's layout. Read next: xlm.py."""

from typing import Any

from tinylm.models.encoder.seq2seq import Seq2SeqConfig
from tinylm.models.published.layouts.bert import ACTIVATION
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rules import Rule, affine, layer_norm, same

PREFIX = "model."
REPEATED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
ZERO = ("final_logits_bias",)  # a buffer that must hold zeros


def read_config(f: Fields, names: Any = None) -> Seq2SeqConfig:
    """The Seq2SeqConfig of a config.json."""
    f.only("is_encoder_decoder", True)
    f.only("tie_word_embeddings", True)
    for name in ("static_position_embeddings", "extra_pos_embeddings"):
        f.ignore(name)
    f.only("normalize_embedding", True)
    f.only("add_bias_logits", False)
    f.only("force_bos_token_to_be_generated", False, True)
    kind = f.described["model_type"]
    prenorm = kind in ("mbart", "blenderbot")
    placement = "post"
    if prenorm:
        placement = "pre"
    # BART and mBART norm the embeddings, and their positions begin at row 2.
    first, embedding_norm, start = 2, True, 2
    if kind == "blenderbot":
        first, embedding_norm, start = 0, False, 1
    # Fields that older files repeat must have the values of the class.
    f.only("normalize_before", prenorm)
    f.only("add_final_layer_norm", prenorm)
    heads, hidden = f.integer("encoder_attention_heads"), f.integer("encoder_ffn_dim")
    f.only("decoder_attention_heads", heads)
    f.only("decoder_ffn_dim", hidden)
    layers, width = f.integer("encoder_layers"), f.integer("d_model")
    f.only("num_hidden_layers", layers)
    scale = 1.0
    if f.flag("scale_embedding", default=False):
        scale = width**0.5
    return Seq2SeqConfig(
        vocab_size=f.integer("vocab_size"),
        context=f.integer("max_position_embeddings"),
        n_layer=layers,
        n_decoder_layer=f.integer("decoder_layers"),
        n_head=heads,
        d_model=width,
        d_hidden=hidden,
        norm_placement=placement,
        first_position=first,
        embedding_norm=embedding_norm,
        activation=f.choice("activation_function", table=ACTIVATION, default="gelu"),
        start=f.integer("decoder_start_token_id", default=start),
        embedding_scale=scale,
        dropout=f.described.get("dropout", 0.1),
    )


def rules(config: Seq2SeqConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    c = config
    return (
        [same("tokens.weight", "model.shared.weight")]
        + _side("encoder", c.n_layer, False)
        + _side("decoder", c.decoder_layers, True)
    )


def _side(name, count, cross):
    """The rules of the encoder, or with cross-attention of the decoder, of `count` layers."""
    theirs = f"model.{name}"
    made = [same(f"{name}.positions.table.weight", f"{theirs}.embed_positions.weight")]
    made += layer_norm(f"{name}.embedding_norm", f"{theirs}.layernorm_embedding")
    for i in range(count):
        mine, layer = f"{name}.blocks.{i}", f"{theirs}.layers.{i}"
        made += affine(
            f"{mine}.attention.qkv", *(f"{layer}.self_attn.{part}_proj" for part in "qkv")
        )
        made += affine(f"{mine}.attention.out", f"{layer}.self_attn.out_proj")
        if cross:
            other = f"{layer}.encoder_attn"
            made += affine(f"{mine}.cross.q", f"{other}.q_proj")
            made += affine(f"{mine}.cross.kv", *(f"{other}.{part}_proj" for part in "kv"))
            made += affine(f"{mine}.cross.out", f"{other}.out_proj")
        made += affine(f"{mine}.feed_forward.hidden", f"{layer}.fc1")
        made += affine(f"{mine}.feed_forward.out", f"{layer}.fc2")
        # One norm for each branch, in order; rules without a parameter are skipped by the reader.
        norms = ["self_attn_layer_norm", *["encoder_attn_layer_norm"] * cross, "final_layer_norm"]
        for n, norm in enumerate(norms):
            made += layer_norm(f"{mine}.norms.{n}", f"{layer}.{norm}")
    return made + layer_norm(f"{name}.norm", f"{theirs}.layer_norm")

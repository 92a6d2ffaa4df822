"""T5 (versions 1.0 and 1.1) and mT5 in Hugging Face's layout. Read next: bart.py."""

from typing import Any

from tinylm.models.encoder.seq2seq import Seq2SeqConfig
from tinylm.models.published.layouts.bert import ACTIVATION
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rules import Rule, affine, layer_norm, same, untied_head

PREFIX = ""
REPEATED = (
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    "lm_head.weight",
    # Only in old files, and never used.
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
)
# {activation: its gated form}
GATED = {"gelu_tanh": "geglu_tanh", "silu": "swiglu", "gelu": "geglu"}


def read_config(f: Fields, names: Any = None) -> Seq2SeqConfig:
    """The Seq2SeqConfig of a config.json."""
    f.only("is_encoder_decoder", True)
    f.ignore("n_positions")  # relative positions have no last one
    width, tied = f.integer("d_model"), f.flag("tie_word_embeddings", default=True)
    # Are logits divided by sqrt(D)? Newer files have a field for it, whose null means false. In
    # older ones tied models of T5 are scaled, and those of mT5 are not.
    plain = f.described["model_type"] == "mt5"
    given = "scale_decoder_outputs" in f.described
    logit_scale = 1.0
    if f.flag("scale_decoder_outputs", default=tied and not plain and not given):
        logit_scale = width**-0.5
    buckets, farthest = _buckets(f)
    return Seq2SeqConfig(
        vocab_size=f.integer("vocab_size"),
        context=None,
        n_layer=f.integer("num_layers"),
        n_decoder_layer=f.integer("num_decoder_layers", default=None),
        n_head=f.integer("num_heads"),
        d_model=width,
        d_hidden=f.integer("d_ff"),
        head_width=f.integer("d_kv"),
        norm="rms",
        norm_placement="pre",
        norm_eps=f.number("layer_norm_epsilon", default=1e-6),
        embedding_norm=False,
        activation=_activation(f),
        positions="t5",
        buckets=buckets,
        max_distance=farthest,
        bias=False,
        attention_scale=1.0,  # in place of 1 / sqrt(K): its initialization is smaller by that
        logit_scale=logit_scale,
        embedding_std=1.0,
        tied=tied,
        start=f.integer("decoder_start_token_id", default=f.integer("pad_token_id", default=0)),
        dropout=f.described.get("dropout_rate", 0.1),
    )


def _buckets(f):
    """(buckets, max_distance): half of a decoder's buckets hold one offset, the others more."""
    buckets = f.integer("relative_attention_num_buckets", default=32)
    farthest = f.integer("relative_attention_max_distance", default=128)
    if buckets < 4:
        f.refuse("relative_attention_num_buckets", buckets, "at least 4")
    if farthest <= buckets // 2:
        f.refuse("relative_attention_max_distance", farthest, f"more than {buckets // 2}")
    return buckets, farthest


def _activation(f):
    """feed_forward_proj, an activation or its gated form; fields that repeat it must agree."""
    words = dict(ACTIVATION)
    words |= {f"gated-{word}": GATED[ours] for word, ours in ACTIVATION.items() if ours in GATED}
    words["gated-gelu"] = "geglu_tanh"  # the paper's; the library reads it so
    made = f.choice("feed_forward_proj", table=words, default="relu")
    gated = made in GATED.values()
    f.only("is_gated_act", gated)  # written beside it by the library
    if f.has("dense_act_fn"):
        inner = f.choice("dense_act_fn", table=ACTIVATION)
        if gated:
            inner = GATED.get(inner)
        if inner != made:
            f.refuse(
                "dense_act_fn", f.described["dense_act_fn"], "the activation of feed_forward_proj"
            )
    return made


def rules(config: Seq2SeqConfig, kind: str) -> list[Rule]:
    """The list of Rule. The position bias that all layers share is in the first layer there."""
    return (
        [same("tokens.weight", "shared.weight")]
        + _side("encoder", config.n_layer, False)
        + _side("decoder", config.decoder_layers, True)
        + untied_head(config)
    )


def _side(ours, count, cross):
    """The rules of the encoder, or with cross-attention of the decoder, of `count` layers."""
    first = f"{ours}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    made = [same(f"{ours}.bias.table", first)]
    for i in range(count):
        mine, theirs = f"{ours}.blocks.{i}", f"{ours}.block.{i}.layer"
        attention, other = f"{theirs}.0.SelfAttention", f"{theirs}.1.EncDecAttention"
        made += affine(
            f"{mine}.attention.qkv", *(f"{attention}.{part}" for part in "qkv"), bias=False
        )
        made += affine(f"{mine}.attention.out", f"{attention}.o", bias=False)
        if cross:
            made += affine(f"{mine}.cross.q", f"{other}.q", bias=False)
            made += affine(f"{mine}.cross.kv", *(f"{other}.{part}" for part in "kv"), bias=False)
            made += affine(f"{mine}.cross.out", f"{other}.o", bias=False)
        # Sublayers are numbered: attention, cross-attention of a decoder, feed-forward. Of wi, and
        # wi_0 with wi_1, a model has the one or the others; rules without a parameter are skipped.
        last = f"{theirs}.{1 + cross}.DenseReluDense"
        for part, name in (("hidden", "wi"), ("gate", "wi_0"), ("up", "wi_1"), ("out", "wo")):
            made += affine(f"{mine}.feed_forward.{part}", f"{last}.{name}", bias=False)
        for n in range(2 + cross):
            made += layer_norm(f"{mine}.norms.{n}", f"{theirs}.{n}.layer_norm", bias=False)
    return made + layer_norm(f"{ours}.norm", f"{ours}.final_layer_norm", bias=False)

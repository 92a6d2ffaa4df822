"""T5 (versions 1.0 and 1.1) and mT5 as Hugging Face keeps them. Read next: bart.py."""

from tinylm.models.encoder.seq2seq import Seq2SeqConfig
from tinylm.models.published.layouts.bert import ACTIVATION
from tinylm.models.published.layouts.rules import affine, layer_norm, linear, same

PREFIX = ""
REPEATED = (
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    "lm_head.weight",
    # of old files, never used
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
)
GATED = {"gelu_tanh": "geglu_tanh", "silu": "swiglu", "gelu": "geglu"}


def read_config(f, names=None):
    """The Seq2SeqConfig of a config.json."""
    f.only("is_encoder_decoder", True)
    f.ignore("n_positions")  # relative positions have no last one
    width, tied = f.integer("d_model"), f.flag("tie_word_embeddings", default=True)
    # Newer files have a field for it, in older ones tied models are scaled; mT5's never are.
    plain = f.described["model_type"] == "mt5"
    null = "scale_decoder_outputs" in f.described  # and then not given by flag(): false there
    scaled = f.flag("scale_decoder_outputs", default=tied and not plain and not null)
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
        attention_scale=1.0,
        logit_scale=width**-0.5 if scaled else 1.0,
        embedding_std=1.0,
        tied=tied,
        start=f.integer("decoder_start_token_id", default=f.integer("pad_token_id", default=0)),
        dropout=f.described.get("dropout_rate", 0.1),
    )


def _buckets(f):
    """(buckets, max_distance): half of a decoder's hold one offset each, and the others more."""
    buckets = f.integer("relative_attention_num_buckets", default=32)
    farthest = f.integer("relative_attention_max_distance", default=128)
    if buckets < 4:
        f.refuse("relative_attention_num_buckets", buckets, "at least 4")
    if farthest <= buckets // 2:
        f.refuse("relative_attention_max_distance", farthest, f"more than {buckets // 2}")
    return buckets, farthest


def _activation(f):
    words = {word: ACTIVATION[word] for word in ACTIVATION}
    words |= {f"gated-{word}": GATED[ours] for word, ours in ACTIVATION.items() if ours in GATED}
    words["gated-gelu"] = "geglu_tanh"  # the paper's; the library reads it so
    made = f.choice("feed_forward_proj", table=words, default="relu")
    gated = made in GATED.values()
    f.only("is_gated_act", gated)  # written beside it by the library
    if f.has("dense_act_fn"):
        inner = f.choice("dense_act_fn", table=ACTIVATION)
        if (GATED.get(inner) if gated else inner) != made:
            f.refuse(
                "dense_act_fn", f.described["dense_act_fn"], "the activation of feed_forward_proj"
            )
    return made


def rules(config, kind):
    """How each parameter is kept. The bias that all layers share lies in the first there."""
    c = config
    head = [] if c.tied else [linear("head", "lm_head.weight")]
    return (
        [same("tokens.weight", "shared.weight")]
        + _side("encoder", c.n_layer, False)
        + _side("decoder", c.decoder_layers, True)
        + head
    )


def _side(ours, count, cross):
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
        last = f"{theirs}.{1 + cross}.DenseReluDense"
        for part, name in (("hidden", "wi"), ("gate", "wi_0"), ("up", "wi_1"), ("out", "wo")):
            made += affine(f"{mine}.feed_forward.{part}", f"{last}.{name}", bias=False)
        for n in range(2 + cross):
            made += layer_norm(f"{mine}.norms.{n}", f"{theirs}.{n}.layer_norm", bias=False)
    return made + layer_norm(f"{ours}.norm", f"{ours}.final_layer_norm", bias=False)

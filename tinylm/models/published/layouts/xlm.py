"""XLM and XLNet in Hugging Face's layout. Read next: bert.py."""

from dataclasses import replace
from typing import Any

from tinylm.models.encoder.encoder import EncoderConfig
from tinylm.models.encoder.xlnet import XLNetConfig
from tinylm.models.published.layouts.bert import ACTIVATION
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rules import Rule, affine, by_head, layer_norm, reshaped, same

PREFIX = "transformer."
REPEATED = "pred_layer.proj.weight", "lm_loss.weight"  # the table of embeddings a second time


def read_config(f: Fields, names: Any = None) -> EncoderConfig | XLNetConfig:
    """The EncoderConfig or XLNetConfig of a config.json; names as in bert.py."""
    kind = f.described["model_type"]
    if kind == "xlm":
        config = _xlm(f)
    else:
        config = _xlnet(f)
    # The bias is the one tensor of a head that is not the table of embeddings.
    headless = names is not None and not {"pred_layer.proj.bias", "lm_loss.bias"} & set(names)
    if not f.flag("tie_word_embeddings", default=True) and not headless:
        f.refuse(
            "tie_word_embeddings", False, "true: the output weights are the table of embeddings"
        )
    if kind == "xlm" and headless:
        return replace(config, head=None)
    return config


def _xlm(f):
    # A bidirectional encoder.
    f.only("causal", False)
    f.only("asm", False)
    f.only("is_encoder", True)
    f.only("use_lang_emb", True, False)
    # Special tokens, names of languages, training.
    f.ignore(
        "bos_index eos_index pad_index unk_index mask_index mask_token_id lang_id lang2id id2lang "
        "n_words sinusoidal_embeddings max_vocab min_count same_enc_dec emb_init_std"
    )
    languages = 0
    if f.flag("use_lang_emb", default=True):
        languages = f.integer("n_langs", default=1)
    if languages <= 1:  # then the library has no table of them
        languages = 0
    activation = "relu"
    if f.flag("gelu_activation", default=True):
        activation = "gelu"
    return EncoderConfig(
        vocab_size=f.integer("vocab_size", "n_words"),
        context=f.integer("max_position_embeddings", default=512),
        n_layer=f.integer("n_layers"),
        n_head=f.integer("n_heads"),
        d_model=f.integer("emb_dim"),
        segments=0,
        pooler=False,
        head="token_plain",
        languages=languages,
        activation=activation,
        norm_eps=f.number("layer_norm_eps", default=1e-12),
        dropout=f.described.get("dropout", 0.1),
    )


def _xlnet(f):
    width, heads = f.integer("d_model"), f.integer("n_head")
    # Only plain two-stream attention: no memory of earlier segments, no clamped distances.
    f.only("attn_type", "bi")
    f.only("bi_data", False)
    f.only("clamp_len", -1)
    f.only("same_length", False)
    f.only("untie_r", True)
    f.only("d_head", width // max(heads, 1))
    f.ignore("mem_len reuse_len use_mems_eval use_mems_train use_mems max_position_embeddings")
    return XLNetConfig(
        vocab_size=f.integer("vocab_size"),
        n_layer=f.integer("n_layer"),
        n_head=heads,
        d_model=width,
        d_hidden=f.integer("d_inner"),
        activation=f.choice("ff_activation", table=ACTIVATION, default="gelu"),
        norm_eps=f.number("layer_norm_eps", default=1e-12),
        dropout=f.described.get("dropout", 0.1),
    )


def rules(config: EncoderConfig | XLNetConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    if kind == "xlm":
        return xlm(config)
    return xlnet(config)


def xlm(c: EncoderConfig) -> list[Rule]:
    """XLMModel, XLMWithLMHeadModel."""
    made = [
        same("tokens.weight", f"{PREFIX}embeddings.weight"),
        same("positions.table.weight", f"{PREFIX}position_embeddings.weight"),
        same("languages.weight", f"{PREFIX}lang_embeddings.weight"),
    ]
    made += layer_norm("embedding_norm", f"{PREFIX}layer_norm_emb")
    for i in range(c.n_layer):
        # XLM lists each kind of module by itself: attentions.0, ..., ffns.0, ...
        ours = f"blocks.{i}"
        made += affine(
            f"{ours}.attention.qkv", *(f"{PREFIX}attentions.{i}.{part}_lin" for part in "qkv")
        )
        made += affine(f"{ours}.attention.out", f"{PREFIX}attentions.{i}.out_lin")
        made += layer_norm(f"{ours}.norms.0", f"{PREFIX}layer_norm1.{i}")
        made += affine(f"{ours}.feed_forward.hidden", f"{PREFIX}ffns.{i}.lin1")
        made += affine(f"{ours}.feed_forward.out", f"{PREFIX}ffns.{i}.lin2")
        made += layer_norm(f"{ours}.norms.1", f"{PREFIX}layer_norm2.{i}")
    return made + [same("head.bias", "pred_layer.proj.bias")]


def xlnet(c: XLNetConfig) -> list[Rule]:
    """XLNetModel, XLNetLMHeadModel. Maps to heads are (D, H, K) there."""
    D, H = c.d_model, c.n_head
    made = [
        same("tokens.weight", f"{PREFIX}word_embedding.weight"),
        # What the query stream begins with at every position: the embedding of no token.
        reshaped("nobody", f"{PREFIX}mask_emb", (D,), (1, 1, D)),
    ]
    for i in range(c.n_layer):
        ours, layer = f"blocks.{i}", f"{PREFIX}layer.{i}"
        attention = f"{layer}.rel_attn"
        made += [
            by_head(
                f"{ours}.attention.qkv.weight", *(f"{attention}.{part}" for part in "qkv"), heads=H
            ),
            by_head(f"{ours}.attention.relative.weight", f"{attention}.r", heads=H),
            # (D, H, K) there, too: it is applied backwards, from heads to D.
            by_head(f"{ours}.attention.out.weight", f"{attention}.o", heads=H, turned=True),
        ]
        # Transformer-XL's biases u and v; XLNet's bias and table for relative segments.
        names = {
            "content_bias": "r_w_bias",
            "position_bias": "r_r_bias",
            "segment_bias": "r_s_bias",
            "segment_table": "seg_embed",
        }
        made += [
            same(f"{ours}.attention.{mine}", f"{attention}.{theirs}")
            for mine, theirs in names.items()
        ]
        made += layer_norm(f"{ours}.norms.0", f"{attention}.layer_norm")
        made += affine(f"{ours}.feed_forward.hidden", f"{layer}.ff.layer_1")
        made += affine(f"{ours}.feed_forward.out", f"{layer}.ff.layer_2")
        made += layer_norm(f"{ours}.norms.1", f"{layer}.ff.layer_norm")
    return made + [same("bias", "lm_loss.bias")]

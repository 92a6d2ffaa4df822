"""Hugging Face's names for encoders, encoder-decoders and XLNet.

Each function below lists the rules of one `model_type` (encoder_rules.py); together with the configuration they name
every tensor. Read next: published/load_encoders.py, which reads config.json, loads and saves.
"""
from itertools import chain

from tinylm.models.published.layouts.encoder_rules import Rule, linear, norm, plain, table


def _embeddings(e):
    return chain(table("tokens", f"{e}.word_embeddings"), table("positions.table", f"{e}.position_embeddings"),
                 table("segments", f"{e}.token_type_embeddings"), norm("embedding_norm", f"{e}.LayerNorm"))


def _bert_layers(config, prefix):
    for i in range(config.n_layer):
        ours, theirs = f"blocks.{i}", f"{prefix}.encoder.layer.{i}"
        yield from linear(f"{ours}.attention.qkv", *(f"{theirs}.attention.self.{part}" for part in ("query", "key", "value")))
        yield from linear(f"{ours}.attention.out", f"{theirs}.attention.output.dense")
        yield from norm(f"{ours}.norms.0", f"{theirs}.attention.output.LayerNorm")
        yield from linear(f"{ours}.feed_forward.hidden", f"{theirs}.intermediate.dense")
        yield from linear(f"{ours}.feed_forward.out", f"{theirs}.output.dense")
        yield from norm(f"{ours}.norms.1", f"{theirs}.output.LayerNorm")


def _head(dense, norm_name, bias):
    return chain(linear("head.dense", dense), norm("head.norm", norm_name), plain("head.bias", bias))


def bert(c):
    """BertModel, BertForMaskedLM, BertForPreTraining."""
    return chain(_embeddings("bert.embeddings"), _bert_layers(c, "bert"), linear("pooler", "bert.pooler.dense"),
                 _head("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
                 linear("classifier", "cls.seq_relationship"))


def roberta(c):
    """RobertaModel, RobertaForMaskedLM; XLM-RoBERTa."""
    return chain(_embeddings("roberta.embeddings"), _bert_layers(c, "roberta"), linear("pooler", "roberta.pooler.dense"),
                 _head("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"))


def electra(c):
    """ElectraModel, ElectraForMaskedLM (a generator), ElectraForPreTraining (a discriminator)."""
    if c.head == "replaced":
        theirs = "discriminator_predictions"
        head = chain(linear("head.dense", f"{theirs}.dense"), linear("head.out", f"{theirs}.dense_prediction"))
    else:
        head = _head("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias")
    return chain(_embeddings("electra.embeddings"), linear("widen", "electra.embeddings_project"), _bert_layers(c, "electra"), head)


def albert(c):
    """AlbertModel, AlbertForMaskedLM, AlbertForPreTraining. A group's weights lie at its first layer here."""
    def layers():
        for group in range(c.layer_groups):
            first = next(i for i in range(c.n_layer) if i * c.layer_groups // c.n_layer == group)
            ours, theirs = f"blocks.{first}", f"albert.encoder.albert_layer_groups.{group}.albert_layers.0"
            yield from linear(f"{ours}.attention.qkv", *(f"{theirs}.attention.{part}" for part in ("query", "key", "value")))
            yield from linear(f"{ours}.attention.out", f"{theirs}.attention.dense")
            yield from norm(f"{ours}.norms.0", f"{theirs}.attention.LayerNorm")
            yield from linear(f"{ours}.feed_forward.hidden", f"{theirs}.ffn")
            yield from linear(f"{ours}.feed_forward.out", f"{theirs}.ffn_output")
            yield from norm(f"{ours}.norms.1", f"{theirs}.full_layer_layer_norm")

    return chain(_embeddings("albert.embeddings"), linear("widen", "albert.encoder.embedding_hidden_mapping_in"), layers(),
                 linear("pooler", "albert.pooler"), _head("predictions.dense", "predictions.LayerNorm", "predictions.bias"),
                 linear("classifier", "sop_classifier.classifier"))


def distilbert(c):
    """DistilBertModel, DistilBertForMaskedLM."""
    def layers():
        for i in range(c.n_layer):
            ours, theirs = f"blocks.{i}", f"distilbert.transformer.layer.{i}"
            yield from linear(f"{ours}.attention.qkv", *(f"{theirs}.attention.{part}_lin" for part in "qkv"))
            yield from linear(f"{ours}.attention.out", f"{theirs}.attention.out_lin")
            yield from norm(f"{ours}.norms.0", f"{theirs}.sa_layer_norm")
            yield from linear(f"{ours}.feed_forward.hidden", f"{theirs}.ffn.lin1")
            yield from linear(f"{ours}.feed_forward.out", f"{theirs}.ffn.lin2")
            yield from norm(f"{ours}.norms.1", f"{theirs}.output_layer_norm")

    return chain(_embeddings("distilbert.embeddings"), layers(),
                 _head("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"))


def xlm(c):
    """XLMModel, XLMWithLMHeadModel."""
    def layers():
        for i in range(c.n_layer):
            ours, theirs = f"blocks.{i}", "transformer"
            yield from linear(f"{ours}.attention.qkv", *(f"{theirs}.attentions.{i}.{part}_lin" for part in "qkv"))
            yield from linear(f"{ours}.attention.out", f"{theirs}.attentions.{i}.out_lin")
            yield from norm(f"{ours}.norms.0", f"{theirs}.layer_norm1.{i}")
            yield from linear(f"{ours}.feed_forward.hidden", f"{theirs}.ffns.{i}.lin1")
            yield from linear(f"{ours}.feed_forward.out", f"{theirs}.ffns.{i}.lin2")
            yield from norm(f"{ours}.norms.1", f"{theirs}.layer_norm2.{i}")

    return chain(table("tokens", "transformer.embeddings"), table("positions.table", "transformer.position_embeddings"),
                 table("languages", "transformer.lang_embeddings"), norm("embedding_norm", "transformer.layer_norm_emb"), layers(),
                 plain("head.bias", "pred_layer.proj.bias"))


def t5(c):
    """T5ForConditionalGeneration, versions 1.0 and 1.1. The bias that all layers share lies in the first there."""
    def side(ours, count, cross):
        yield from plain(f"{ours}.bias.table", f"{ours}.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
        for i in range(count):
            mine, theirs = f"{ours}.blocks.{i}", f"{ours}.block.{i}.layer"
            yield from linear(f"{mine}.attention.qkv", *(f"{theirs}.0.SelfAttention.{part}" for part in "qkv"), bias=False)
            yield from linear(f"{mine}.attention.out", f"{theirs}.0.SelfAttention.o", bias=False)
            if cross:
                yield from linear(f"{mine}.cross.q", f"{theirs}.1.EncDecAttention.q", bias=False)
                yield from linear(f"{mine}.cross.kv", *(f"{theirs}.1.EncDecAttention.{part}" for part in "kv"), bias=False)
                yield from linear(f"{mine}.cross.out", f"{theirs}.1.EncDecAttention.o", bias=False)
            last = f"{theirs}.{1 + cross}.DenseReluDense"
            for part, name in (("hidden", "wi"), ("gate", "wi_0"), ("up", "wi_1"), ("out", "wo")):
                yield from linear(f"{mine}.feed_forward.{part}", f"{last}.{name}", bias=False)
            for n in range(2 + cross):
                yield from norm(f"{mine}.norms.{n}", f"{theirs}.{n}.layer_norm", bias=False)
        yield from norm(f"{ours}.norm", f"{ours}.final_layer_norm", bias=False)

    head = () if c.tied else (Rule("head", ("lm_head.weight",), turned=True),)
    return chain(table("tokens", "shared"), side("encoder", c.n_layer, False), side("decoder", c.decoder_layers, True), head)


def bart(c):
    """BartForConditionalGeneration, MBartForConditionalGeneration."""
    def side(name, count, cross):
        theirs = f"model.{name}"
        yield from table(f"{name}.positions.table", f"{theirs}.embed_positions")
        yield from norm(f"{name}.embedding_norm", f"{theirs}.layernorm_embedding")
        for i in range(count):
            mine, layer = f"{name}.blocks.{i}", f"{theirs}.layers.{i}"
            yield from linear(f"{mine}.attention.qkv", *(f"{layer}.self_attn.{part}_proj" for part in "qkv"))
            yield from linear(f"{mine}.attention.out", f"{layer}.self_attn.out_proj")
            if cross:
                yield from linear(f"{mine}.cross.q", f"{layer}.encoder_attn.q_proj")
                yield from linear(f"{mine}.cross.kv", *(f"{layer}.encoder_attn.{part}_proj" for part in "kv"))
                yield from linear(f"{mine}.cross.out", f"{layer}.encoder_attn.out_proj")
            yield from linear(f"{mine}.feed_forward.hidden", f"{layer}.fc1")
            yield from linear(f"{mine}.feed_forward.out", f"{layer}.fc2")
            norms = ["self_attn_layer_norm", *["encoder_attn_layer_norm"] * cross, "final_layer_norm"]
            for n, norm_name in enumerate(norms):
                yield from norm(f"{mine}.norms.{n}", f"{layer}.{norm_name}")
        yield from norm(f"{name}.norm", f"{theirs}.layer_norm")

    return chain(table("tokens", "model.shared"), side("encoder", c.n_layer, False), side("decoder", c.decoder_layers, True))


def xlnet(c):
    """XLNetModel, XLNetLMHeadModel. Maps to heads are (D, H, K) there."""
    D, H = c.d_model, c.n_head
    K = D // H
    shapes = {"flat": (D, D), "folded": (D, H, K)}

    def layers():
        for i in range(c.n_layer):
            ours, theirs = f"blocks.{i}", f"transformer.layer.{i}"
            yield Rule(f"{ours}.attention.qkv.weight", tuple(f"{theirs}.rel_attn.{part}" for part in "qkv"), **shapes)
            yield Rule(f"{ours}.attention.relative.weight", (f"{theirs}.rel_attn.r",), **shapes)
            yield Rule(f"{ours}.attention.out.weight", (f"{theirs}.rel_attn.o",), turned=True, **shapes)
            for mine, name in (("content_bias", "r_w_bias"), ("position_bias", "r_r_bias"), ("segment_bias", "r_s_bias"),
                               ("segment_table", "seg_embed")):
                yield from plain(f"{ours}.attention.{mine}", f"{theirs}.rel_attn.{name}")
            yield from norm(f"{ours}.norms.0", f"{theirs}.rel_attn.layer_norm")
            yield from linear(f"{ours}.feed_forward.hidden", f"{theirs}.ff.layer_1")
            yield from linear(f"{ours}.feed_forward.out", f"{theirs}.ff.layer_2")
            yield from norm(f"{ours}.norms.1", f"{theirs}.ff.layer_norm")

    return chain(table("tokens", "transformer.word_embedding"),
                 (Rule("nobody", ("transformer.mask_emb",), flat=(D,), folded=(1, 1, D)),), layers(), plain("bias", "lm_loss.bias"))


# model_type of config.json: (rules, the prefix that a model without a head leaves out)
LAYOUTS = {"bert": (bert, "bert."), "roberta": (roberta, "roberta."), "xlm-roberta": (roberta, "roberta."),
           "albert": (albert, "albert."), "electra": (electra, "electra."), "distilbert": (distilbert, "distilbert."),
           "xlm": (xlm, "transformer."), "t5": (t5, ""), "bart": (bart, "model."), "mbart": (bart, "model."),
           "xlnet": (xlnet, "transformer.")}

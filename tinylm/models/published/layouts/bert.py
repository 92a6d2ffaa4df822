"""BERT and the families that follow it, in Hugging Face's layout.

RoBERTa, XLM-RoBERTa, CamemBERT, ALBERT, ELECTRA, DistilBERT, Megatron-BERT. A config.json does not
list the heads of a model: the tensors of the file decide. Read next: t5.py.
"""

from dataclasses import replace
from typing import Any

from tinylm.models.encoder.encoder import EncoderConfig
from tinylm.models.published.layouts.fields import Fields
from tinylm.models.published.layouts.rules import Rule, affine, layer_norm, name_in_file, same

# {hidden_act: activation here}
ACTIVATION = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
ROBERTA = "roberta", "xlm-roberta", "camembert"
PREFIXES = {
    "bert": "bert.",
    "roberta": "roberta.",
    "xlm-roberta": "roberta.",
    "camembert": "roberta.",
    "albert": "albert.",
    "electra": "electra.",
    "distilbert": "distilbert.",
    "megatron-bert": "bert.",
}
# The head's matrix is the table of embeddings; files repeat it, and its bias, under these names.
REPEATED = (
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
    "lm_head.decoder.weight",
    "lm_head.decoder.bias",
    "predictions.decoder.weight",
    "predictions.decoder.bias",
    "generator_lm_head.weight",
    "vocab_projector.weight",
)


def read_config(f: Fields, names: Any = None) -> EncoderConfig:
    """The EncoderConfig of a config.json.

    names  names of the tensors in the file: a head or pooler without any is left out; None: all are
           kept
    """
    kind = f.described["model_type"]
    if kind == "distilbert":
        config = _distilbert(f)
    else:
        config = _bert(f, kind)
    untied = not f.flag("tie_word_embeddings", default=True)
    if names is not None:
        config = _with_heads(config, kind, names)
    if kind in ROBERTA or (kind == "electra" and config.head == "token"):
        config = replace(config, head_activation="gelu")  # fixed in the class
    # A model without such a head has no output weights, so the field does not matter.
    if untied and config.head in ("token", "token_plain"):
        f.refuse(
            "tie_word_embeddings", False, "true: the output weights are the table of embeddings"
        )
    return config


def _bert(f, kind):
    """The EncoderConfig of all families but DistilBERT, whose fields have other names."""
    width = f.integer("hidden_size")
    pad = f.integer("pad_token_id", default=1)
    first = 0
    if kind in ROBERTA:  # positions begin after the row of the padding id
        first = pad + 1
    # The width of the embeddings; None: that of the model, without a map between the two. ALBERT
    # always has the map.
    default = {"albert": 128, "electra": 128}.get(kind, width)
    embed = f.integer("embedding_size", default=default)
    if kind != "albert" and embed == width:
        embed = None
    f.only("position_embedding_type", "absolute")
    f.only("inner_group_num", 1)  # ALBERT: one layer in a group
    f.ignore(
        "gap_size net_structure_type num_memory_blocks down_scale_factor directionality "
        "pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head "
        "pooler_type"
    )
    groups, activation, placement = None, "gelu", "post"
    if kind == "albert":  # the layers of a group share their weights
        groups, activation = f.integer("num_hidden_groups", default=1), "gelu_new"
    if kind == "megatron-bert":
        placement = "pre"
    return EncoderConfig(
        vocab_size=f.integer("vocab_size"),
        context=f.integer("max_position_embeddings") - first,
        n_layer=f.integer("num_hidden_layers"),
        n_head=f.integer("num_attention_heads"),
        d_model=width,
        d_hidden=f.integer("intermediate_size"),
        d_embed=embed,
        segments=f.integer("type_vocab_size", default=2),
        first_position=first,
        layer_groups=groups,
        norm_placement=placement,
        activation=f.choice("hidden_act", table=ACTIVATION, default=activation),
        norm_eps=f.number("layer_norm_eps", default=1e-12),
        dropout=f.described.get("hidden_dropout_prob", 0.1),
    )


def _distilbert(f):
    f.only("sinusoidal_pos_embds", False, True)  # either way the table is in the file
    return EncoderConfig(
        vocab_size=f.integer("vocab_size"),
        context=f.integer("max_position_embeddings"),
        n_layer=f.integer("n_layers", "num_hidden_layers"),
        n_head=f.integer("n_heads", "num_attention_heads"),
        d_model=f.integer("dim", "hidden_size"),
        d_hidden=f.integer("hidden_dim"),
        segments=0,  # neither segments nor a pooler: what distillation left out
        pooler=False,
        activation=f.choice("activation", table=ACTIVATION, default="gelu"),
        dropout=f.described.get("dropout", 0.1),
    )


def _with_heads(config, kind, names):
    """The configuration with those heads that have tensors among `names`."""
    # Heads do not depend on layers: the rules of one layer are enough.
    one = replace(config, n_layer=1, layer_groups=config.layer_groups and 1)

    def has(part, head=None):
        made = rules(replace(one, head=head or one.head), kind)
        mine = [rule.theirs[0] for rule in made if rule.ours.startswith(part)]
        return any(name_in_file(theirs, names, PREFIXES[kind]) for theirs in mine)

    heads = ["token"]
    if kind == "electra":  # a discriminator, or a generator
        heads = ["replaced", "token"]
    head = next((head for head in heads if has("head.", head)), None)
    classes = 2 * has("classifier.")  # of pairs of sentences
    return replace(config, head=head, pooler=has("pooler."), classes=classes)


def rules(config: EncoderConfig, kind: str) -> list[Rule]:
    """The list of Rule: the tensors that each parameter is made of."""
    return LISTS[kind](config)


def _embeddings(e):
    """The rules of the three tables and their norm, in BERT's names."""
    # (V, E), (T, E) and (segments, E), E being D or d_embed; they are added.
    tables = {
        "tokens.weight": "word",
        "positions.table.weight": "position",
        "segments.weight": "token_type",
    }
    made = [same(ours, f"{e}.{theirs}_embeddings.weight") for ours, theirs in tables.items()]
    return made + layer_norm("embedding_norm", f"{e}.LayerNorm")


def _block(ours, q, k, v, out, first_norm, hidden, down, second_norm):
    """The rules of one layer, from the names of its eight parts."""
    # Three Linears (D, D) there, side by side as (D, 3 D) here.
    return (
        affine(f"{ours}.attention.qkv", q, k, v)
        + affine(f"{ours}.attention.out", out)
        + layer_norm(f"{ours}.norms.0", first_norm)
        + affine(f"{ours}.feed_forward.hidden", hidden)
        + affine(f"{ours}.feed_forward.out", down)
        + layer_norm(f"{ours}.norms.1", second_norm)
    )


def _bert_layers(config, prefix):
    """The rules of all layers, in BERT's names."""
    made = []
    for i in range(config.n_layer):
        layer = f"{prefix}.encoder.layer.{i}"
        attention = f"{layer}.attention"
        made += _block(
            f"blocks.{i}",
            *(f"{attention}.self.{part}" for part in ("query", "key", "value")),
            f"{attention}.output.dense",
            f"{attention}.output.LayerNorm",
            f"{layer}.intermediate.dense",
            f"{layer}.output.dense",
            f"{layer}.output.LayerNorm",
        )
    return made


def _head(dense, norm, bias):
    """The rules of a head that predicts tokens: a map, a norm, the embeddings, and their bias."""
    return affine("head.dense", dense) + layer_norm("head.norm", norm) + [same("head.bias", bias)]


def bert(c: EncoderConfig) -> list[Rule]:
    """BertModel, BertForMaskedLM, BertForPreTraining."""
    head = "cls.predictions"
    return (
        _embeddings("bert.embeddings")
        + _bert_layers(c, "bert")
        + affine("pooler", "bert.pooler.dense")
        + _head(f"{head}.transform.dense", f"{head}.transform.LayerNorm", f"{head}.bias")
        + affine("classifier", "cls.seq_relationship")  # next-sentence prediction
    )


def megatron(c: EncoderConfig) -> list[Rule]:
    """MegatronBertModel, MegatronBertForMaskedLM, ...: BERT with pre-norm."""
    head = "cls.predictions"
    tables = _embeddings("bert.embeddings")
    # No norm after the embeddings: the first layer begins with one.
    made = [rule for rule in tables if not rule.ours.startswith("embedding_norm")]
    for i in range(c.n_layer):
        layer = f"bert.encoder.layer.{i}"
        attention = f"{layer}.attention"
        made += _block(
            f"blocks.{i}",
            *(f"{attention}.self.{part}" for part in ("query", "key", "value")),
            f"{attention}.output.dense",
            f"{attention}.ln",
            f"{layer}.intermediate.dense",
            f"{layer}.output.dense",
            f"{layer}.ln",
        )
    return (
        made
        + layer_norm("norm", "bert.encoder.ln")  # after the last layer, as pre-norm needs
        + affine("pooler", "bert.pooler.dense")
        + _head(f"{head}.transform.dense", f"{head}.transform.LayerNorm", f"{head}.bias")
        + affine("classifier", "cls.seq_relationship")
    )


def roberta(c: EncoderConfig) -> list[Rule]:
    """RobertaModel, RobertaForMaskedLM; XLM-RoBERTa, CamemBERT."""
    return (
        _embeddings("roberta.embeddings")
        + _bert_layers(c, "roberta")
        + affine("pooler", "roberta.pooler.dense")
        + _head("lm_head.dense", "lm_head.layer_norm", "lm_head.bias")
    )


def electra(c: EncoderConfig) -> list[Rule]:
    """ElectraModel, ElectraForMaskedLM (a generator), ElectraForPreTraining (a discriminator)."""
    theirs = "discriminator_predictions"
    if c.head == "replaced":
        head = affine("head.dense", f"{theirs}.dense")
        head += affine("head.out", f"{theirs}.dense_prediction")
    else:
        head = _head(
            "generator_predictions.dense",
            "generator_predictions.LayerNorm",
            "generator_lm_head.bias",
        )
    return (
        _embeddings("electra.embeddings")
        + affine("widen", "electra.embeddings_project")  # where embeddings are narrower than D
        + _bert_layers(c, "electra")
        + head
    )


def albert(c: EncoderConfig) -> list[Rule]:
    """AlbertModel, AlbertForMaskedLM, AlbertForPreTraining."""
    layers = []
    for group in range(c.layer_groups):
        # The weights of a group are those of its first layer here.
        first = next(i for i in range(c.n_layer) if i * c.layer_groups // c.n_layer == group)
        layer = f"albert.encoder.albert_layer_groups.{group}.albert_layers.0"
        attention = f"{layer}.attention"
        layers += _block(
            f"blocks.{first}",
            *(f"{attention}.{part}" for part in ("query", "key", "value")),
            f"{attention}.dense",
            f"{attention}.LayerNorm",
            f"{layer}.ffn",
            f"{layer}.ffn_output",
            f"{layer}.full_layer_layer_norm",
        )
    widen = affine("widen", "albert.encoder.embedding_hidden_mapping_in")
    return (
        _embeddings("albert.embeddings")
        + widen
        + layers
        + affine("pooler", "albert.pooler")
        + _head("predictions.dense", "predictions.LayerNorm", "predictions.bias")
        + affine("classifier", "sop_classifier.classifier")  # sentence-order prediction
    )


def distilbert(c: EncoderConfig) -> list[Rule]:
    """DistilBertModel, DistilBertForMaskedLM."""
    layers = []
    for i in range(c.n_layer):
        layer = f"distilbert.transformer.layer.{i}"
        layers += _block(
            f"blocks.{i}",
            *(f"{layer}.attention.{part}_lin" for part in "qkv"),
            f"{layer}.attention.out_lin",
            f"{layer}.sa_layer_norm",
            f"{layer}.ffn.lin1",
            f"{layer}.ffn.lin2",
            f"{layer}.output_layer_norm",
        )
    return (
        _embeddings("distilbert.embeddings")
        + layers
        + _head("vocab_transform", "vocab_layer_norm", "vocab_projector.bias")
    )


# {model_type: function config -> list of Rule}
LISTS = {
    "bert": bert,
    "roberta": roberta,
    "xlm-roberta": roberta,
    "camembert": roberta,
    "albert": albert,
    "electra": electra,
    "distilbert": distilbert,
    "megatron-bert": megatron,
}

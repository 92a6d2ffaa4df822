"""Encoders, encoder-decoders and XLNet against Hugging Face's classes: outputs, and the gradient of
every parameter.
"""

import numpy as np
import pytest

from tinylm.autograd import Tensor
from tinylm.models.encoder.presets import build, preset
from tinylm.models.published.build import fill, new_model
from tinylm.models.published.layouts import LAYOUTS, prefix_of
from tinylm.models.published.layouts.rules import read_rule, write_rules
from tinylm.models.published.load import load_pretrained, read_layout
from tinylm.models.published.save import save_pretrained

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

V, B, T = 29, 2, 6
# Both compute in float64; sums of a few hundred terms in another order differ in the last digits.
TOLERANCE = 1e-10
# What Hugging Face computes in float32 whatever the model's dtype: XLNet's angles, T5's variance,
# XLM's softmax.
FLOAT32 = 1e-5

BERT = dict(
    vocab_size=V,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=24,
    max_position_embeddings=12,
)
BART = dict(
    vocab_size=V,
    d_model=16,
    encoder_layers=2,
    decoder_layers=3,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=24,
    decoder_ffn_dim=24,
    max_position_embeddings=12,
)
T5 = dict(
    vocab_size=V,
    d_model=16,
    d_kv=6,
    d_ff=24,
    num_layers=2,
    num_decoder_layers=3,
    num_heads=4,
    relative_attention_num_buckets=6,
    relative_attention_max_distance=5,
)
XLNET = dict(vocab_size=V, d_model=16, n_layer=2, n_head=4, d_inner=24)
XLM = dict(vocab_size=V, emb_dim=16, n_layers=2, n_heads=4, n_langs=3, max_position_embeddings=12)
SIZES = dict(hidden_size=768, num_attention_heads=12, intermediate_size=3072)
DISTIL = dict(
    vocab_size=V, dim=16, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=12
)


def theirs(name, config, **options):
    """A model of Hugging Face's with random weights, none of them 0 or 1, in float64."""
    torch.manual_seed(0)
    kind = getattr(transformers, name)
    model = kind(kind.config_class(**config, **options)).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.2 * torch.randn_like(p)
    return model


def ours(model):
    """The same model as tinylm's, in float64."""
    config, kind, weights = described_by(model)
    mine = new_model(config, np.float64)
    fill(
        mine, LAYOUTS[kind].rules(config, kind), weights, np.float64, prefix_of(kind), LAYOUTS[kind]
    )
    return mine


def described_by(model):
    weights = {name: w.numpy() for name, w in model.state_dict().items()}
    return *read_layout(model.config.to_dict(), weights=weights), weights


def by_our_names(model, mine, tensors):
    """Tensors under Hugging Face's names as arrays under ours."""
    config, kind, _ = described_by(model)
    rules = [
        rule for rule in LAYOUTS[kind].rules(config, kind) if rule.ours in mine.named_parameters()
    ]
    return {rule.ours: read_rule(rule, tensors, np.float64, prefix_of(kind))[0] for rule in rules}


def close(mine, other, tolerance):
    scale = max(np.max(np.abs(other)), 1e-3)
    assert mine.shape == other.shape
    assert np.max(np.abs(mine - other)) / scale < tolerance


def compare(model, mine, outputs, my_outputs, tolerance=TOLERANCE):
    """Outputs agree, and so does the gradient of one random combination of them for every
    parameter.
    """
    rng = np.random.default_rng(0)
    cotangents = [rng.normal(size=tuple(y.shape)) for y in outputs]
    for y, other in zip(my_outputs, outputs):
        close(y.numpy(), other.detach().numpy(), tolerance)
    sum((y * torch.tensor(w)).sum() for y, w in zip(outputs, cotangents)).backward()
    mine.zero_grad()
    loss = sum((y * Tensor(w)).sum() for y, w in zip(my_outputs, cotangents))
    loss.backward()
    named = model.named_parameters(remove_duplicate=False)  # a tied tensor under each of its names
    grads = {name: (torch.zeros_like(p) if p.grad is None else p.grad).numpy() for name, p in named}
    expected = by_our_names(model, mine, grads)
    assert set(expected) == set(mine.named_parameters().keys())
    for name, p in mine.named_parameters().items():
        close(
            p.grad.numpy() if p.grad is not None else np.zeros(p.shape), expected[name], tolerance
        )


@pytest.fixture
def ids(rng):
    return rng.integers(3, V, size=(B, T))  # ids 0 to 2 are padding for one or the other


@pytest.fixture
def mask():
    return np.array([[True] * T, [True] * (T - 2) + [False] * 2])


def t(array):
    return torch.tensor(array)


ENCODERS = [
    ("BertForPreTraining", BERT, {}),
    ("BertForMaskedLM", BERT, {}),
    ("BertModel", BERT, {}),
    ("RobertaForMaskedLM", BERT | dict(max_position_embeddings=14), dict(type_vocab_size=1)),
    ("RobertaModel", BERT | dict(max_position_embeddings=14), {}),
    ("XLMRobertaForMaskedLM", BERT | dict(max_position_embeddings=14), dict(type_vocab_size=1)),
    ("AlbertForPreTraining", BERT, dict(embedding_size=6)),
    ("AlbertModel", BERT, dict(embedding_size=6, num_hidden_groups=2)),
    ("ElectraForMaskedLM", BERT, dict(embedding_size=6)),
    ("ElectraForPreTraining", BERT, dict(embedding_size=16)),
    ("ElectraModel", BERT, dict(embedding_size=6)),
    ("DistilBertForMaskedLM", DISTIL, {}),
    ("DistilBertModel", DISTIL, {}),
    ("XLMWithLMHeadModel", XLM, {}),
    ("MegatronBertForPreTraining", BERT, {}),
    ("MegatronBertModel", BERT, {}),
    ("MegatronBertForMaskedLM", BERT, dict(hidden_act="gelu_new", type_vocab_size=1)),
    ("RobertaForMaskedLM", BERT | dict(max_position_embeddings=14), dict(hidden_act="relu")),
    ("CamembertForMaskedLM", BERT | dict(max_position_embeddings=14), {}),
    ("ElectraForMaskedLM", BERT, dict(embedding_size=6, hidden_act="relu")),
    ("ElectraForPreTraining", BERT, dict(embedding_size=6, hidden_act="relu")),
]


@pytest.mark.parametrize("name, config, options", ENCODERS, ids=[name for name, *_ in ENCODERS])
def test_encoders_agree_in_every_output_and_every_gradient(name, config, options, ids, mask, rng):
    model = theirs(name, config, **options)
    mine, kind = ours(model), model.config.model_type
    ids = np.where(mask, ids, model.config.pad_token_id)
    extra, my_extra = {}, {}
    if mine.segments is not None and mine.config.segments > 1:
        my_extra["segments"] = rng.integers(0, 2, size=(B, T))
        extra["token_type_ids"] = t(my_extra["segments"])
    if kind == "xlm":
        my_extra["languages"] = rng.integers(0, 3, size=(B, T))
        extra["langs"] = t(my_extra["languages"])
    found = model(input_ids=t(ids), attention_mask=t(mask.astype(np.int64)), **extra).to_tuple()
    h = mine.hidden(ids, mask=mask, **my_extra)
    made = [h] if mine.head is None else [mine.logits(h)]
    if name.endswith("PreTraining") and mine.classifier is not None:
        made.append(mine.pair_logits(h))
    if mine.head is None and mine.pooler is not None:
        made.append(mine.pool(h))
    shown = [y[mask] if y.shape[:2] == (B, T) else y for y in found[: len(made)]]
    tolerance = FLOAT32 if kind == "xlm" else TOLERANCE
    compare(model, mine, shown, [y[mask] if y.shape[:2] == (B, T) else y for y in made], tolerance)


SEQ2SEQ = [
    ("T5ForConditionalGeneration", T5, {}, FLOAT32),
    (
        "T5ForConditionalGeneration",
        T5,
        dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False),
        FLOAT32,
    ),
    ("MT5ForConditionalGeneration", T5, {}, FLOAT32),
    ("BartForConditionalGeneration", BART, {}, TOLERANCE),
    (
        "BartForConditionalGeneration",
        BART,
        dict(activation_function="relu", scale_embedding=True),
        TOLERANCE,
    ),
    ("MBartForConditionalGeneration", BART, dict(scale_embedding=True), TOLERANCE),
    ("BlenderbotForConditionalGeneration", BART, dict(activation_function="gelu_new"), TOLERANCE),
]


@pytest.mark.parametrize(
    "name, config, options, tolerance",
    SEQ2SEQ,
    ids=["t5", "t5-v1.1", "mt5", "bart", "bart-scaled", "mbart", "blenderbot"],
)
def test_encoder_decoders_agree_in_every_output_and_every_gradient(
    name, config, options, tolerance, ids, mask, rng
):
    model = theirs(name, config, **options)
    if (
        options.get("tie_word_embeddings") is False
    ):  # as in the published files; this class ties them in any case
        model.lm_head.weight = torch.nn.Parameter(torch.randn(V, 16, dtype=torch.float64))
        model.config.tie_word_embeddings = False
    mine, target = ours(model), rng.integers(3, V, size=(B, 4))
    assert mine.config.tied == options.get("tie_word_embeddings", True)
    ids = np.where(mask, ids, model.config.pad_token_id)
    logits = model(
        input_ids=t(ids), attention_mask=t(mask.astype(np.int64)), decoder_input_ids=t(target)
    ).logits
    compare(model, mine, [logits], [mine(ids, target, mask)], tolerance)


def test_xlnet_agrees_in_both_streams_and_every_gradient(ids, rng):
    model = theirs("XLNetLMHeadModel", XLNET)
    mine, segments = ours(model), rng.integers(0, 2, size=(B, T))
    order = np.array([rng.permutation(T) for _ in range(B)])
    later = np.argsort(order, axis=1)
    hidden = (later[:, None, :] >= later[:, :, None]).astype(
        np.float64
    )  # [b, i, j] = 1: i may not see j
    # The first in the order sees nothing: Hugging Face then attends to everything alike, tinylm to
    # nothing. Left out.
    targets = order[:, 1:]
    mapping = np.eye(T)[targets]  # (B, P, T)
    angles = model.transformer.relative_positional_encoding  # float32, which two streams cannot mix
    model.transformer.relative_positional_encoding = lambda *args, **options: angles(
        *args, **options
    ).double()
    logits = model(
        input_ids=t(ids), token_type_ids=t(segments), perm_mask=t(hidden), target_mapping=t(mapping)
    ).logits
    made = mine(ids, order, segments)
    rows = np.arange(B)[:, None]
    compare(model, mine, [logits], [made[rows, targets]], FLOAT32)


def test_xlnet_agrees_without_an_order_and_with_padding(ids, mask, rng):
    model = theirs("XLNetLMHeadModel", XLNET)
    logits = model(input_ids=t(ids), attention_mask=t(mask.astype(np.float64))).logits[mask]
    close(ours(model)(ids, mask=mask)[mask].numpy(), logits.detach().numpy(), FLOAT32)


def meta(name, **config):
    """A model of Hugging Face's without memory, for counting."""
    kind = getattr(transformers, name)
    with torch.device("meta"):
        return sum(p.numel() for p in kind(kind.config_class(**config)).parameters())


LARGE = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
ROBERTA = dict(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)
XXL = dict(hidden_size=4096, num_hidden_layers=12, num_attention_heads=64, intermediate_size=16384)
GENERATOR = dict(hidden_size=256, num_attention_heads=4, intermediate_size=1024)
COUNTED = [
    ("bert-base-uncased", "BertForPreTraining", {}),
    ("bert-large-uncased", "BertForPreTraining", LARGE),
    ("roberta-base", "RobertaForMaskedLM", ROBERTA),
    ("roberta-large", "RobertaForMaskedLM", ROBERTA | LARGE),
    ("xlm-roberta-base", "XLMRobertaForMaskedLM", ROBERTA | dict(vocab_size=250002)),
    ("albert-base-v2", "AlbertForPreTraining", SIZES),
    ("albert-xxlarge-v2", "AlbertForPreTraining", XXL),
    ("distilbert-base-uncased", "DistilBertForMaskedLM", {}),
    ("electra-small", "ElectraForPreTraining", dict(embedding_size=128, **GENERATOR)),
    ("electra-base", "ElectraForPreTraining", dict(embedding_size=768, **SIZES)),
    ("electra-base-generator", "ElectraForMaskedLM", dict(embedding_size=768, **GENERATOR)),
    (
        "xlm-15",
        "XLMWithLMHeadModel",
        dict(vocab_size=95000, emb_dim=1024, n_layers=12, n_heads=8, n_langs=15),
    ),
    ("t5-small", "T5ForConditionalGeneration", {}),
    (
        "t5-11b",
        "T5ForConditionalGeneration",
        dict(d_model=1024, d_kv=128, num_heads=128, num_layers=24, d_ff=65536),
    ),
    ("bart-large", "BartForConditionalGeneration", {}),
    ("mbart-large", "MBartForConditionalGeneration", dict(vocab_size=250027)),
    ("xlnet-large", "XLNetLMHeadModel", {}),
]


@pytest.mark.parametrize("name, kind, config", COUNTED, ids=[name for name, *_ in COUNTED])
def test_presets_have_as_many_parameters_as_the_published_models(name, kind, config):
    assert build(preset(name), None).count_parameters() == meta(kind, **config)


@pytest.mark.parametrize(
    "name, config",
    [
        ("BertForPreTraining", BERT),
        ("XLNetLMHeadModel", XLNET),
        ("T5ForConditionalGeneration", T5),
        ("MBartForConditionalGeneration", BART),
    ],
)
def test_hugging_face_reads_what_tinylm_writes(name, config, tmp_path, ids):
    model = theirs(name, config)
    mine = ours(model)
    save_pretrained(mine, tmp_path, described=model.config.to_dict(), numbers="F32")
    again = load_pretrained(tmp_path, np.float64).model
    for a, b in zip(mine.parameters(), again.parameters()):
        np.testing.assert_array_equal(a.numpy().astype(np.float32), b.numpy())
    read_back, report = type(model).from_pretrained(
        tmp_path, dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    for (key, a), b in zip(model.named_parameters(), read_back.parameters()):
        assert torch.equal(a.float(), b), key


def test_writing_undoes_reading(ids):
    model = theirs("AlbertForPreTraining", BERT, embedding_size=6)
    config, kind, weights = described_by(model)
    back = write_rules(LAYOUTS[kind].rules(config, kind), by_our_names(model, ours(model), weights))
    assert set(back) == {name for name, _ in model.named_parameters()}
    for name, array in back.items():
        np.testing.assert_array_equal(array, weights[name])

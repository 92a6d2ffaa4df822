"""Who sees what in an encoder-decoder, and what its parts do at their limits."""

import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError, ShapeError
from tinylm.models.encoder.presets import build, preset, tiny
from tinylm.models.encoder.seq2seq import Seq2SeqConfig

SOURCE, TARGET = np.array([[5, 6, 7, 8]]), np.array([[0, 4, 8, 2, 9, 1]])
EXACT = 1e-12  # the same sums in another order, float64
NAMES = ["t5-small", "t5-v1.1-small", "bart-base", "mbart-large", "mass-base"]


def model(name, **changes):
    """A small model in evaluation mode, with weights of size one half."""
    made = build(tiny(name, **changes), 0, dtype=np.float64).eval()
    for i, p in enumerate(made.parameters()):
        p.data[...] += 0.3 * np.random.default_rng(i).normal(size=p.shape)
    return made


@pytest.fixture(params=NAMES)
def any_model(request):
    return model(request.param)


def seen(outputs, inputs):
    """[t, s]: does output t depend on input s?   Rows of a bool matrix read off by derivatives."""
    rows = []
    for t in range(outputs.shape[1]):
        weights = np.zeros(outputs.shape)
        weights[:, t] = np.random.default_rng(t).normal(size=outputs.shape[-1])
        (g,) = tl.grad(outputs, [inputs], cotangent=Tensor(weights), retain_graph=True)
        rows.append(np.abs(g.numpy()[0]).max(-1) > 1e-9)
    return np.array(rows)


def test_the_three_patterns_of_attention(any_model):
    m = any_model
    source, target = (Tensor(m.embed(ids).numpy(), requires_grad=True) for ids in (SOURCE, TARGET))
    m.embed = lambda ids: source if ids is SOURCE else target
    memory = m.encode(SOURCE)
    h = m.decode(TARGET, memory)
    assert seen(memory, source).sum() == 16  # the encoder: a full square, 4 x 4
    assert seen(h, source).sum() == 24  # cross-attention: a full rectangle, 6 x 4
    np.testing.assert_array_equal(seen(h, target), np.tri(6, dtype=bool))  # the decoder: 21 of 36


def test_padding_of_the_source_is_not_seen(any_model):
    padded, mask = np.concatenate([SOURCE, [[3, 3]]], axis=1), np.array([[True] * 4 + [False] * 2])
    np.testing.assert_allclose(
        any_model(padded, TARGET, mask).numpy(),
        any_model(SOURCE, TARGET).numpy(),
        rtol=0,
        atol=EXACT,
    )


def test_without_what_cross_attention_adds_the_decoder_is_a_plain_language_model(any_model):
    for block in any_model.decoder.blocks:
        for p in block.cross.out.parameters():
            p.data[...] = 0
    np.testing.assert_array_equal(
        any_model(SOURCE, TARGET).numpy(), any_model(SOURCE[:, ::-1], TARGET).numpy()
    )


def test_a_source_of_one_token_is_read_with_weight_one(any_model):
    cross, memory = any_model.decoder.blocks[0].cross, any_model.encode(SOURCE[:, :1])
    x = Tensor(np.random.default_rng(0).normal(size=(1, 3, 16)))
    _, v = cross.keys_values(memory)
    only = v.numpy().transpose(0, 2, 1, 3).reshape(1, 1, -1)
    np.testing.assert_allclose(
        cross(x, memory).numpy(),
        cross.out(Tensor(np.repeat(only, 3, axis=1))).numpy(),
        rtol=0,
        atol=EXACT,
    )


def test_the_order_of_the_memory_does_not_matter(any_model):
    memory, order = any_model.encode(SOURCE), np.array([2, 0, 3, 1])
    both = [any_model.decode(TARGET, m).numpy() for m in (memory, memory[:, order])]
    np.testing.assert_allclose(
        *both, rtol=0, atol=1e-11
    )  # softmax sums in another order, then 3 layers of size 10


def test_keys_and_values_of_the_memory_can_be_kept(any_model):
    memory = any_model.encode(SOURCE)
    kept = any_model.decode(TARGET, any_model.memory_pairs(memory))
    np.testing.assert_array_equal(kept.numpy(), any_model.decode(TARGET, memory).numpy())


def test_the_t5_bias_is_shared_by_the_layers_of_a_side():
    t5 = model("t5-small", n_layer=3)
    tables = [name for name in t5.named_parameters().keys() if "bias.table" in name]
    assert tables == ["encoder.bias.table", "decoder.bias.table"]
    assert t5.encoder.bias.bidirectional and not t5.decoder.bias.bidirectional
    (t5(SOURCE, TARGET) ** 2).sum().backward()
    assert (
        np.abs(t5.encoder.bias.table.grad.numpy()).max() > 0
        and np.abs(t5.decoder.bias.table.grad.numpy()).max() > 0
    )


def test_t5_scores_are_not_scaled_and_its_tied_logits_are():
    t5, D = model("t5-small"), preset("t5-small").d_model
    assert t5.decoder.blocks[0].attention.scale == t5.decoder.blocks[0].cross.scale == 1.0
    assert preset("t5-small").logit_scale == D**-0.5 and preset("t5-v1.1-small").logit_scale == 1
    h = Tensor(np.ones((1, 1, 16)))
    np.testing.assert_allclose(
        t5.logits(h).numpy()[0, 0], t5.tokens.weight.numpy().sum(1) * 0.25, rtol=0, atol=EXACT
    )  # 16^-0.5


@pytest.mark.parametrize(
    "name, count",
    [
        ("t5-small", 60_506_624),
        ("t5-base", 222_903_552),
        ("t5-large", 737_668_096),
        ("t5-3b", 2_851_598_336),
        ("t5-11b", 11_307_321_344),
        ("t5-v1.1-small", 76_961_152),
        ("bart-base", 139_420_416),
        ("bart-large", 406_291_456),
        ("mbart-large", 610_851_840),
    ],
)
def test_the_published_counts(name, count):
    assert build(preset(name), None).count_parameters() == count


def test_the_encoder_of_t5_xxl_has_4_6_billion_parameters_without_its_table():
    t5 = build(preset("t5-v1.1-xxl"), None)
    assert t5.encoder.count_parameters() == 4_630_714_368
    assert t5.encoder.count_parameters() + t5.tokens.count_parameters() == 4_762_310_656


def test_the_families_differ_in_their_words():
    t5, bart, mbart = (preset(name) for name in ("t5-base", "bart-base", "mbart-large"))
    assert (t5.norm, t5.norm_placement, t5.positions, t5.bias, t5.tied) == (
        "rms",
        "pre",
        "t5",
        False,
        True,
    )
    assert (bart.norm_placement, bart.first_position, bart.embedding_norm, bart.activation) == (
        "post",
        2,
        True,
        "gelu",
    )
    assert (mbart.norm_placement, mbart.embedding_scale) == ("pre", 32.0)  # sqrt(1024)
    assert preset("t5-v1.1-base").activation == "geglu_tanh" and not preset("t5-v1.1-base").tied


def test_any_length_with_relative_positions_and_a_context_with_learned_ones():
    long = np.ones((1, 40), int)
    assert model("t5-small")(long, long).shape == (1, 40, 31)
    with pytest.raises(ShapeError, match="40 tokens do not fit the context of 16"):
        model("bart-base")(long, TARGET)


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(norm_placement="branch"), "not one of post, pre"),
        (dict(context=None), "need a context"),
        (dict(n_head=0), "n_head = 0 must be at least 1"),
        (dict(positions="rope"), "not one of learned, t5"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Seq2SeqConfig(**fields)


def test_it_runs_on_every_device(device):
    for name in ("t5-small", "bart-base"):
        m = model(name).to(device)
        source, target = (tl.backend.to_device(ids, device) for ids in (SOURCE, TARGET))
        mask = tl.backend.to_device(np.ones((1, 4), bool), device)
        np.testing.assert_allclose(
            m(source, target, mask).numpy(), model(name)(SOURCE, TARGET).numpy(), rtol=0, atol=1e-9
        )


@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0])
def test_a_scale_of_the_embeddings_does_not_reach_the_tied_output_weights(scale):
    mbart = model("mbart-large", embedding_scale=scale)
    table = mbart.tokens.weight.numpy()
    np.testing.assert_array_equal(mbart.embed(SOURCE).numpy(), scale * table[SOURCE])
    h = np.eye(3, 16)[None]  # rows of the table, column by column
    np.testing.assert_allclose(mbart.logits(Tensor(h)).numpy()[0], table.T[:3], rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.5])
def test_a_scale_of_the_logits_multiplies_them(scale):
    t5 = model("t5-small", logit_scale=scale)
    h = np.random.default_rng(0).normal(size=(1, 2, 16))
    expected = scale * (h @ t5.tokens.weight.numpy().T)
    np.testing.assert_allclose(t5.logits(Tensor(h)).numpy(), expected, rtol=1e-12)

"""What makes an encoder an encoder, and its relatives relatives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm as tl
from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.models.encoder.encoder import (
    Electra,
    Encoder,
    EncoderConfig,
    distilled,
    encoder_block,
    without_head,
)
from tinylm.models.encoder.presets import build, electra_pair, preset, tiny

IDS = np.array([[1, 4, 2, 7, 5], [3, 9, 4, 8, 1]])
EXACT = 1e-12  # the same sums in another order, float64


def model(name="bert-base-uncased", seed=0, **changes):
    """A small member of a family, in evaluation mode, with weights of size one half."""
    made = build(tiny(name, **changes), seed, dtype=np.float64).eval()
    for i, p in enumerate(made.parameters()):
        p.data[...] += 0.3 * np.random.default_rng(i).normal(size=p.shape)
    return made


def embedded(encoder, embeddings, **inputs):
    """Hidden states as a function of what the first block reads, so that its derivative can be
    asked for.
    """
    encoder.embed = lambda *args: embeddings
    try:
        return encoder.hidden(IDS[:1], **inputs)
    finally:
        del encoder.embed


def test_every_position_sees_every_other_and_itself():
    bert = model()
    e = Tensor(bert.embed(IDS[:1]).numpy(), requires_grad=True)
    h = embedded(bert, e)
    for i in range(5):
        (g,) = tl.grad(h[0, i, 0], [e], retain_graph=True)
        assert (np.abs(g.numpy()[0]).max(axis=1) > 1e-6).all()  # no position is without influence


def test_a_row_is_as_long_as_the_context_at_most():
    """However many rows there are."""
    bert = model(context=4)
    assert bert.hidden(np.ones((6, 4), int)).shape == (6, 4, bert.config.d_model)
    with pytest.raises(ShapeError, match="5 tokens do not fit the context of 4"):
        bert.hidden(np.ones((2, 5), int))


def test_padding_is_not_seen_and_changes_nothing():
    for name in ("bert-base-uncased", "roberta-base"):
        bert, mask = model(name), np.array([[True] * 5 + [False] * 2])
        padded = np.concatenate([IDS[:1], [[6, 6]]], axis=1)
        np.testing.assert_allclose(
            bert.hidden(padded, mask=mask).numpy()[:, :5],
            bert.hidden(IDS[:1]).numpy(),
            rtol=0,
            atol=EXACT,
        )


def test_roberta_counts_positions_over_tokens_alone():
    roberta, mask = model("roberta-base"), np.array([[False, False] + [True] * 5])
    padded = np.concatenate([[[6, 6]], IDS[:1]], axis=1)
    found = roberta.hidden(padded, mask=mask).numpy()[:, 2:]
    np.testing.assert_allclose(found, roberta.hidden(IDS[:1]).numpy(), rtol=0, atol=EXACT)
    table = roberta.positions.table.weight.numpy()
    assert len(table) == roberta.config.context + 2
    # Padding has the vector before that of the first token.
    summed = roberta.tokens.weight.numpy()[padded] + table[[[1, 1, 2, 3, 4, 5, 6]]]
    summed = summed + roberta.segments.weight.numpy()[0]
    expected = roberta.embedding_norm(Tensor(summed)).numpy()
    np.testing.assert_allclose(
        roberta.embed(padded, mask=mask).numpy(), expected, rtol=0, atol=EXACT
    )


def test_a_permutation_mask_is_a_causal_mask_on_reordered_tokens():
    bert, order = model(), np.array([3, 0, 4, 1, 2])
    rank = np.argsort(order)
    h = bert.hidden(IDS, mask=(rank[None, :] <= rank[:, None])[None]).numpy()
    causal = bert.hidden(IDS[:, order], mask=np.tri(5, dtype=bool)[None], positions=order).numpy()
    np.testing.assert_allclose(h[:, order], causal, rtol=0, atol=EXACT)


def test_without_positions_an_encoder_does_not_know_the_order():
    bert, order = model(), np.array([3, 0, 4, 1, 2])
    bert.positions.table.weight.data[...] = 0
    np.testing.assert_allclose(
        bert.hidden(IDS[:, order]).numpy(), bert.hidden(IDS).numpy()[:, order], rtol=0, atol=EXACT
    )


def test_embeddings_are_the_sum_of_token_position_and_segment():
    bert, segments = model(), np.array([[0, 0, 0, 1, 1]])
    plain = (
        bert.tokens.weight.numpy()[IDS[:1]]
        + bert.positions.table.weight.numpy()[:5]
        + bert.segments.weight.numpy()[segments]
    )
    expected = bert.embedding_norm(Tensor(plain)).numpy()
    np.testing.assert_allclose(bert.embed(IDS[:1], segments).numpy(), expected, rtol=0, atol=EXACT)
    one_hot = np.eye(31)[IDS[:1]] @ bert.tokens.weight.numpy()
    np.testing.assert_allclose(one_hot, bert.tokens(IDS[:1]).numpy(), rtol=0, atol=0)


def test_a_language_is_a_fourth_summand():
    """XLM: one language for all, or one for each token."""
    xlm = model("xlm-15")
    for languages in (2, np.array([[0, 0, 2, 1, 1]])):
        plain = xlm.tokens.weight.numpy()[IDS[:1]] + xlm.positions.table.weight.numpy()[:5]
        plain = plain + xlm.languages.weight.numpy()[np.broadcast_to(languages, (1, 5))]
        expected = xlm.embedding_norm(Tensor(plain)).numpy()
        found = xlm.embed(IDS[:1], languages=languages).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT)


def test_a_token_that_occurs_twice_gathers_both_gradients():
    bert = model(head=None)
    same = np.array([[4, 2, 4]])
    (bert.embed(same) * Tensor(np.arange(48.0).reshape(1, 3, 16))).sum().backward()
    both = bert.tokens.weight.grad.numpy()[4]
    alone = []
    for place in (0, 2):
        bert.zero_grad()
        weights = np.zeros((1, 3, 16))
        weights[0, place] = np.arange(48.0).reshape(3, 16)[place]
        (bert.embed(same) * Tensor(weights)).sum().backward()
        alone.append(bert.tokens.weight.grad.numpy()[4])
    np.testing.assert_allclose(both, alone[0] + alone[1], rtol=0, atol=1e-10)  # values up to 50


def test_languages_of_zero_are_no_languages_and_must_be_said():
    xlm = model("xlm-15")
    xlm.languages.weight.data[...] = 0
    state = {n: p.numpy() for n, p in xlm.named_parameters().items() if n != "languages.weight"}
    none = model("xlm-15", languages=0)
    none.load_state_dict(state)
    np.testing.assert_allclose(xlm(IDS, languages=2).numpy(), none(IDS).numpy(), rtol=0, atol=EXACT)
    with pytest.raises(ConfigError, match="choose with languages="):
        xlm(IDS)


def test_the_head_is_dropped_and_the_encoder_stays():
    bert = model()
    bare = without_head(bert)
    assert not any(
        name.startswith(("head", "classifier")) for name in bare.named_parameters().keys()
    )
    np.testing.assert_array_equal(bare.hidden(IDS).numpy(), bert.hidden(IDS).numpy())
    assert bare.tokens.weight is bert.tokens.weight and bert.head is not None
    assert bare.config == tiny("bert-base-uncased", head=None, classes=0)
    with pytest.raises(ConfigError, match="no head"):
        bare(IDS)


def test_probabilities_of_every_position_sum_to_one():
    p = tl.autograd.softmax(model()(IDS)).numpy()
    np.testing.assert_allclose(p.sum(-1), 1, rtol=0, atol=EXACT)
    assert p.shape == (2, 5, 31)


@pytest.mark.parametrize(
    "name, whole, bare",
    [
        ("bert-base-uncased", 110_106_428, 109_482_240),
        ("bert-large-uncased", 336_226_108, 335_141_888),
        ("albert-base-v2", 11_813_810, 11_683_584),
        ("distilbert-base-uncased", 66_985_530, 66_362_880),
        ("minilm-l6", 22_713_216, 22_713_216),
    ],
)
def test_the_published_counts(name, whole, bare):
    assert build(preset(name), None).count_parameters() == whole
    assert build(preset(name, head=None, classes=0), None).count_parameters() == bare


def test_roberta_base_has_the_124_6_million_of_its_name_with_a_pooler():
    assert (
        build(preset("roberta-base", head=None, pooler=True), None).count_parameters()
        == 124_645_632
    )


def test_bert_large_with_fourteen_layers_would_have_two_thirds_of_its_parameters():
    # 340 million is only right for 24 layers; 14 is a misprint.
    count = build(
        preset("bert-large-uncased", n_layer=14, head=None, classes=0), None
    ).count_parameters()
    assert count == 335_141_888 - 10 * 12_596_224


@given(
    V=st.integers(1, 50),
    P=st.integers(1, 20),
    S=st.integers(0, 3),
    L=st.integers(1, 4),
    K=st.integers(1, 4),
    H=st.integers(1, 4),
    F=st.integers(1, 40),
    classes=st.integers(0, 3),
)
def test_the_count_is_the_formula(V, P, S, L, K, H, F, classes):
    D = H * K
    layer = 4 * (D * D + D) + 2 * D + (D * F + F) + (F * D + D) + 2 * D  # 12 D^2 + 13 D for F = 4 D
    heads = D * D + D + (D * D + D + 2 * D + V) + classes * (D + 1)  # pooler, token head, classes
    made = Encoder(EncoderConfig(V, P, L, H, D, F, segments=S, classes=classes), None)
    assert made.count_parameters() == (V + P + S) * D + 2 * D + L * layer + heads


def test_heads_do_not_change_the_count_and_shared_layers_make_depth_free():
    assert model(n_head=2).count_parameters() == model(n_head=8).count_parameters()
    assert len({model("albert-base-v2", n_layer=L).count_parameters() for L in (1, 2, 5)}) == 1


def test_narrow_embeddings_save_what_the_formula_says():
    wide, narrow = model(head=None), model(head=None, d_embed=6)
    V, P, S, D, E = 31, 16, 2, 16, 6
    # Tables and their norm in width E instead of D, and a map (E, D) with its bias.
    assert wide.count_parameters() - narrow.count_parameters() == (V + P + S + 2) * (D - E) - (
        E * D + D
    )


def test_shared_layers_gather_the_gradients_of_their_copies():
    albert = model("albert-base-v2", n_layer=3)
    apart = model("albert-base-v2", n_layer=3, layer_groups=None)
    state = albert.state_dict()
    apart.load_state_dict(
        {
            n: state[
                n.replace(f"blocks.{n.split('.')[1]}", "blocks.0", 1)
                if n.startswith("blocks")
                else n
            ]
            for n in apart.named_parameters().keys()
        }
    )
    for m in (albert, apart):
        (m(IDS) * Tensor(np.cos(np.arange(310.0)).reshape(2, 5, 31))).sum().backward()
    np.testing.assert_allclose(apart(IDS).numpy(), albert(IDS).numpy(), rtol=0, atol=EXACT)
    for name, p in albert.blocks[0].named_parameters().items():
        copies = sum(block.named_parameters()[name].grad.numpy() for block in apart.blocks)
        np.testing.assert_allclose(
            p.grad.numpy(), copies, rtol=0, atol=1e-10 * max(1, np.abs(copies).max())
        )


def test_layer_groups_follow_one_another():
    albert = model("albert-base-v2", n_layer=4, layer_groups=2)
    assert [block is albert.blocks[0] for block in albert.blocks] == [True, True, False, False]


def test_post_norm_rows_have_mean_zero_and_variance_one():
    h = build(tiny("bert-base-uncased"), dtype=np.float64).eval().hidden(IDS).numpy()
    np.testing.assert_allclose(h.mean(-1), 0, atol=EXACT)
    np.testing.assert_allclose(
        h.var(-1), 1, atol=1e-10
    )  # 1e-12 is added to the variance of branches near size one


def test_a_branch_of_zeros_leaves_the_norm_alone():
    bert = model()
    for block in bert.blocks:
        for part in (block.attention.out, block.feed_forward.out):
            part.weight.data[...], part.bias.data[...] = 0, 0
    x = bert.embed(IDS)
    for block in bert.blocks:
        x = block.norms[1](block.norms[0](x))
    np.testing.assert_allclose(bert.hidden(IDS).numpy(), x.numpy(), rtol=0, atol=EXACT)


def test_all_layers_are_given_and_the_last_is_the_hidden_state():
    for placement in ("post", "pre"):
        bert = model(norm_placement=placement)
        layers = list(bert.layers(IDS))
        assert len(layers) == 3
        np.testing.assert_array_equal(layers[-1].numpy(), bert.hidden(IDS).numpy())


def test_every_block_reads_the_state_before_it():
    # H^l = Layer(H^{l-1}): a change in block l is seen from H^l on and not before.
    bert = model(n_layer=4)
    before = [h.numpy() for h in bert.layers(IDS)]
    for level, block in enumerate(bert.blocks, 1):
        kept = block.feed_forward.out.weight.numpy().copy()
        block.feed_forward.out.weight.data *= 2
        after = [h.numpy() for h in bert.layers(IDS)]
        block.feed_forward.out.weight.assign_(kept)
        changed = [np.abs(a - b).max() > 1e-9 for a, b in zip(after, before)]
        assert changed == [False] * level + [True] * (5 - level)


def test_distilbert_starts_as_every_other_layer_of_its_teacher():
    teacher = model(n_layer=4)
    student = distilled(teacher)
    assert student.config.n_layer == 2 and student.segments is None and student.pooler is None
    for mine, other in zip(student.blocks, (teacher.blocks[0], teacher.blocks[2])):
        for p, q in zip(mine.parameters(), other.parameters()):
            np.testing.assert_array_equal(p.numpy(), q.numpy())
            assert p is not q
    np.testing.assert_array_equal(student.tokens.weight.numpy(), teacher.tokens.weight.numpy())
    np.testing.assert_array_equal(
        distilled(teacher, [3]).blocks[0].attention.qkv.weight.numpy(),
        teacher.blocks[3].attention.qkv.weight.numpy(),
    )


def test_an_electra_pair_shares_its_tables():
    made = electra_pair(
        "electra-base",
        vocab_size=31,
        n_layer=1,
        d_model=16,
        d_embed=6,
        n_head=2,
        d_hidden=24,
        context=16,
    )
    shared = sum(
        getattr(made.generator, part).count_parameters()
        for part in ("tokens", "positions", "segments")
    )
    assert (
        made.count_parameters()
        == made.generator.count_parameters() + made.discriminator.count_parameters() - shared
    )
    made.eval()
    made.generator(IDS).sum().backward()
    assert made.discriminator.tokens.weight.grad is not None
    assert made.discriminator(IDS).shape == IDS.shape
    with pytest.raises(ConfigError, match="they must agree"):
        Electra(tiny("electra-base"), tiny("electra-base-generator"))
    with pytest.raises(ConfigError, match="must be 'replaced' and 'token'"):
        Electra(tiny("bert-base-uncased"), tiny("electra-base-generator"))


def test_a_feed_forward_is_four_times_as_wide_as_the_model_unless_said_otherwise():
    for d_hidden, width in ((None, 64), (24, 24)):
        block = encoder_block(
            tiny("bert-base-uncased", d_model=16, d_hidden=d_hidden), Random(0), "f4"
        )
        assert block.feed_forward.hidden.weight.shape == (16, width)
        assert block.feed_forward.hidden.bias is not None and len(block.norms) == 2


def test_pooling_reads_the_first_position_and_pairs_are_told_from_it():
    bert = model()
    h = bert.hidden(IDS)
    expected = np.tanh(h.numpy()[:, 0] @ bert.pooler.weight.numpy() + bert.pooler.bias.numpy())
    np.testing.assert_allclose(bert.pool(h).numpy(), expected, rtol=0, atol=EXACT)
    assert bert.pair_logits(h).shape == (2, 2)


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(head="mlm"), "head = 'mlm' is not one of token"),
        (dict(n_layer=0), "n_layer = 0 must be at least 1"),
        (dict(layer_groups=13), "from 1 to n_layer = 12"),
        (dict(classes=2, pooler=False), "set pooler"),
        (dict(norm_placement="branch"), "not one of post, pre"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        EncoderConfig(**fields)


def test_a_sequence_longer_than_the_context_is_refused():
    assert model()(np.zeros((1, 16), int)).shape == (1, 16, 31)  # as long as the context
    with pytest.raises(ShapeError, match="17 tokens do not fit the context of 16"):
        model()(np.zeros((1, 17), int))


def test_what_a_model_lacks_is_said():
    bare = Encoder(tiny("distilbert-base-uncased", head=None))
    for method in (bare.pool, bare.pair_logits, bare.logits):
        with pytest.raises(ConfigError, match="this model"):
            method(bare.hidden(IDS))


def test_dropout_acts_in_training_alone():
    bert = build(tiny("bert-base-uncased", dropout=0.5))
    assert np.abs(bert(IDS).numpy() - bert(IDS).numpy()).max() > 1e-3
    np.testing.assert_array_equal(bert.eval()(IDS).numpy(), bert(IDS).numpy())


def test_it_runs_on_every_device(device):
    bert = model().to(device)
    ids = tl.backend.to_device(IDS, device)
    mask = tl.backend.to_device(np.ones((2, 5), bool), device)
    logits = bert(ids, mask=mask)
    np.testing.assert_allclose(logits.numpy(), model()(IDS).numpy(), rtol=0, atol=1e-10)

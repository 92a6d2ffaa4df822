"""Dropping tokens: with all of them it is the encoder; which go, which never go, and what is saved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.compress.small_models import IDS, MASK, examples, layered
from tests.finetune.tasks.heads_small import INPUTS
from tinylm.autograd import Tensor, softmax
from tinylm.autograd.engine.profile import count_operations
from tinylm.backend import Random, to_device
from tinylm.errors import ConfigError
from tinylm.finetune.compress.length_adaptive import (
    LengthAdaptive,
    attend_and_weigh,
    constant_ratio,
    flops,
    most_significant,
    random_lengths,
    shortened,
)
from tinylm.finetune.fitting import fit
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.nn import SelfAttention
from tinylm.nn.attention.multi_head import split_heads


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("mask", [None, MASK])
def test_with_all_tokens_it_is_the_encoder_bit_for_bit(norm, mask):
    model = layered(norm_placement=norm)
    h, left, places = shortened(model, IDS, [6, 6, 9], mask)
    np.testing.assert_array_equal(h.numpy(), model.hidden(IDS, mask=mask).numpy())
    np.testing.assert_array_equal(places, [np.arange(6)] * 2)
    assert (left is None) if mask is None else (left == mask).all()


@given(kv_heads=st.sampled_from([1, 2, 4]), masked=st.booleans(), seed=st.integers(0, 99))
def test_attention_that_weighs_is_attention(kv_heads, masked, seed):
    model = layered(1, n_head=4, seed=seed)
    attention = model.blocks[0].attention
    if kv_heads < 4:  # encoders have as many; the function takes fewer
        attention = SelfAttention(16, 4, Random(seed), kv_heads, causal=False, dtype=np.float64)
    x, mask = Tensor(np.random.default_rng(seed).normal(size=(2, 6, 16))), MASK if masked else None
    y, received = attend_and_weigh(attention, x, mask)
    np.testing.assert_allclose(
        y.numpy(),
        attention(x, mask=None if mask is None else mask[:, None, None]).numpy(),
        rtol=1e-10,
        atol=1e-12,
    )
    np.testing.assert_allclose(
        received.sum(axis=1), 4 * (MASK.sum(axis=1) if masked else 6)
    )  # H for every query
    assert not masked or not received[~MASK].any()


def test_significance_is_the_attention_received(rng):
    attention, x = layered(1).blocks[0].attention, Tensor(rng.normal(size=(1, 4, 16)))
    q, k, _ = split_heads(attention.qkv(x), 2, 2)
    weights = softmax(q @ k.swapaxes(-1, -2) * 8**-0.5).numpy()  # heads are 8 wide
    np.testing.assert_allclose(attend_and_weigh(attention, x)[1], weights.sum(axis=(1, 2)))


@given(T=st.integers(2, 9), keep=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_first_token_is_never_dropped_and_padding_goes_before_tokens(T, keep, seed):
    rng = np.random.default_rng(seed)
    keep, received = min(keep, T), rng.uniform(size=(3, T))
    mask = np.arange(T) < rng.integers(1, T + 1, (3, 1))
    places = most_significant(received, keep, mask)
    assert (places[:, 0] == 0).all() and (np.diff(places, axis=1) > 0).all()
    assert (
        mask[np.arange(3)[:, None], places].sum(axis=1) == np.minimum(keep, mask.sum(axis=1))
    ).all()


def test_the_most_significant_stay_in_their_order():
    np.testing.assert_array_equal(
        most_significant(np.array([[0.0, 5.0, 1.0, 9.0, 2.0]]), 3), [[0, 1, 3]]
    )


def test_dropping_what_nobody_sees_changes_nothing(device):
    model = layered().to(device)
    ids, mask = to_device(IDS, device), to_device(MASK, device)
    whole = model.hidden(ids, mask=mask).numpy()
    h, left, places = shortened(
        model, ids[1:], [4, 4, 4], mask[1:]
    )  # its last two of six are padding
    assert bool(left.all()) and Tensor(places).numpy().tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(h.numpy(), whole[1:, :4], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("lengths", [None, (6, 6, 6), (4, 3, 1), (6, 2, 2), (9, 5, 8)])
@pytest.mark.parametrize("changes", [{}, {"d_hidden": None}, {"activation": "geglu"}])
def test_the_formula_counts_what_is_computed(lengths, changes):
    model = layered(**changes)
    with count_operations() as counts:
        shortened(model, IDS[:1], lengths or (6, 6, 6))
    assert counts.matmul_flops() == flops(model.config, 6, lengths)


def test_lengths_shrink_by_a_ratio_and_randomly_within_bounds():
    assert constant_ratio(16, 4, 0.5) == [8, 4, 2, 1] and constant_ratio(10, 2, 1.0) == [10, 10]
    rng = Random(0)
    for _ in range(20):
        lengths, before = random_lengths(20, 5, rng, 0.3), 20
        for length in lengths:
            assert np.ceil(0.7 * before) <= length <= before
            before = length
    assert random_lengths(20, 5, rng, 0.0) == [20] * 5


def test_a_function_of_lengths_is_saved_as_its_values():
    # context 32, so what is left of 32 and of 16 tokens after each of two layers
    model = LengthAdaptive(layered(2), lengths=lambda T: constant_ratio(T, 2, 0.5))
    assert model.settings()["lengths"].tolist() == [[16, 8], [8, 4]]
    assert LengthAdaptive(layered(2)).settings() == {}
    single = LengthAdaptive(layered(1, context=1), lengths=lambda T: [T])
    assert single.settings()["lengths"].tolist() == [[1], [1]]  # half a token is one


def test_lengths_that_do_not_fit_are_an_error():
    with pytest.raises(ConfigError, match="each of 3 layers"):
        shortened(layered(), IDS, [4, 2])
    with pytest.raises(ConfigError, match="at least 1"):
        shortened(layered(), IDS, [4, 2, 0])


def test_it_stands_in_the_place_of_an_encoder():
    encoder = layered(2)
    model, plain = Classifier(LengthAdaptive(encoder, 0.5), 2).eval(), Classifier(encoder, 2).eval()
    np.testing.assert_array_equal(model(IDS, mask=MASK).numpy(), plain(IDS, mask=MASK).numpy())
    losses = fit(
        model, Classification(INPUTS), examples(), steps=12, batch_size=12, learning_rate=3e-3
    )
    assert losses[-1] < losses[0]
    full = model(IDS, mask=MASK).numpy()
    model.encoder.lengths = lambda T: [T // 2, 1]
    assert (model(IDS, mask=MASK).numpy() != full).any()


def test_the_answer_to_a_row_does_not_depend_on_what_is_padded_beside_it():
    model = LengthAdaptive(layered(3), lengths=lambda T: constant_ratio(T, 3, 0.7)).eval()
    beside = model.hidden(IDS, mask=MASK).numpy()
    alone = model.hidden(IDS[1:, :4], mask=MASK[1:, :4]).numpy()
    assert (
        alone.shape[1] == 2 and beside.shape[1] == 3
    )  # ceil(4 * 0.7^3) = 2 tokens are left of 4, ceil(6 * 0.7^3) = 3 of 6
    np.testing.assert_allclose(beside[1, :2], alone[0], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(beside[0], model.hidden(IDS[:1]).numpy()[0], rtol=1e-10, atol=1e-12)


def test_in_training_too_lengths_are_drawn_for_what_a_row_holds():
    found = []
    for ids, mask in ((IDS, MASK), (IDS[1:, :4], MASK[1:, :4])):
        model = LengthAdaptive(layered(3), drop=0.9)
        model.rng = Random(4)  # the same shares for both
        found.append(model.train().hidden(ids, mask=mask).numpy()[-1])
    assert len(found[1]) < 4
    np.testing.assert_allclose(found[0][: len(found[1])], found[1], rtol=1e-10, atol=1e-12)


def test_lengths_of_rows_work_on_every_device(device):
    model, lengths = layered(2).to(device), np.array([[5, 3], [4, 2]])
    h, mask, places = shortened(model, to_device(IDS, device), lengths, to_device(MASK, device))
    assert h.shape[:2] == (2, 4) and Tensor(mask).numpy().tolist() == [
        [True] * 4,
        [True, True, False, False],
    ]
    one, _, at = shortened(
        model, to_device(IDS[1:], device), lengths[:, 1], to_device(MASK[1:], device)
    )
    np.testing.assert_allclose(h.numpy()[1, :2], one.numpy()[0], rtol=1e-10, atol=1e-12)
    assert Tensor(places).numpy()[1, :2].tolist() == Tensor(at).numpy()[0].tolist()

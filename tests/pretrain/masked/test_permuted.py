"""Permuted LM: the orders of the book, and the leak that two streams close."""

import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import encoder, xlnet
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.optim import AdamW, FlatParameters
from tinylm.pretrain.batch import IGNORE, TokenBatch
from tinylm.pretrain.masked.permuted import PermutedLM, conditions, permutation_mask
from tinylm.pretrain.special import Special
from tinylm.pretrain.visible import causal_mask, full_mask

ORDER = np.array([0, 4, 2, 1, 3])  # x_0 -> x_4 -> x_2 -> x_1 -> x_3, eq. 1.14
SPECIAL = Special.after(5)


def test_the_three_masks_of_figure_1_3():
    assert (
        permutation_mask(np.arange(5), strict=False).astype(int).tolist()
        == np.tri(5, dtype=int).tolist()
    )
    drawn = [[1, 0, 0, 0, 0], [1, 1, 1, 0, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1], [1, 0, 0, 0, 1]]
    assert permutation_mask(ORDER, strict=False).astype(int).tolist() == drawn
    strict = [[0, 0, 0, 0, 0], [1, 0, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 0]]
    assert permutation_mask(ORDER).astype(int).tolist() == strict
    assert full_mask(5).sum() == 25 and np.sum(drawn) == 15


def test_every_order_is_the_causal_mask_of_reordered_rows(rng):
    for _ in range(5):
        order = rng.permutation(6)
        mask = permutation_mask(order, strict=False)
        assert mask.sum() == 21 and np.array_equal(mask[order][:, order], causal_mask(6))


def test_the_conditions_are_those_of_the_equations():
    assert conditions(np.arange(5)) == {
        0: set(),
        1: {0},
        2: {0, 1},
        3: {0, 1, 2},
        4: {0, 1, 2, 3},
    }  # eq. 1.13
    assert conditions(ORDER) == {
        0: set(),
        4: {0},
        2: {0, 4},
        1: {0, 4, 2},
        3: {0, 4, 2, 1},
    }  # eq. 1.14


def logit_gradients(logits, ids, embeddings):
    """Which embeddings the logits of each position's own token depend on: bool (T, T)."""
    T = ids.shape[1]
    return np.array(
        [
            np.abs(
                tl.grad(logits[0, i, ids[0, i]], [embeddings], retain_graph=True)[0].numpy()[0]
            ).max(-1)
            > 1e-12
            for i in range(T)
        ]
    )


def test_a_prediction_depends_on_what_comes_before_it_in_the_order():
    model, ids = xlnet(), np.array([[0, 1, 2, 3, 1]])
    e = tl.Tensor(model.tokens(ids).numpy(), requires_grad=True)
    table, model.tokens = model.tokens, lambda ids: e
    model.tokens.weight = table.weight
    assert np.array_equal(
        logit_gradients(model(ids, order=ORDER[None]), ids, e), permutation_mask(ORDER)
    )


def test_the_mask_of_the_figure_gives_the_answer_away():
    """Fig. 1.3 (c) lets each row see itself: in one stream, the logits of x_i depend on the
    embedding of x_i.
    """
    model = encoder(languages=0)
    ids = np.array([[0, 1, 2, 3, 1]])
    mask = permutation_mask(ORDER, strict=False)
    e = tl.Tensor(model.embed(ids).numpy(), requires_grad=True)
    model.embed = lambda *args: e
    assert logit_gradients(model(ids, mask=mask[None]), ids, e).diagonal().all()


@pytest.mark.parametrize("streams", [1, 2])
def test_one_stream_learns_to_copy_and_two_cannot(streams):
    """Random tokens cannot be predicted: below log V a model must have seen the answer."""
    V, rng = 4, np.random.default_rng(0)
    special = Special(V)
    model = encoder(languages=0, vocab_size=V, d_model=8) if streams == 1 else xlnet()
    optimizer = AdamW(FlatParameters(model.named_parameters()), lr=0.02, weight_decay=0.0)
    losses = []
    for step in range(60):
        batch = PermutedLM(special).make_batch(rng.integers(0, V, (16, 5)), Random(step))
        if streams == 1:
            batch = TokenBatch(
                batch.inputs, batch.targets, permutation_mask(batch.order, strict=False)
            )
        loss, metrics = PermutedLM(special).loss(model, batch)
        optimizer.flat.zero_grad()
        loss.backward()
        optimizer.flat.collect()
        optimizer.step(0.02)
        losses.append(metrics["loss"])
    final = np.mean(losses[-5:])
    assert (
        final < 0.2 if streams == 1 else final > np.log(V) - 0.1
    )  # 320 targets: the mean of a fair loss is known to 0.05


def test_the_first_token_starts_every_order_and_is_given(rng):
    x = rng.integers(0, 5, (50, 6))
    batch = PermutedLM(SPECIAL).make_batch(x, Random(0))
    assert (
        (batch.order[:, 0] == 0).all()
        and (batch.inputs[:, 0] == SPECIAL.cls).all()
        and (batch.targets[:, 0] == IGNORE).all()
    )
    assert np.array_equal(
        np.sort(batch.order, axis=1), np.tile(np.arange(7), (50, 1))
    ) and np.array_equal(batch.targets[:, 1:], x)


def test_partial_prediction_takes_the_end_of_the_order(rng):
    batch = PermutedLM(SPECIAL, share=1 / 3).make_batch(rng.integers(0, 5, (20, 6)), Random(0))
    for order, targets in zip(batch.order, batch.targets):
        assert set(order[-2:]) == set(np.flatnonzero(targets != IGNORE))  # a third of six
    least = PermutedLM(SPECIAL, share=0.01).make_batch(rng.integers(0, 5, (20, 6)), Random(0))
    assert ((least.targets != IGNORE).sum(1) == 1).all()  # one of six at least
    for share in (0, 1.5):
        with pytest.raises(ConfigError, match="above 0 and at most 1"):
            PermutedLM(SPECIAL, share=share)


def test_padding_is_not_predicted():
    batch = PermutedLM(SPECIAL).make_batch(np.array([[1, 2, SPECIAL.pad]]), Random(0))
    assert batch.targets.tolist() == [[IGNORE, 1, 2, IGNORE]] and batch.mask.tolist() == [
        [True, True, True, False]
    ]

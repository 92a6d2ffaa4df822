"""Groups of tokens have room of their own; penalties of parts add up to those of the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinylm as tl
from tinylm.backend import Random
from tinylm.nn.experts import MixtureOfExperts, collect_routing, router_penalty
from tinylm.nn.routing import (
    admitted,
    load_balancing_loss,
    loads,
    route,
    router_z_loss,
    token_penalties,
)


def test_a_group_fills_its_own_room_by_hand():
    # Two sequences of three tokens, two experts, factor 1: room for ceil(3 / 2) = 2 in each.
    experts = np.array([[0], [0], [0], [0], [1], [0]])
    groups = np.array([0, 0, 0, 1, 1, 1])
    assert admitted(experts, 2, 1.0, groups)[:, 0].tolist() == [True, True, False, True, True, True]
    # As one group there is room for 3, whoever comes first.
    assert admitted(experts, 2, 1.0)[:, 0].tolist() == [True, True, True, False, True, False]
    assert admitted(experts, 2, None, groups).all()


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    k=st.integers(1, 3),
    factor=st.floats(0.1, 2),
    seed=st.integers(0, 99),
)
def test_what_a_group_keeps_does_not_depend_on_the_others(sizes, k, factor, seed):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))  # mixed, in any order
    logits = rng.standard_normal((len(groups), 3))
    whole = route(tl.Tensor(logits), k, factor, groups=groups)
    for group in range(len(sizes)):
        mine = groups == group
        alone = route(tl.Tensor(logits[mine]), k, factor)
        np.testing.assert_array_equal(whole.kept[mine], alone.kept)
    assert whole.load.sum() == whole.kept.sum() == whole.kept.size - whole.dropped


def test_sequences_of_a_layer_drop_what_each_drops_alone(rng):
    made = MixtureOfExperts(
        3, 5, Random(0), dtype=np.float64, experts=3, k=2, capacity_factor=0.6, by_sequence=True
    )
    made.router.weight.data[...] = rng.normal(size=(3, 3))
    x = rng.normal(size=(4, 5, 3))
    mask = rng.random((4, 5)) < 0.8
    whole = made(tl.Tensor(x), mask).numpy()
    for row, own, real in zip(x, whole, mask):
        np.testing.assert_allclose(own[real], made(tl.Tensor(row[real])).numpy(), rtol=1e-12)
    kept = made.route(tl.Tensor(x), mask).kept.reshape(4, 5, 2)
    for row, own, real in zip(x, kept, mask):
        np.testing.assert_array_equal(own[real], made.route(tl.Tensor(row[real])).kept)
        assert not own[~real].any()
    assert made.route(tl.Tensor(x)).dropped > 0
    made.eval()
    assert made.route(tl.Tensor(x)).dropped == 0  # nothing is dropped outside training


@pytest.mark.parametrize("k", [1, 2])
def test_penalties_of_parts_add_up_to_the_two_losses_of_the_whole(rng, k):
    logits = rng.normal(size=(9, 4))
    experts = route(tl.Tensor(logits), k).experts
    load = loads(experts, 4)
    total = 0.0
    for part in (slice(0, 2), slice(2, 9)):
        counted = np.ones(len(logits[part]), bool)
        total += token_penalties(tl.Tensor(logits[part]), load, counted, 0.3, 0.2).item()
    whole = tl.Tensor(logits)
    expected = 0.3 * load_balancing_loss(whole, experts) + 0.2 * router_z_loss(whole)
    np.testing.assert_allclose(total / 9, expected.item(), rtol=1e-12)


def test_rows_that_do_not_count_change_nothing(rng):
    logits = rng.normal(size=(6, 3))
    experts = route(tl.Tensor(logits), 2).experts
    counted = np.array([True, False, True, True, False, True])
    load = loads(experts, 3, counted)
    np.testing.assert_array_equal(load, loads(experts[counted], 3))
    leaf = tl.Tensor(logits, requires_grad=True)
    found = token_penalties(leaf, load, counted, 0.3, 0.2)
    own = token_penalties(tl.Tensor(logits[counted]), load, np.ones(4, bool), 0.3, 0.2)
    np.testing.assert_allclose(found.item(), own.item(), rtol=1e-12)
    found.backward()
    assert not leaf.grad.numpy()[~counted].any()


def test_choices_are_collected_with_the_rows_that_made_them(rng):
    made = MixtureOfExperts(3, 5, Random(0), dtype=np.float64, experts=3, k=2)
    x = tl.Tensor(rng.normal(size=(2, 3, 3)))
    mask = np.array([[True, True, False], [True, False, True]])
    with collect_routing(made) as routed:
        made(x, mask)
        made(x)
    assert routed[0].rows.tolist() == [0, 1, 3, 5] and routed[1].rows is None
    counted = np.array([True, False, True, True, True, False])  # rows 0 and 3 are tokens too
    assert routed[0].load(counted).sum() == 4 and routed[1].load(counted).sum() == 8
    load = [layer.load(counted) for layer in routed]
    first = token_penalties(routed[0].logits, load[0], counted[[0, 1, 3, 5]], 0.1, 0.2).item()
    second = token_penalties(routed[1].logits, load[1], counted, 0.1, 0.2).item()
    both = router_penalty(routed, counted, load, 0.1, 0.2)
    np.testing.assert_allclose(both.item(), first + second, rtol=1e-12)

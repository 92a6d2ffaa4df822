"""Pruning: exactly as many zeros as asked for, the right ones, and they stay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.compress.small_models import IDS, classifier, examples, gpt, layered
from tinylm.autograd import Tensor, cross_entropy
from tinylm.backend import to_device
from tinylm.errors import ConfigError
from tinylm.finetune.compress.prune import (
    Movement,
    effective,
    gradual_sparsity,
    largest,
    largest_of_each,
    lottery_ticket,
    movement,
    prune,
    rewind,
    sparsity_of,
)
from tinylm.finetune.compress.reweight import Reweighted, bake, reweight
from tinylm.finetune.fitting import fit
from tinylm.nn import Linear
from tinylm.optim import SGD, AdamW, FlatParameters


@given(
    sizes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=4),
    sparsity=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_exactly_the_share_goes_and_what_is_kept_is_the_largest(sizes, sparsity, seed):
    rng = np.random.default_rng(seed)
    scores = {
        str(i): rng.integers(0, 4, size).astype(float) for i, size in enumerate(sizes)
    }  # with ties
    for choose in (largest, largest_of_each):
        masks = choose(scores, sparsity)
        if choose is largest:
            groups = [scores]
        else:
            groups = [{name: score} for name, score in scores.items()]
        for group in groups:
            flat = np.concatenate([s.ravel() for s in group.values()])
            keep = np.concatenate([masks[name].ravel() for name in group])
            assert (~keep).sum() == round(sparsity * flat.size)
            assert flat[keep].min(initial=9) >= flat[~keep].max(initial=-9)  # scores lie in 0 .. 3


def test_a_sparsity_that_is_no_share_is_an_error():
    for share in (80, 1.5, -0.25):
        with pytest.raises(ConfigError, match=f"sparsity {share}"):
            largest({"": np.ones(3)}, share)


def test_sparsity_0_changes_nothing_and_1_leaves_the_biases():
    model, wanted = layered(), layered().hidden(IDS).numpy()
    prune(model, 0.0)
    np.testing.assert_array_equal(model.hidden(IDS).numpy(), wanted)
    prune(model, 1.0)
    assert all(not w.any() for w in effective(model).values())
    assert sparsity_of(model) == 1


def test_pruned_weights_stay_exactly_zero_under_adamw_with_decay():
    model, task = classifier()
    masks = prune(model, 0.6)
    kept_before = {name: w[masks[name]] for name, w in effective(model).items()}
    fit(model, task, examples(), steps=5, batch_size=4, learning_rate=1e-2, weight_decay=0.1)
    for name, raw in {
        n.removesuffix(".weight"): p.numpy() for n, p in model.named_parameters().items()
    }.items():
        if name in masks:
            assert not raw[~masks[name]].any()  # the parameter itself, not only what is computed
            assert (raw[masks[name]] != kept_before[name]).any()  # the others are trained
    assert (
        sparsity_of(model) == round(0.6 * 3584) / 3584
    )  # 2 layers of 16 x (48 + 16 + 24) + 24 x 16 weights


def test_an_optimizer_with_momentum_cannot_bring_back_what_is_computed_with():
    model, task = classifier()
    fit(model, task, examples(), steps=2, batch_size=4)
    flat = FlatParameters(model.named_parameters())
    optimizer = AdamW(flat, 1e-2)
    batch = task.make_batch(examples())
    for step in range(4):
        if step == 2:
            masks = prune(model, 0.5)  # while moments are not zero
        optimizer.zero_grad()
        task.loss(model, batch)[0].backward()
        optimizer.step()
    assert all(not w[~masks[name]].any() for name, w in effective(model).items())
    bake(model)
    assert all(not w[~masks[name]].any() for name, w in effective(model).items())


def test_pruning_further_keeps_what_was_pruned():
    model = layered()
    first, second = prune(model, 0.3), prune(model, 0.7)
    assert all(not (second[name] & ~first[name]).any() for name in first)


def test_the_cubic_schedule_starts_and_ends_where_it_should():
    path = [gradual_sparsity(t, 10, 0.8, 0.1) for t in range(13)]
    assert path[0] == pytest.approx(0.1) and path[10:] == [0.8, 0.8, 0.8]
    assert path[5] == pytest.approx(0.8 - 0.7 / 8)  # half way: (1/2)^3 is left of the 0.7 to go
    assert all(a <= b for a, b in zip(path, path[1:]))


def test_a_gradual_schedule_runs_with_fit():
    model, task = classifier()
    fit(
        model,
        task,
        examples(),
        epochs=3,
        batch_size=6,
        after_epoch=lambda epoch, losses: prune(model, gradual_sparsity(epoch, 3, 0.9)) and None,
    )
    assert sparsity_of(model) == round(0.9 * 3584) / 3584


def test_rewinding_restores_the_first_bits_where_a_weight_is_kept():
    model, task = classifier()
    state = model.state_dict()
    masks = lottery_ticket(
        model, lambda m: fit(m, task, examples(), steps=2, batch_size=4), 0.75, rounds=2
    )
    after = model.state_dict()
    for name, before in state.items():
        mask = masks.get(name.removesuffix(".weight"), True)
        np.testing.assert_array_equal(after[name], np.where(mask, before, 0))
    assert sparsity_of(model) == 0.75  # 1 - (1/2)^2 after two rounds that halve
    rewind(model, state)  # again: nothing changes
    np.testing.assert_array_equal(model.state_dict()["out.weight"], after["out.weight"])


def test_every_round_of_a_lottery_drops_the_same_share_of_what_is_left():
    model, _ = classifier()
    seen = []
    lottery_ticket(model, lambda m: seen.append(sparsity_of(m)), 1 - 0.5**3, rounds=3)
    # a round begins with what the one before has left: 1, 1/2, 1/4 of the weights
    np.testing.assert_allclose(seen, [0, 1 / 2, 3 / 4], atol=1e-3)
    assert sparsity_of(model) == pytest.approx(7 / 8, abs=1e-3)


def test_one_step_of_movement_by_hand(rng):
    layer = Linear(2, 2, None, bias=False, dtype=np.float64)
    layer.weight = Tensor(np.array([[1.0, -2.0], [3.0, 0.5]]), requires_grad=True)
    layer = Reweighted(layer, Movement(layer.weight, 0.5))
    layer.change.scores.assign_(np.array([[4.0, 1.0], [2.0, 3.0]]))  # the mask is [[1, 0], [0, 1]]
    x, g = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    y = layer(Tensor(x))
    np.testing.assert_allclose(y.numpy(), x @ np.array([[1.0, 0.0], [0.0, 0.5]]))
    optimizer = SGD([layer.change.scores, layer.weight], 0.1)
    weight, slope = layer.weight.numpy().copy(), x.T @ g  # dL/dW' for L = sum of g * y
    y.backward(Tensor(g))
    optimizer.step()
    np.testing.assert_allclose(
        layer.change.scores.numpy(), np.array([[4.0, 1.0], [2.0, 3.0]]) - 0.1 * slope * weight
    )
    np.testing.assert_allclose(
        layer.weight.numpy(), weight - 0.1 * slope * np.array([[1, 0], [0, 1]])
    )


def test_movement_drops_weights_that_shrink_and_not_those_that_are_small():
    # One input, two weights: the large one is wanted to be 0, the small one to be 5.
    layer = Linear(1, 2, None, bias=False, dtype=np.float64)
    layer.weight = Tensor(np.array([[2.0, 0.1]]), requires_grad=True)
    layer = Reweighted(layer, Movement(layer.weight))
    optimizer = SGD([layer.weight, layer.change.scores], 0.05)
    for _ in range(5):
        optimizer.zero_grad()
        ((layer(Tensor(np.ones((1, 1)))) - np.array([[0.0, 5.0]])) ** 2).sum().backward()
        optimizer.step()
    assert abs(layer.weight.numpy()[0, 0]) > 0.5  # magnitude would keep it longer: 2 (0.9)^5 = 1.2
    layer.change.sparsity = 0.5
    np.testing.assert_array_equal(layer.change(layer.weight).numpy() != 0, [[False, True]])


def test_movement_on_a_whole_model_is_trained_and_baked():
    model, task = classifier()
    count = model.count_parameters()
    movement(model, 0.0)
    assert model.count_parameters() == count + 3584  # one score for every weight of 2 layers
    fit(
        model,
        task,
        examples(),
        epochs=2,
        batch_size=6,
        after_epoch=lambda e, _: movement(model, 0.25 * e) and None,
    )
    bake(model)
    assert sparsity_of(model) == pytest.approx(0.5, abs=1e-3)  # the same share of every matrix
    assert model.count_parameters() == count


def test_masks_go_where_the_weights_are(device):
    model = gpt().to(device)
    masks = prune(model, 0.5)
    ids = to_device(IDS, device)
    cross_entropy(model(ids), ids).backward()
    for i, block in enumerate(model.blocks):
        assert not block.attention.qkv.weight.grad.numpy()[
            ~masks[f"blocks.{i}.attention.qkv"]
        ].any()


def test_changes_that_do_not_fit_are_replaced_not_stacked():
    model = layered(1)
    prune(model, 0.5)
    reweight(model, lambda name, weight: lambda w: w * 2, "blocks.*")
    assert not isinstance(model.blocks[0].attention.qkv.change, Reweighted)
    assert sparsity_of(model) == pytest.approx(0.5, abs=1e-3)  # zeros are settled in the weights


def test_pruning_by_given_scores_keeps_what_was_pruned():
    model = layered()
    first = prune(model, 0.3)
    scores = {name: 1.0 - mask for name, mask in first.items()}  # highest where nothing is left
    second = prune(model, 0.5, scores=scores)
    assert all(not (second[name] & ~first[name]).any() for name in first)
    total = sum(mask.size for mask in first.values())
    assert sparsity_of(model) == round(0.5 * total) / total

"""Mixture of experts: choices and capacity worked by hand, equality with one dense layer, drops,
penalties.
"""

import dataclasses
import inspect

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf, plain
from tinylm.autograd import checkpoint, no_grad
from tinylm.backend import Random
from tinylm.errors import ConfigError, DtypeError, GraphError, ShapeError
from tinylm.nn import Module
from tinylm.nn.experts import (
    MixtureOfExperts,
    capacity,
    checkpointed,
    collect_auxiliary,
    load_balancing_loss,
    route,
    router_z_loss,
)
from tinylm.optim import AdamW

# Four tokens, three experts: first choices 0, 0, 0, 2; second choices 1, 1, 2, 0
LOGITS = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 0.0], [3.0, 1.0, 2.0], [2.0, 1.0, 3.0]])


def layer(device="cpu", **options):
    made = MixtureOfExperts(3, 5, Random(0), dtype=np.float64, **{"experts": 3, **options})
    made.router.weight.data[...] = np.random.default_rng(1).normal(size=(3, 3))
    return made.to(device)


def test_one_expert_is_weighed_by_its_probability_and_two_by_their_shares(device):
    logits = tl.Tensor(LOGITS, device=device)
    one, two = route(logits, 1), route(logits, 2)
    np.testing.assert_array_equal(host(one.experts), [[0], [0], [0], [2]])
    np.testing.assert_array_equal(host(two.experts), [[0, 1], [0, 1], [0, 2], [2, 0]])
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    np.testing.assert_allclose(host(one.gates)[:, 0], p.max(-1))
    np.testing.assert_allclose(host(two.gates).sum(-1), 1)
    np.testing.assert_allclose(
        host(two.gates)[:, 0], 1 / (1 + np.exp(-1.0))
    )  # the best two are 1 apart in every row
    np.testing.assert_array_equal(host(two.load), [4, 2, 2])
    assert one.dropped == two.dropped == 0


def test_full_experts_drop_later_tokens_and_second_choices_first(device):
    # Capacity: ceil(factor * 4 * 1 / 3) = 2 for factor 1.25, so the third token that wants expert 0
    # goes away empty.
    assert (
        capacity(4, 3, 1, 1.25) == 2 and capacity(4, 3, 2, 1.0) == 3 and capacity(8, 4, 1, 1.0) == 2
    )
    one = route(tl.Tensor(LOGITS, device=device), 1, 1.25)
    np.testing.assert_array_equal(host(one.kept)[:, 0], [True, True, False, True])
    np.testing.assert_array_equal(host(one.load), [2, 0, 1])
    # Two choices, room for 3: expert 0 is first choice of three tokens, so the last token's second
    # choice is dropped.
    two = route(tl.Tensor(LOGITS, device=device), 2, 1.0)
    np.testing.assert_array_equal(
        host(two.kept), [[True, True], [True, True], [True, True], [True, False]]
    )
    assert one.dropped == two.dropped == 1 and int(host(two.load).sum()) == 4 * 2 - 1


@pytest.mark.parametrize("k,activation", [(2, "gelu"), (3, "swiglu")])
def test_experts_with_the_same_weights_are_one_dense_feed_forward(device, rng, k, activation):
    # The shares of k > 1 choices add up to 1; for k = 1 the output is the dense one times the
    # probability.
    moe = layer(k=k, activation=activation)
    for expert in moe.experts[1:]:
        expert.load_state_dict(moe.experts[0].state_dict())
    moe.to(device)
    x = rng.normal(size=(2, 4, 3))
    ours, theirs = leaf(x, device), leaf(x, device)
    y, dense = moe(ours), moe.experts[0](theirs)
    np.testing.assert_allclose(host(y), host(dense), rtol=1e-12, atol=1e-14)
    g = plain(rng.normal(size=y.shape), device)
    y.backward(g)
    dense.backward(g)
    np.testing.assert_allclose(host(ours.grad), host(theirs.grad), rtol=1e-10, atol=1e-13)


def test_one_expert_equals_the_dense_layer_times_its_probability(rng):
    moe, x = layer(k=1), tl.Tensor(rng.normal(size=(6, 3)))
    for expert in moe.experts[1:]:
        expert.load_state_dict(moe.experts[0].state_dict())
    gate = moe.route(x).gates.numpy()
    np.testing.assert_allclose(
        moe(x).numpy(), gate * moe.experts[0](x).numpy(), rtol=1e-12, atol=1e-14
    )


def test_each_token_is_computed_by_its_experts(rng):
    moe, x = layer(k=2), tl.Tensor(rng.normal(size=(7, 3)))
    routing, y = moe.route(x), moe(x).numpy()
    for t in range(7):
        expected = sum(
            routing.gates.numpy()[t, j]
            * moe.experts[routing.experts[t, j]](x[t : t + 1]).numpy()[0]
            for j in range(2)
        )
        np.testing.assert_allclose(y[t], expected, rtol=1e-12, atol=1e-15)


def test_a_dropped_token_passes_on_its_residual_connection_alone(rng):
    moe = layer(k=1, capacity_factor=0.1)  # room for ceil(0.1 * 8 / 3) = 1 token in each expert
    x = leaf(rng.normal(size=(8, 3)))
    routing, y = moe.route(x), x + moe(x)
    gone = ~routing.kept[:, 0]
    assert gone.sum() == routing.dropped >= 5
    np.testing.assert_array_equal(y.numpy()[gone], x.numpy()[gone])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy()[gone], 1)


def test_the_balance_loss_is_one_when_even_and_e_when_one_expert_has_all():
    even = tl.Tensor(np.eye(4) * 1e-9)  # equal probabilities, each expert the best once
    np.testing.assert_allclose(load_balancing_loss(even, np.arange(4)[:, None]).item(), 1)
    one = tl.Tensor(np.tile([50.0, 0, 0, 0], (5, 1)))
    np.testing.assert_allclose(
        load_balancing_loss(one, np.zeros((5, 1), int)).item(), 4, rtol=1e-12
    )
    np.testing.assert_allclose(router_z_loss(tl.Tensor(np.zeros((3, 4)))).item(), np.log(4) ** 2)


def test_the_balance_loss_evens_out_the_load():
    # All tokens prefer expert 0 at first (a large bias direction); training on the penalty alone
    # spreads them.
    moe = MixtureOfExperts(4, 2, Random(0), experts=4, dtype=np.float64, balance=1.0, z=0.0)
    x = np.random.default_rng(0).normal(size=(64, 4))
    x[:, 0] = 1
    moe.router.weight.data[0, 0] = 3
    before = moe.route(tl.Tensor(x)).load
    optimizer = AdamW(moe.router.parameters(), lr=0.05, weight_decay=0.0)
    for _ in range(100):
        optimizer.zero_grad()
        moe.forward_with_auxiliary(tl.Tensor(x))[1].backward()
        optimizer.step()
    after = moe.route(tl.Tensor(x)).load
    assert before[0] >= 60 and after.max() <= 32  # even would be 16 each


class Two(Module):
    def __init__(self, checkpointing=False):
        self.layers, self.checkpointing = [layer(), layer(k=2)], checkpointing

    def __call__(self, x):
        for part in self.layers:
            x = x + (checkpoint(part, x) if self.checkpointing else part(x))
        return x


def test_penalties_are_collected_only_where_asked_for(rng):
    model, x = Two(), tl.Tensor(rng.normal(size=(5, 3)))
    names = list(model.named_parameters().keys())
    with collect_auxiliary(model) as penalties:
        y = model(x)
        assert list(model.named_parameters().keys()) == names  # what is collected is no parameter
    first, auxiliary = model.layers[0].forward_with_auxiliary(x)
    second = model.layers[1].forward_with_auxiliary(x + first)[1]
    np.testing.assert_allclose(
        [p.item() for p in penalties], [auxiliary.item(), second.item()], rtol=1e-14
    )
    (y.sum() * 0.0 + sum(penalties)).backward()
    assert np.abs(model.layers[0].router.weight.grad.numpy()).max() > 0
    model(x)
    assert len(penalties) == 2  # closed
    with no_grad(), collect_auxiliary(model) as penalties:
        model(x)
    assert penalties == []


def test_penalties_inside_checkpoint_are_refused_and_checkpointed_gives_their_gradient(rng):
    x = rng.normal(size=(5, 3))
    with pytest.raises(GraphError, match=r"2 of 2 layers of experts ran inside checkpoint\(\)"):
        with collect_auxiliary(model := Two(checkpointing=True)):
            model(tl.Tensor(x))
    results = []
    for way in (lambda moe, x: moe.forward_with_auxiliary(x), checkpointed):
        moe, at = layer(k=2, capacity_factor=0.5), leaf(x)
        y, auxiliary = way(moe, at)
        ((y * y).sum() + auxiliary).backward()
        grads = [p.grad.numpy() for p in (at, *moe.parameters()) if p.grad is not None]
        results.append([y.numpy(), auxiliary.numpy(), *grads])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


def test_impossible_settings_are_named():
    with pytest.raises(ConfigError, match="k = 4 experts of 3"):
        layer(k=4)
    with pytest.raises(ConfigError, match="capacity factor 0"):
        layer(capacity_factor=0)


REAL = np.array([[True, True, False, False], [True, False, False, True]])


def padded_experts(rng, bad, **options):
    """A layer, its input (2, 4, 3) with something bad in the padding, and the four tokens alone."""
    x = rng.normal(size=(2, 4, 3))
    x[~REAL] = bad
    return layer(**options), x, x[REAL]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bad", [7.0, np.nan, np.inf, 1e200])
@pytest.mark.parametrize(
    "options",
    [dict(k=1), dict(k=2), dict(k=1, capacity_factor=1.0), dict(k=2, capacity_factor=0.6)],
    ids=str,
)
def test_padding_is_routed_nowhere_takes_no_room_and_no_penalty(rng, bad, options):
    moe, x, tokens = padded_experts(rng, bad, **options)
    y, auxiliary = moe.forward_with_auxiliary(tl.Tensor(x), REAL)
    alone, expected = moe.forward_with_auxiliary(tl.Tensor(tokens))
    np.testing.assert_allclose(y.data[REAL], alone.data, rtol=1e-13)
    np.testing.assert_array_equal(y.data[~REAL], 0)
    assert auxiliary.item() == pytest.approx(expected.item(), rel=1e-13)
    ours, theirs = moe.route(tl.Tensor(x), REAL), moe.route(tl.Tensor(tokens))
    np.testing.assert_array_equal(ours.load, theirs.load)
    assert ours.dropped == theirs.dropped
    np.testing.assert_allclose(moe(tl.Tensor(x), REAL).data, y.data, rtol=0)


def test_gradients_of_penalties_know_no_padding(rng):
    moe, x, tokens = padded_experts(rng, 50.0, k=2)
    slopes = []
    for inputs, mask in ((x, REAL), (tokens, None)):
        moe.zero_grad()
        at = leaf(inputs)
        moe.forward_with_auxiliary(at, mask)[1].backward()
        slopes.append(
            (moe.router.weight.grad.data, at.grad.data if mask is None else at.grad.data[REAL])
        )
        assert mask is None or not at.grad.data[~REAL].any()
    for a, b in zip(*slopes):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-16)


def test_the_mask_reaches_every_layer_of_a_model_while_penalties_are_collected(rng):
    model, x = Two(), rng.normal(size=(2, 4, 3))
    for part in model.layers:
        part.capacity_factor = 0.5
    x[~REAL] = 9.0
    with collect_auxiliary(model, REAL) as penalties:
        y = model(tl.Tensor(x))
    with collect_auxiliary(model) as expected:
        alone = model(tl.Tensor(x[REAL]))
    np.testing.assert_allclose(y.data[REAL], alone.data, rtol=1e-13)
    np.testing.assert_allclose(
        [p.item() for p in penalties], [p.item() for p in expected], rtol=1e-13
    )


def test_nothing_but_padding_costs_nothing(rng):
    moe = layer(capacity_factor=1.0)
    for shape in ((2, 4, 3), (0, 4, 3), (2, 0, 3)):
        at = leaf(np.full(shape, 5.0))
        y, auxiliary = moe.forward_with_auxiliary(at, np.zeros(shape[:2], bool))
        (y.sum() + auxiliary).backward()
        assert (
            y.shape == shape
            and not y.data.any()
            and auxiliary.item() == 0
            and not at.grad.data.any()
        )


def test_masks_of_experts_are_bool_and_fit():
    logits = tl.Tensor(LOGITS)
    for way in (
        lambda mask: route(logits, 1, mask=mask),
        lambda mask: router_z_loss(logits, mask),
        lambda mask: load_balancing_loss(logits, np.zeros((4, 1), int), mask),
    ):
        with pytest.raises(DtypeError, match="must be bool"):
            way(np.ones(4))
        with pytest.raises(ShapeError, match="one entry for each"):
            way(np.ones(3, bool))


def test_the_balance_loss_of_three_tokens_by_hand():
    # Each token has the probabilities 1/4 and 3/4; one choice in three falls on the first expert:
    # 2 (1/3 1/4 + 2/3 3/4) = 7/6. With second choices all experts are chosen equally often: 1.
    logits = tl.Tensor(np.tile(np.log([1.0, 3.0]), (3, 1)))
    one, two = np.array([[1], [1], [0]]), np.array([[1, 0], [1, 0], [0, 1]])
    assert load_balancing_loss(logits, one).item() == pytest.approx(7 / 6, rel=1e-14)
    assert load_balancing_loss(logits, two).item() == pytest.approx(1, rel=1e-14)
    # Padding does not count, whatever it holds: without it all choices fall on the second expert.
    padded = tl.Tensor(np.log([[1.0, 3.0], [9.0, 1.0], [1.0, 3.0]]))
    real, chosen = np.array([True, False, True]), np.array([[1], [0], [1]])
    assert load_balancing_loss(padded, chosen, real).item() == pytest.approx(2 * 3 / 4, rel=1e-14)


def test_a_share_of_one_choice_is_the_whole(rng):
    # Mixtral divides by the sum of the chosen probabilities, also where one alone is chosen.
    routing = route(tl.Tensor(LOGITS), 1, gates="share")
    np.testing.assert_array_equal(routing.gates.numpy(), 1)
    moe, x = layer(k=1, gates="share"), tl.Tensor(rng.normal(size=(6, 3)))
    for expert in moe.experts[1:]:
        expert.load_state_dict(moe.experts[0].state_dict())
    np.testing.assert_allclose(moe(x).numpy(), moe.experts[0](x).numpy(), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(moe.route(x).gates.numpy(), 1)
    real = np.array([True, False, True, True])
    np.testing.assert_array_equal(
        route(tl.Tensor(LOGITS), 1, mask=real, gates="share").gates.numpy()[:, 0], real
    )


def test_penalties_are_weighed_as_asked_for(rng):
    x = tl.Tensor(rng.normal(size=(2, 4, 3)))
    for balance, z in ((1.0, 0.0), (0.0, 1.0), (2.0, 3.0)):
        moe = layer(k=2, balance=balance, z=z)
        logits = moe.router(x.reshape(8, 3))
        expected = balance * load_balancing_loss(logits, moe.route(x).experts).item()
        expected += z * router_z_loss(logits).item()
        auxiliary = moe.forward_with_auxiliary(x)[1].item()
        assert auxiliary == pytest.approx(expected, rel=1e-13) and expected > 0.1


def test_a_mask_given_to_a_layer_comes_before_that_of_the_context(rng):
    moe, x = layer(), tl.Tensor(rng.normal(size=(2, 4, 3)))
    own = ~REAL
    with collect_auxiliary(moe, REAL) as penalties:
        y = moe(x, own)
    expected, auxiliary = moe.forward_with_auxiliary(x, own)
    np.testing.assert_array_equal(y.numpy(), expected.numpy())
    assert penalties[0].item() == auxiliary.item()
    with no_grad(), collect_auxiliary(moe, REAL):  # the mask holds where nothing is collected too
        assert not moe(x).numpy()[~REAL].any()
    assert moe.collector is None and moe(x).numpy()[~REAL].any()


@pytest.mark.parametrize("k", [0, 4])
def test_between_one_and_all_experts_are_chosen(k):
    for made in (lambda k: layer(k=k), lambda k: route(tl.Tensor(LOGITS), k)):
        with pytest.raises(ConfigError, match=f"k = {k} experts of 3: choose between 1 and 3"):
            made(k)
        for possible in (1, 3):
            made(possible)


def test_an_expert_is_full_at_its_capacity_and_not_before():
    # Room for ceil(1.5 * 2 * 1 / 3) = 1, then ceil(3 * 2 / 3) = 2; both tokens want expert 0.
    logits = tl.Tensor(LOGITS[:2])
    tight, wide, free = (route(logits, 1, factor) for factor in (1.5, 3.0, None))
    assert tight.kept.ravel().tolist() == [True, False] and tight.dropped == 1
    assert wide.kept.all() and wide.dropped == 0 and free.kept.all() and free.dropped == 0
    assert tight.load.tolist() == [1, 0, 0] and wide.load.tolist() == [2, 0, 0]


def test_defaults_are_those_of_the_papers():
    # Fedus et al. 2022: one expert a token, balance 0.01; Zoph et al. 2022: z 0.001. Eight experts
    # as in Mixtral; a feed-forward of GPT-2.
    parameters = inspect.signature(MixtureOfExperts).parameters
    expected = {
        "activation": "gelu",
        "bias": True,
        "experts": 8,
        "k": 1,
        "capacity_factor": None,
        "balance": 0.01,
        "z": 0.001,
        "gates": "probability",
    }
    assert {name: parameters[name].default for name in expected} == expected
    parameters = inspect.signature(route).parameters
    assert (parameters["k"].default, parameters["gates"].default) == (1, "probability")
    with pytest.raises(dataclasses.FrozenInstanceError):
        route(tl.Tensor(LOGITS)).load = None


def test_a_router_has_no_bias_and_learns_through_the_gates(rng):
    for k in (1, 2):
        moe = layer(k=k)
        assert moe.router.bias is None
        (moe(tl.Tensor(rng.normal(size=(9, 3)))) ** 2).sum().backward()
        assert np.abs(moe.router.weight.grad.numpy()).max() > 0


def test_the_balance_loss_of_one_token_is_its_probability_times_the_experts():
    # All choices, one, fall on one expert: E P_e; of no token at all it is 0.
    one = load_balancing_loss(tl.Tensor(np.log([[1.0, 3.0]])), np.array([[1]]))
    assert one.item() == pytest.approx(2 * 3 / 4, rel=1e-14)
    assert load_balancing_loss(tl.Tensor(np.zeros((0, 2))), np.zeros((0, 1), int)).item() == 0

"""Heads and layers taken away: what is left is smaller and computes what silencing them computed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.compress.small_models import IDS, MASK, classifier, examples, gpt, layered
from tinylm.autograd import Tensor, cross_entropy, grad, no_grad
from tinylm.backend import to_device
from tinylm.errors import ConfigError
from tinylm.finetune.compress.structured import (
    LayerDrop,
    attentions,
    evenly,
    gated,
    head_ablation,
    head_importance,
    keep_layers,
    least_important,
    remove_heads,
    with_layer_drop,
    without_layer_drop,
)
from tinylm.finetune.fitting import fit
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.models import GPT
from tinylm.models.decoder.sizes import count_parameters
from tinylm.models.encoder.encoder import Encoder
from tinylm.pretrain.batch import Batch


def lm_loss(model, batch):
    """Cross-entropy of the batch's targets."""
    return cross_entropy(model(batch.inputs), batch.targets)


@given(
    gone=st.lists(st.sets(st.integers(0, 3), max_size=3), min_size=2, max_size=2),
    causal=st.booleans(),
)
def test_removing_heads_is_closing_their_gates(gone, causal):
    model = gpt(n_head=4) if causal else layered(2, n_head=4)
    options = {} if causal else {"mask": MASK}
    gates = [np.array([h not in heads for h in range(4)], float) for heads in gone]
    with gated(model, gates):
        wanted = model.hidden(IDS, **options).numpy()
    count = model.count_parameters()
    remove_heads(model, dict(enumerate(gone)))
    np.testing.assert_allclose(model.hidden(IDS, **options).numpy(), wanted, rtol=1e-12, atol=1e-13)
    # a head of width 4 in a model of width 16: 3 x (16 x 4 weights and 4 biases), and 4 x 16 rows
    # of the output map
    assert count - model.count_parameters() == sum(map(len, gone)) * (3 * (16 * 4 + 4) + 4 * 16)


def test_heads_that_are_normed_one_by_one_go_and_those_normed_together_stay():
    build = lambda kind: gpt(n_head=4, n_kv_head=2, positions="rope", qk_norm=kind)  # noqa: E731
    model = build("head")
    with gated(model, [np.array([0.0, 0, 1, 1]), np.ones(4)]):
        wanted = model(IDS).numpy()
    np.testing.assert_allclose(
        remove_heads(model, {0: [0, 1]})(IDS).numpy(), wanted, rtol=1e-12, atol=1e-12
    )
    with pytest.raises(ConfigError, match="normed over all heads"):
        remove_heads(build("width"), {0: [0, 1]})


def test_heads_that_share_keys_go_together_or_evenly():
    build = lambda: gpt(n_head=4, n_kv_head=2, positions="rope")  # noqa: E731
    for gone in ([0, 1], [2, 3], [1, 2]):
        model = build()
        with gated(model, [np.array([h not in gone for h in range(4)], float), np.ones(4)]):
            wanted = model(IDS).numpy()
        np.testing.assert_allclose(
            remove_heads(model, {0: gone})(IDS).numpy(), wanted, rtol=1e-12, atol=1e-12
        )
    with pytest.raises(ConfigError, match=r"\[1, 2\] heads would be left"):
        remove_heads(build(), {0: [0]})
    with pytest.raises(ConfigError, match=r"\[0, 0\] heads"):
        remove_heads(build(), {0: range(4)})


def test_a_model_that_keeps_as_many_heads_everywhere_is_an_ordinary_smaller_one():
    model = remove_heads(gpt(n_head=4), {0: [1, 3], 1: [0, 2]})
    c = model.config
    assert (c.n_head, c.kv_heads, c.key_width) == (2, 2, 4) and count_parameters(
        c
    ) == model.count_parameters()
    with no_grad():
        whole, cache = model(IDS).numpy(), KeyValueCache(2, 2, c.kv_heads, c.key_width, np.float64)
        parts = [model(IDS[:, t : t + 1], cache=cache).numpy() for t in range(IDS.shape[1])]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-10, atol=1e-12)


def test_a_bias_for_each_head_is_refused():
    with pytest.raises(ConfigError, match="bias for each head"):
        remove_heads(gpt(positions="alibi"), {0: [0]})


def test_the_gradient_of_a_gate_is_the_head_s_output_times_its_gradient(rng):
    model, seen = gpt(1, n_head=2), []
    attention = model.blocks[0].attention
    inner = attention.out

    def spy(y):
        y = y * 1.0
        y.retain_grad()
        seen.append(y)
        return inner(y)

    gates = Tensor(np.ones(2), requires_grad=True)
    attention.out = spy
    with gated(model, [gates]):
        cross_entropy(model(IDS), IDS).backward()
    y = seen[0].numpy().reshape(2, 6, 2, 8)  # (B, T, H, K); gates are 1
    np.testing.assert_allclose(
        gates.grad.numpy(), (y * seen[0].grad.numpy().reshape(y.shape)).sum((0, 1, 3)), rtol=1e-10
    )


def test_importance_is_the_mean_size_over_single_inputs():
    model, batch = gpt(n_head=2), Batch(IDS, np.roll(IDS, 1, axis=1))
    wanted = np.zeros((2, 2))
    for row in range(2):
        gates = [Tensor(np.ones(2), requires_grad=True) for _ in range(2)]
        with gated(model, gates):
            wanted += [
                abs(g.numpy()) / 2 for g in grad(lm_loss(model, batch.rows(row, row + 1)), gates)
            ]
    np.testing.assert_allclose(head_importance(model, lm_loss, [batch]), wanted, rtol=1e-10)
    np.testing.assert_allclose(
        head_importance(model, lm_loss, [batch.rows(0, 1), batch.rows(1, 2)]), wanted, rtol=1e-10
    )


def test_a_dead_head_has_no_importance_and_goes_first():
    model, batch = gpt(n_head=4), Batch(IDS, np.roll(IDS, 1, axis=1))
    model.blocks[1].attention.out.weight.data[8:12] = 0  # rows of head 2, 4 wide
    for measure in (head_importance, head_ablation):
        table = measure(model, lm_loss, [batch])
        assert table[1, 2] == 0 and (np.delete(abs(table).ravel(), 6) > 0).all()
    assert least_important(head_importance(model, lm_loss, [batch]), 1) == {1: [2]}


def test_of_layers_with_unlike_heads_each_head_is_ablated_and_importance_has_no_table():
    model, batch = gpt(n_head=2), Batch(IDS, np.roll(IDS, 1, axis=1))
    config = model.config
    remove_heads(model, {0: [1]})
    assert model.config is config  # which has one number of heads for all layers
    rise = head_ablation(model, lm_loss, [batch])
    assert rise.shape == (2, 2) and rise[0, 1] == 0  # there is no such head
    assert (rise[[0, 1, 1], [0, 0, 1]] != 0).all()
    with pytest.raises(ConfigError, match=r"layers have \[1, 2\] heads"):
        head_importance(model, lm_loss, [batch])


def test_layers_that_share_keys_and_values_stay_whole():
    model = gpt(2, n_head=2, positions="rope", kv_sharing=2)
    with pytest.raises(ConfigError, match="share keys and values"):
        remove_heads(model, {0: [1]})
    with pytest.raises(ConfigError, match="cannot be taken apart"):
        keep_layers(model, [0])


@pytest.mark.parametrize("layers", [[], [-1], [3]])
def test_only_layers_that_are_there_can_be_kept(layers):
    with pytest.raises(ConfigError, match="of a model with 3"):
        keep_layers(layered(3), layers)


def test_layer_drop_at_rate_0_draws_nothing():
    # so the dropout of the model is what it is without
    plain, wrapped = (layered(dropout=0.5).train() for _ in range(2))
    with_layer_drop(wrapped, 0.0).train()
    np.testing.assert_array_equal(wrapped.hidden(IDS).numpy(), plain.hidden(IDS).numpy())


def test_ablation_is_the_rise_of_the_loss_without_the_head():
    model, batch = gpt(n_head=2), Batch(IDS, np.roll(IDS, 1, axis=1))
    rise = head_ablation(model, lm_loss, [batch])
    whole = lm_loss(model, batch).item()
    assert lm_loss(remove_heads(model, {1: [0]}), batch).item() - whole == pytest.approx(
        rise[1, 0], abs=1e-12
    )


def test_the_least_important_go_and_every_layer_keeps_some():
    table = np.array([[0.1, 0.2, 0.3], [9.0, 8.0, 7.0]])
    assert least_important(table, 3) == {0: [0, 1], 1: [2]}
    with pytest.raises(ConfigError, match="5 heads cannot be removed"):
        least_important(table, 5)


def test_importance_on_any_device(device):
    model = gpt(n_head=2).to(device)
    ids = to_device(IDS, device)
    wanted = head_importance(gpt(n_head=2), lm_loss, [Batch(IDS, IDS)])
    np.testing.assert_allclose(
        head_importance(model, lm_loss, [Batch(ids, ids)]), wanted, rtol=1e-10
    )
    assert head_ablation(model, lm_loss, [Batch(ids, ids)]).shape == (2, 2)
    remove_heads(model, {0: [1]})(ids)


def test_shared_layers_are_named_once():
    model = layered(3, layer_groups=1, n_head=4)
    assert len(attentions(model)) == 1
    with gated(model, [np.array([1.0, 0, 1, 1])]):
        wanted = model.hidden(IDS).numpy()
    np.testing.assert_allclose(
        remove_heads(model, {0: [1]}).hidden(IDS).numpy(), wanted, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_keeping_some_layers_is_a_smaller_model_with_their_weights(norm):
    model = layered(4, norm_placement=norm)
    small = keep_layers(model, [0, 2])
    fresh = Encoder(small.config, 5, np.float64)  # another seed
    state, names = {}, model.state_dict()
    for name in fresh.state_dict():
        state[name] = names[name.replace("blocks.1.", "blocks.2.")]
    fresh.load_state_dict(state)
    np.testing.assert_array_equal(small.hidden(IDS).numpy(), fresh.hidden(IDS).numpy())
    small.tokens.weight.data[...] = 0
    assert model.tokens.weight.numpy().any()  # copies


def test_a_dropped_layer_of_a_pre_norm_model_is_its_residual_path():
    model = gpt(3)
    small = keep_layers(model, [0, 2])
    model.blocks[1] = lambda x, **options: x
    np.testing.assert_array_equal(small(IDS).numpy(), model(IDS).numpy())


def test_what_differs_from_layer_to_layer_goes_along():
    model = gpt(4, attention=("full", "window"), window=2)
    small = keep_layers(model, [1, 2, 3])
    assert small.config.attention == ("window", "full", "window")
    fresh = GPT(small.config, 0, np.float64)
    fresh.load_state_dict(small.state_dict())
    np.testing.assert_array_equal(small(IDS).numpy(), fresh(IDS).numpy())
    with pytest.raises(ConfigError, match="layers \\[4\\] of a model with 4"):
        keep_layers(model, [4])


def test_layers_to_keep_are_spread():
    assert (
        evenly(12, 6) == [0, 2, 4, 6, 8, 10]
        and evenly(4, 3) == [0, 1, 2]
        and evenly(5, 5) == [0, 1, 2, 3, 4]
    )


def test_layer_drop_at_rate_0_and_outside_training_is_the_model():
    wanted = layered().train()
    reference = wanted.hidden(IDS).numpy()
    np.testing.assert_array_equal(
        with_layer_drop(layered(), 0.0).train().hidden(IDS).numpy(), reference
    )
    model = with_layer_drop(layered(), 0.9)
    np.testing.assert_array_equal(model.eval().hidden(IDS).numpy(), reference)
    without_layer_drop(model)
    assert list(model.state_dict()) == list(wanted.state_dict())


def test_layers_run_with_probability_1_minus_p():
    model, ran = with_layer_drop(gpt(4), 0.25).train(), []
    for layer in model.blocks:
        layer.block = lambda x, *args, **options: ran.append(1) or x
    passes = 500
    for _ in range(passes):
        model.hidden(IDS)
    # mean 0.75 x 2000 = 1500, standard deviation sqrt(2000 x 0.25 x 0.75) = 19.4; five of them
    assert abs(len(ran) - 0.75 * 4 * passes) < 97


def test_every_worker_and_micro_batch_drops_the_same_layers():
    results = []
    for size in (0, 2):
        model, task = classifier(4)
        with_layer_drop(model.encoder, 0.5)
        fit(model, task, examples(), steps=3, batch_size=4, micro_batch=size)
        results.append(without_layer_drop(model.encoder).state_dict())
    for name, value in results[0].items():
        np.testing.assert_allclose(
            results[1][name], value, rtol=1e-6, atol=1e-9
        )  # sums in another order, then Adam's root
    assert isinstance(with_layer_drop(model.encoder, 0.5).blocks[0], LayerDrop)
    with pytest.raises(ConfigError, match="below 1"):
        with_layer_drop(model.encoder, 1.0)

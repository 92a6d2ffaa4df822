"""A language model that stops early: its extremes are the first and the last layer, and what leaves
is what would have left.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.compress.small_models import gpt
from tinylm.autograd import Tensor, cross_entropy
from tinylm.backend import to_cpu, to_device
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune import fit
from tinylm.finetune.compress.early_exit import (
    confidence_above,
    entropy_below,
    exit_layers,
    unchanged_for,
)
from tinylm.finetune.compress.token_exit import TokenExit, TokenExitTask
from tinylm.pretrain import CausalLM

V = 20


def built(layers=3, **changes):
    """A GPT that answers after every layer, in float64."""
    return TokenExit(gpt(layers, **changes)).eval()


def ids_of(seed=0, rows=5, length=4):
    return np.random.default_rng(seed).integers(0, V, (rows, length))


@pytest.mark.parametrize(
    "changes", [{}, {"positions": "rope"}, {"norm_placement": "post"}, {"positions": "alibi"}]
)
def test_the_last_layer_answers_as_the_model(changes, device):
    model, ids = built(**changes).to(device), to_device(ids_of(), device)
    every, plain = to_cpu(model(ids).data), to_cpu(model.model(ids).data)
    np.testing.assert_allclose(every[-1], plain, rtol=1e-12, atol=1e-12)
    for stop, layer in ((entropy_below(0), 3), (entropy_below(np.inf), 1)):
        logits, left = model.infer(ids, stop)
        expected = every[layer - 1][:, -1]
        np.testing.assert_allclose(to_cpu(logits), expected, rtol=1e-12, atol=1e-12)
        assert (to_cpu(left) == layer).all()


@given(threshold=st.floats(0, 3), patience=st.integers(1, 3), seed=st.integers(0, 20))
def test_leaving_while_running_is_leaving_in_the_table(threshold, patience, seed):
    model, ids = built(seed=seed), ids_of(seed)
    every = model(ids).numpy()[:, :, -1]  # (L, B, V), of the last position
    for stop in (
        entropy_below(threshold),
        confidence_above(threshold / 3),
        unchanged_for(patience),
    ):
        logits, left = model.infer(ids, stop)
        np.testing.assert_array_equal(left, exit_layers(every, stop))
        np.testing.assert_allclose(logits, every[left - 1, np.arange(5)], rtol=1e-10, atol=1e-12)


def test_what_has_left_costs_nothing_more():
    model, rows = built(4), []
    for block in model.model.blocks:
        inner = block.feed_forward
        block.feed_forward = lambda h, inner=inner: rows.append(len(h.data)) or inner(h)
    _, left = model.infer(
        ids_of(rows=2),
        lambda history: np.array([True, False])[: history.shape[1]] & (len(history) == 2),
    )
    assert rows == [2, 2, 1, 1] and left.tolist() == [2, 4]


def test_the_future_of_a_position_changes_no_answer_before_it():
    model, ids = built(), ids_of()
    changed = ids.copy()
    changed[:, -1] = (changed[:, -1] + 1) % V
    np.testing.assert_array_equal(model(ids).numpy()[:, :, :-1], model(changed).numpy()[:, :, :-1])


def test_losses_of_layers_are_weighted_by_depth():
    model, task = built(), TokenExitTask()
    batch = task.make_batch(ids_of())
    logits = model(batch.inputs).numpy()  # (L, B, T, V)
    each = [cross_entropy(Tensor(one), batch.targets).item() for one in logits]
    loss, found = task.loss(model, batch)
    assert loss.item() == pytest.approx((each[0] + 2 * each[1] + 3 * each[2]) / 6, rel=1e-12)
    assert found == {"tokens": 15, "loss": loss.item()}
    alone = TokenExitTask(weights=(0, 0, 1)).loss(model, batch)[0].item()
    assert alone == pytest.approx(CausalLM().loss(model.model, batch)[0].item(), rel=1e-12)


def test_padding_is_no_target():
    model = built()
    rows = np.concatenate([ids_of(), np.full((5, 2), V)], axis=1)  # V is padding
    short, padded = TokenExitTask(), TokenExitTask(CausalLM(ignore=V))
    a = short.loss(model, short.make_batch(ids_of()))[0].item()
    batch = padded.make_batch(rows)
    assert padded.loss(model, batch)[0].item() == pytest.approx(a, rel=1e-12)
    assert batch.tokens == 15


def test_all_layers_learn_to_continue():
    model, rows = built(2), np.arange(8)[None, :] + np.arange(8)[:, None]
    losses = fit(model, TokenExitTask(), rows, steps=40, batch_size=8, learning_rate=3e-2)
    assert losses[-1] < losses[0]
    answers = model(rows[:, :-1]).numpy().argmax(-1)  # (L, 8, 7), counting on
    assert (answers[:, :, 1:] == rows[:, 2:]).mean() > 0.9


def test_answers_are_given_without_dropout_by_a_model_in_training_too():
    model, ids = built(dropout=0.5), ids_of()
    calm, _ = model.infer(ids, entropy_below(0))
    model.train()
    np.testing.assert_array_equal(model.infer(ids, entropy_below(0))[0], calm)
    assert model.training and model.model.blocks[0].training


def test_texts_longer_than_the_context_are_refused():
    with pytest.raises(ShapeError, match="do not fit the context of 32"):
        built().infer(np.zeros((1, 33), int), entropy_below(0))


def test_layers_that_do_not_stop_alone_are_refused():
    with pytest.raises(ConfigError, match="layers of its own"):
        built(2, kv_sharing=2)

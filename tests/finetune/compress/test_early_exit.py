"""Early exit: the extremes are the first and the last layer, and what leaves is what would have
left.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.compress.small_models import IDS, MASK, examples, layered
from tests.finetune.tasks.heads_small import INPUTS, encoder
from tinylm.autograd import Tensor, cross_entropy
from tinylm.backend import to_device
from tinylm.errors import ConfigError
from tinylm.finetune.compress.early_exit import (
    EarlyExit,
    ExitTask,
    calibrate,
    confidence_above,
    entropy,
    entropy_below,
    exit_layers,
    exit_loss,
    trade_off,
    unchanged_for,
)
from tinylm.finetune.fitting import answers, evaluate, fit
from tinylm.finetune.peft.soft_prompts import prompt_tuning
from tinylm.finetune.tasks.classify import Classification
from tinylm.models.early.cases import ready


def built(layers=4, classes=3, pool="first", **changes):
    """An encoder with exits, in float64."""
    return ready(EarlyExit(layered(layers, **changes), classes, pool=pool)).eval()


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("pool", ["first", "mean"])
def test_the_extremes_are_the_last_and_the_first_layer(norm, pool, device):
    model = built(norm_placement=norm, pool=pool).to(device)
    ids, mask = to_device(IDS, device), to_device(MASK, device)
    every = model(ids, mask).numpy()
    for stop, layer in (
        (entropy_below(0), 4),
        (entropy_below(np.inf), 1),
        (confidence_above(1), 4),
        (confidence_above(0), 1),
    ):
        logits, left = model.infer(ids, stop, mask)
        np.testing.assert_allclose(Tensor(logits).numpy(), every[layer - 1], rtol=1e-12, atol=1e-12)
        assert (Tensor(left).numpy() == layer).all()


@given(threshold=st.floats(0, 1.2), patience=st.integers(1, 4), seed=st.integers(0, 20))
def test_leaving_while_running_is_leaving_in_the_table(threshold, patience, seed):
    model, ids = built(seed=seed), np.random.default_rng(seed).integers(0, 20, (5, 4))
    every = model(ids).numpy()
    for stop in (entropy_below(threshold), confidence_above(threshold), unchanged_for(patience)):
        logits, left = model.infer(ids, stop)
        np.testing.assert_array_equal(left, exit_layers(every, stop))
        np.testing.assert_allclose(logits, every[left - 1, np.arange(5)], rtol=1e-10, atol=1e-12)


def test_what_has_left_costs_nothing_more():
    model, rows = built(), []
    for block in model.encoder.blocks:
        inner = block.feed_forward
        block.feed_forward = lambda h, inner=inner: rows.append(len(h.data)) or inner(h)
    _, left = model.infer(
        IDS,
        lambda history: (
            np.array([True, False]) if len(history) == 2 else np.zeros(history.shape[1], bool)
        ),
    )
    assert rows == [2, 2, 1, 1] and left.tolist() == [2, 4]


def test_patience_waits_for_confirmations():
    a, b = [2.0, 0.0], [0.0, 1.0]
    logits = np.array([a, b, b, b])[:, None]  # what four layers say of one sequence
    assert exit_layers(logits, unchanged_for(2))[0] == 4  # b, confirmed by two more
    assert exit_layers(logits, unchanged_for(1))[0] == 3
    assert exit_layers(np.array([a, a, b, b])[:, None], unchanged_for(1))[0] == 2
    assert (
        exit_layers(np.array([a, b, a, b])[:, None], unchanged_for(1))[0] == 4
    )  # never: full depth


def test_patience_asks_for_the_most_probable_class_alone():
    # the least probable class is the same in all, and the best one changes
    logits = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [1.5, 2.0, 0.0]])[:, None]
    assert exit_layers(logits[:2], unchanged_for(1))[0] == 2  # full depth
    assert exit_layers(logits, unchanged_for(1))[0] == 3  # not after the second layer


def test_one_layer_has_one_exit():
    model = built(1)
    logits, left = model.infer(IDS, unchanged_for(1), MASK)
    np.testing.assert_allclose(logits, model(IDS, MASK).numpy()[0], rtol=1e-12, atol=1e-12)
    assert left.tolist() == [1, 1]


def test_what_a_rule_may_lose_is_counted_from_full_depth():
    right, wrong = [3.0, 0.0], [0.0, 3.0]
    first, last = [right, wrong, wrong], [right, right, wrong]  # two layers, three sequences
    stops = {"early": entropy_below(9.0), "full": entropy_below(0.0)}
    logits, targets = np.array([first, last]), np.zeros(3, int)
    assert calibrate(logits, targets, stops) == ("full", 2.0, 2 / 3)
    assert calibrate(logits, targets, stops, allowed=0.4) == ("early", 1.0, 1 / 3)


def test_entropy_by_hand():
    np.testing.assert_allclose(
        entropy(np.array([[0.0, 0.0], [0.0, np.log(3)]])),
        [np.log(2), 0.75 * np.log(4 / 3) + 0.25 * np.log(4)],
    )
    assert entropy(np.array([1000.0, 0.0])) == 0  # nothing overflows


@given(seed=st.integers(0, 999))
def test_depth_never_grows_with_the_threshold(seed):
    logits = np.random.default_rng(seed).normal(size=(5, 8, 3)) * 3
    depths = [
        exit_layers(logits, entropy_below(t)) for t in (0, 0.2, 0.5, 0.8, 1.2)
    ]  # log 3 = 1.1 is the largest
    assert all((a >= b).all() for a, b in zip(depths, depths[1:]))
    assert (depths[0] == 5).all() and (depths[-1] == 1).all()


def test_losses_of_exits_are_weighted_by_depth(rng):
    logits, targets = Tensor(rng.normal(size=(3, 4, 2))), np.array([0, 1, 1, 0])
    each = [cross_entropy(logits[layer], targets).item() for layer in range(3)]
    assert exit_loss(logits, targets).item() == pytest.approx(
        (each[0] + 2 * each[1] + 3 * each[2]) / 6
    )
    assert exit_loss(logits, targets, (0, 0, 1)).item() == pytest.approx(each[2])


def test_all_exits_learn():
    model, task = built(2, 2), ExitTask(Classification(INPUTS))
    losses = fit(model, task, examples(24), steps=30, batch_size=24, learning_rate=3e-3)
    assert losses[-1] < losses[0]
    assert evaluate(model, task, examples(24))["accuracy"] > 0.8  # 24 texts learned by heart


def test_calibration_finds_the_least_depth_that_is_good_enough():
    right, wrong = [3.0, 0.0], [0.0, 1.0]
    logits = np.array(
        [[right, wrong], [right, wrong], [right, right]]
    )  # one easy and one hard sequence, both class 0
    targets = np.array([0, 0])
    stops = {
        t: entropy_below(t) for t in (0.0, 0.3, 9.0)
    }  # entropies: 0.19 of right, 0.58 of wrong
    assert trade_off(logits, targets, stops) == [(0.0, 3.0, 1.0), (0.3, 2.0, 1.0), (9.0, 1.0, 0.5)]
    assert calibrate(logits, targets, stops) == (0.3, 2.0, 1.0)
    assert calibrate(logits, targets, stops, allowed=0.5) == (9.0, 1.0, 0.5)
    with pytest.raises(ConfigError, match="loses more than"):
        calibrate(logits, targets, {9.0: stops[9.0]})


def test_the_last_exit_answers_as_the_task_answers(device):
    model = built(2, 2).to(device)
    named, numbered = (ExitTask(Classification(INPUTS, names)) for names in (("no", "yes"), None))
    texts = examples(4)
    said = answers(model, numbered, texts)
    assert all(type(i) is int for i in said)
    assert answers(model, named, [(x, None) for x, _ in texts]) == [("no", "yes")[i] for i in said]
    assert (
        evaluate(model, named, [(x, ("no", "yes")[i]) for (x, _), i in zip(texts, said)])[
            "accuracy"
        ]
        == 1
    )


def test_texts_without_a_label_do_not_weigh():
    known, task = examples(4), ExitTask(Classification(INPUTS))
    alone, among = (
        fit(built(2, 2), task, rows, steps=1, batch_size=8)[0]
        for rows in (known, known + [([1, 2], None)] * 4)
    )
    assert among == pytest.approx(alone, rel=1e-12)


def test_answers_are_given_without_dropout_by_a_model_in_training_too():
    model = built(dropout=0.5)
    calm, _ = model.infer(IDS, entropy_below(0), MASK)
    model.train()
    np.testing.assert_array_equal(model.infer(IDS, entropy_below(0), MASK)[0], calm)
    assert model.training and model.encoder.blocks[0].training


def test_a_model_that_hides_its_layers_is_refused():
    with pytest.raises(ConfigError, match="Prompted does not show the states of its layers"):
        EarlyExit(prompt_tuning(encoder(), np.zeros((2, 16))), 2)

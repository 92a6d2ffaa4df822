"""Rehearsal and replay: shares, and the fairness of the reservoir."""

from collections import Counter

import numpy as np
import pytest

from tests.finetune.continual.several import ENCODER_INPUT, encoder, word_task
from tinylm.errors import ConfigError
from tinylm.finetune.continual.many_tasks import ManyHeads, ManyTasks, items
from tinylm.finetune.continual.rehearsal import Reservoir, draw_examples, with_rehearsal
from tinylm.finetune.fitting import evaluate, fit


def test_a_ratio_of_old_for_new():
    mixed = with_rehearsal(list("abcd"), list(range(10)), 0.5)
    assert mixed[:4] == list("abcd") and len(mixed) == 6 and len(set(mixed)) == 6
    assert Counter(draw_examples("xy", 5)) in (
        Counter(x=3, y=2),
        Counter(x=2, y=3),
    )  # all of them, again, and one more
    assert with_rehearsal([1], [], 0) == [1]
    with pytest.raises(ConfigError, match="there are none"):
        with_rehearsal([1, 2], [], 0.5)
    with pytest.raises(ConfigError, match="0 or more"):
        with_rehearsal([1], [2], -1)


def test_ratio_zero_is_plain_fine_tuning_bit_for_bit():
    task, found = ManyTasks.of(ENCODER_INPUT, 2), []
    for examples in (
        items(1, word_task(1)),
        with_rehearsal(items(1, word_task(1)), items(0, word_task(0)), 0),
    ):
        model = ManyHeads(encoder(), (2, 2))
        found.append((fit(model, task, examples, epochs=1), model.state_dict()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    for name, value in found[0][1].items():
        np.testing.assert_array_equal(found[1][1][name], value)


def test_a_reservoir_never_holds_more_than_fits_and_first_takes_all():
    reservoir = Reservoir(3)
    for i in range(20):
        reservoir.add(i)
        assert len(reservoir) == min(i + 1, 3) and reservoir.seen == i + 1
    assert len(set(reservoir.items)) == 3
    assert Reservoir(5).extend("abc").items == list("abc")
    (only,) = Reservoir(1).extend("abc").items  # one place is enough for a sample
    assert only in "abc"
    with pytest.raises(ConfigError, match="at least 1"):
        Reservoir(0)


def test_every_item_of_a_stream_is_kept_with_the_same_probability():
    n, capacity, trials = 10, 3, 1000
    kept = np.zeros(n)
    for seed in range(trials):
        kept[Reservoir(capacity, seed).extend(range(n)).items] += 1
    expected = trials * capacity / n
    # The counts of a sample without replacement have variance p (1 - p) and sum to a constant, so
    # sum (kept - expected)^2 / (trials p (1 - p)) (n - 1) / n is chi-square with n - 1 = 9 degrees:
    # its 0.999 quantile is 27.9
    p = capacity / n
    chi_square = ((kept - expected) ** 2).sum() / (trials * p * (1 - p)) * (n - 1) / n
    assert chi_square < 27.9


def test_a_reservoir_is_a_function_of_seed_and_stream():
    assert Reservoir(4, 1).extend(range(50)).items == Reservoir(4, 1).extend(range(50)).items
    assert Reservoir(4, 1).extend(range(50)).items != Reservoir(4, 2).extend(range(50)).items


def test_rehearsal_keeps_what_plain_fine_tuning_loses():
    first = items(0, word_task(0))
    second = items(
        0, [(text, 1 - label) for text, label in word_task(0, seed=1)]
    )  # other texts, the opposite labels
    task, kept = ManyTasks.of(ENCODER_INPUT, 1), {}
    for ratio in (0, 1):
        model = ManyHeads(encoder(), (2,), "mean")
        for examples in (first, with_rehearsal(second, first, ratio)):
            fit(model, task, examples, epochs=6, batch_size=8, learning_rate=0.02)
        kept[ratio] = evaluate(model, task, first)["accuracy"]
    assert kept[0] < 0.3 < 0.4 < kept[1]  # with as many old as new, neither side wins

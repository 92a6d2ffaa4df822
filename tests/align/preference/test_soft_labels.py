"""Labels that are probabilities: a judge's, or those of several annotators."""

from dataclasses import replace

import numpy as np
import pytest

from tests.align.preference.test_tuning import EXACT, loss_of, moved, prepared
from tests.finetune.instruct.talks import model
from tinylm.align.preference import DPO, LOSSES


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "kto"])
def test_a_soft_label_is_the_expectation_over_labels(name):
    """Pair 0 is preferred with .7: .7 of its loss and .3 of that with the answers exchanged."""
    policy, pairs = moved(), prepared(name, model())
    soft = [replace(pairs[0], probability=0.7), pairs[1]]
    exchanged = replace(
        pairs[0],
        chosen=pairs[0].rejected,
        rejected=pairs[0].chosen,
        reference=pairs[0].reference[::-1],
    )
    one, two, three = (
        loss_of(DPO(name), policy, [each])["loss"] for each in (pairs[0], exchanged, pairs[1])
    )
    found = loss_of(DPO(name), policy, soft)["loss"]
    np.testing.assert_allclose(found, (0.7 * one + 0.3 * two + three) / 2, **EXACT)


def test_soft_labels_of_dpo_are_smoothed_ones():
    policy, pairs = moved(), prepared("dpo", model())
    soft = [replace(one, probability=0.9) for one in pairs]
    smoothed = loss_of(DPO("dpo", {"label_smoothing": 0.1}), policy, pairs)["loss"]
    np.testing.assert_allclose(loss_of(DPO(), policy, soft)["loss"], smoothed, **EXACT)


def test_a_hard_label_costs_one_order_of_the_answers(monkeypatch):
    """The other one has no weight, and 0 times an infinite loss would be no number."""
    seen, row = [], LOSSES["dpo"]

    def counted(*given, **options):
        seen.append(1)
        return row.function(*given, **options)

    policy, pairs, task = moved(), prepared("dpo", model()), DPO()
    monkeypatch.setitem(LOSSES, "dpo", replace(row, function=counted))
    loss_of(task, policy, pairs)
    assert len(seen) == 1
    loss_of(task, policy, [replace(pairs[0], probability=0.9), *pairs[1:]])
    assert len(seen) == 1 + 2

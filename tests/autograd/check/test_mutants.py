"""The checker checked: every wrong derivative is rejected, and a lazier checker would have let many
through.
"""

import numpy as np
import pytest

from tinylm.autograd import registry
from tinylm.autograd.check.gradcheck import check_entry
from tinylm.autograd.check.mutants import (
    AVERAGED,
    CHANGES,
    SAME,
    all_mutants,
    entry_for,
    own,
    planted,
    rejected,
)
from tinylm.autograd.engine import operation

registry.load_all()  # of all packages, whichever tests are collected with these
MUTANTS, LEFT_OUT = all_mutants()
NAMES = [*own(operation.primitives), *own(operation.fused_operations)]
# Operations with many arguments and options, whose mutants take seconds each: checked with the slow
# tests.
LONG = {"attention", "tiled_attention", "self_attention", "tree_attention", "gru_scan", "lstm_scan"}
LONG |= {"attention_sublayer", "feed_forward_sublayer", "gated_sublayer"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in NAMES]
)
def test_every_wrong_derivative_is_rejected(name):
    accepted = [str(m) for m in MUTANTS if m.name == name and not rejected(m)]
    assert not accepted


def test_there_are_mutants_of_every_derivative_and_they_are_many():
    for name in NAMES:
        # the mechanical changes, the averaged cotangent and one more: of the graph (primitive) or
        # of the twin (fused)
        assert sum(m.name == name for m in MUTANTS) >= len(CHANGES) + 2, name
    # 940 at this writing, 108 of them written by hand; a drop means that a rule lost its mutants
    assert len(MUTANTS) >= 900


def test_mutants_are_left_out_only_for_a_reason():
    assert {(m.name, m.what) for m, _ in LEFT_OUT} == set(SAME)
    assert all(reason for _, reason in LEFT_OUT)
    assert len(LEFT_OUT) <= 13  # two operations of two arguments give pairs


def test_what_is_left_out_is_indeed_no_error():
    for mutant, _ in LEFT_OUT:
        with planted(mutant):
            assert check_entry(entry_for(mutant.name)), mutant


def test_a_planted_mutant_is_gone_afterwards():
    for mutant in (MUTANTS[0], MUTANTS[-1]):  # one of a rule, one of a fused operation
        with planted(mutant):
            pass
        assert check_entry(entry_for(mutant.name))


def test_an_all_ones_cotangent_would_let_wrong_derivatives_through():
    lazy = {"order": 1, "mode": "directions", "cotangent": lambda rng, shape: np.ones(shape)}
    averaged = [m for m in MUTANTS if m.what == AVERAGED]
    let_through = [m for m in averaged if not rejected(m, **lazy)]
    assert len(let_through) == len(
        averaged
    )  # the average of ones is ones: every single one of them passes
    zeros = {
        m.name: m for m in MUTANTS if m.what == "zero" and m.argument == 0 and m.place == "kernel"
    }
    assert not rejected(
        zeros["softmax"], **lazy
    )  # probabilities sum to 1: their gradient along ones is zero
    assert rejected(zeros["softmax"])


def test_first_order_alone_would_let_wrong_second_derivatives_through():
    cut = [m for m in MUTANTS if "cut from the graph" in m.what]
    assert cut and all(not rejected(m, order=1) for m in cut)

"""Preferences are learnt the same, whatever the shape of batches: 20 steps in float64.

For every loss: micro-batches, and one worker or two. Where rows are padded or packed concerns
log-probabilities alone, so a loss of sums, of means, without a reference, and both KTOs stand for
all. Cached or uncached sampling has a meaning for online DPO only: no other method samples.
"""

from dataclasses import replace

import numpy as np
import pytest

from tests.align.packed import in_packed_rows
from tests.align.rlhf.uncached import without_cache
from tests.align.small import gpt
from tinylm.align import logprobs
from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.preference import (
    DPO,
    KTO,
    LOSSES,
    EncodedAnswer,
    online,
    online_dpo,
    own_pairs,
    preference_accuracy,
    tune,
    tuning,
    with_others,
    with_reference,
)
from tinylm.align.preference.pairs import make_pairs_batch
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.parallel import launch

STEPS, B, V = 20, 8, 12
JUDGED = "judged answers"  # KTO without pairs
ALL = [*LOSSES, JUDGED]
KTOS = ["kto", JUDGED]
SOME = ["dpo", "ipo", "orpo", *KTOS]


def pairs():
    """Answers of unequal lengths, the chosen one of even tokens; some labels are soft."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(24):
        prompt, one, other = (rng.integers(0, 6, int(n)) for n in rng.integers(1, 6, 3))
        chosen, rejected = encode_sft(prompt, 2 * one), encode_sft(prompt, 2 * other + 1)
        found.append(EncodedPair(chosen, rejected, probability=1 - 0.25 * (i % 2)))
    return found


def task_and_examples(name):
    if name != JUDGED:
        return DPO(name), pairs()
    judged = [EncodedAnswer(one.chosen, True) for one in pairs()]
    bad = [EncodedAnswer(one.rejected, False) for one in pairs()[::3]]
    return KTO(weight_bad=1.5), judged + bad


def trajectory(comm=None, name="dpo", **options):
    """(losses (20,), all parameters) of a training."""
    model = gpt(V)
    task, examples = task_and_examples(name)
    given = {"steps": STEPS, "learning_rate": 1e-2, "seed": 3, "comm": comm}
    losses = tune(model, task, examples, B, **given | options)
    return np.array(losses), np.concatenate([p.data.ravel() for p in model.parameters()])


def assert_equal(one, other):
    np.testing.assert_allclose(one[0], other[0], rtol=1e-10)
    np.testing.assert_allclose(one[1], other[1], rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def whole():
    """The trajectory of a loss by name, computed once."""
    found = {}

    def of(name):
        if name not in found:
            losses, parameters = found[name] = trajectory(name=name)
            assert losses[-5:].mean() < losses[:5].mean()  # something is learned
        return found[name]

    return of


@pytest.mark.parametrize("name", ALL)
def test_a_pair_at_a_time_is_the_batch(whole, name):
    assert_equal(trajectory(name=name, micro_batch=1), whole(name))


def test_two_workers_are_one(whole):
    """Two processes that each differentiate 4 of the 8 pairs; in parts of 3 and 1 with KTO."""

    def of_all(comm):
        return {name: trajectory(comm, name, micro_batch=3 * (name in KTOS)) for name in ALL}

    for name, found in launch(of_all, 2, capacity=1 << 20).items():
        assert_equal(found, whole(name))


def padded_left(pairs):
    """The same batches with the padding before the tokens."""
    batch = make_pairs_batch(pairs)
    order = np.argsort(batch.mask, axis=2, kind="stable")  # padding first
    names = ("inputs", "targets", "mask")
    turned = [np.take_along_axis(getattr(batch, name), order, axis=2) for name in names]
    assert turned[2][..., -1].all() and not turned[2].all()
    return replace(batch, **dict(zip(names, turned)))


@pytest.mark.parametrize("name", SOME)
def test_padding_at_the_left_is_padding_at_the_right(whole, name, monkeypatch):
    module = type(task_and_examples(name)[0]).__module__
    monkeypatch.setattr(f"{module}.make_pairs_batch", padded_left)
    assert_equal(trajectory(name=name), whole(name))


@pytest.mark.parametrize("name", SOME)
def test_packed_rows_are_rows_of_one(whole, name, monkeypatch):
    expected = whole(name)
    packed = in_packed_rows(logprobs.response_logits)
    monkeypatch.setattr(logprobs, "response_logits", packed)
    assert_equal(trajectory(name=name), expected)


def online_trajectory():
    model = gpt(V)
    prompts = [[1], [2, 1], [0, 1, 2], [2], [1, 2, 2, 1], [0, 2]]

    def make_pairs(model, k):
        return own_pairs(model, prompts, lambda x, a, b: float(sum(a) > sum(b)), 4, seed=k, eos=0)

    found = online_dpo(model, DPO(), make_pairs, rounds=5, steps=4, learning_rate=1e-2)
    losses = np.concatenate([losses for _, losses in found])
    assert losses.shape == (STEPS,)
    return losses, np.concatenate([p.data.ravel() for p in model.parameters()])


def test_online_dpo_with_the_cache_is_that_without(monkeypatch):
    expected = online_trajectory()
    monkeypatch.setattr(online, "generate_batch", without_cache(online.generate_batch))
    assert_equal(online_trajectory(), expected)


# KTO's reference point.
@pytest.mark.parametrize("name", KTOS)
def test_the_reference_point_is_above_zero_and_differs_between_parts(name, monkeypatch):
    """So the trajectories above say something: the parts' own points give another one."""
    seen = []
    monkeypatch.setattr(tuning, "kto_reference_point", watched(tuning.kto_reference_point, seen))
    whole = trajectory(name=name, micro_batch=4)
    assert np.mean(np.array(seen) > 0) > 0.5
    task = type(task_and_examples(name)[0])
    monkeypatch.setattr(task, "whole_batch", lambda *given: {})
    parts = trajectory(name=name, micro_batch=4)
    assert np.abs(whole[1] - parts[1]).max() > 1e-6


def watched(function, seen):
    def found(*given):
        seen.append(function(*given))
        return seen[-1]

    return found


@pytest.mark.parametrize("name", KTOS)
def test_held_out_figures_do_not_depend_on_how_examples_are_cut(name):
    task, examples = task_and_examples(name)
    examples = with_reference(gpt(V), with_others(examples))
    policy = gpt(V, seed=1)
    whole = preference_accuracy(policy, task, examples, batch_size=100)
    for size in (1, 7):
        found = preference_accuracy(policy, task, examples, batch_size=size)
        assert found == pytest.approx(whole, rel=1e-10)

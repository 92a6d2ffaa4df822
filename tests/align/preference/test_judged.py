"""KTO on answers that are good or bad, without pairs."""

import numpy as np
import pytest

from tests.finetune.instruct.talks import TOKENIZER, model
from tinylm.align.feedback.pairs import LeftOut
from tinylm.align.preference import (
    KTO,
    EncodedAnswer,
    check_start,
    encode_judged,
    judged,
    kto,
    kto_weights,
    tune,
    tuning,
    with_others,
    with_reference,
)
from tinylm.data.read.preferences import Judged
from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import ROLES, encode_sft
from tinylm.generate import conditional_logprob

ANSWERS = [
    EncodedAnswer(encode_sft([5, 6], [7, 8]), True),
    EncodedAnswer(encode_sft([9], [10]), False),
    EncodedAnswer(encode_sft([11], [12, 13, 14]), True),
]


def prepared(reference):
    return with_reference(reference, with_others(ANSWERS))


def rho(one, policy, reference):
    x, y = one.ids[: one.prompt], one.ids[one.prompt :]
    return conditional_logprob(policy, x, y) - conditional_logprob(reference, x, y)


def test_the_loss_is_that_of_answers_scored_one_by_one():
    policy, reference = model(seed=1), model()
    examples = prepared(reference)
    found = KTO(0.5, 1.5, 0.7).loss(policy, KTO().make_batch(examples))[1]
    ratios = np.array([rho(one.answer, policy, reference) for one in examples])
    point = max(0.0, np.mean([rho(one.other, policy, reference) for one in examples]))
    good = [True, False, True]
    gains = 0.5 * (ratios - point)
    values = 1 / (1 + np.exp(-np.where(good, gains, -gains)))
    expected = np.mean(np.where(good, 1.5, 0.7) * (1 - values))
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-10)
    assert found["tokens"] == 3 and found["point"] == pytest.approx(point)
    assert found["reward_good"] == pytest.approx(0.5 * (ratios[0] + ratios[2]) / 2)
    assert found["reward_bad"] == pytest.approx(0.5 * ratios[1])
    assert found["largest_ratio"] == pytest.approx(np.abs(ratios).max())


def test_each_answer_is_read_once_and_the_other_one_without_a_gradient(monkeypatch):
    seen = []

    def counted(model, batch, temperature):
        seen.append(batch.inputs.shape[:2])
        return tuning.row_logprobs(model, batch, temperature)

    policy, batch = model(seed=1), KTO().make_batch(prepared(model()))
    monkeypatch.setattr(judged, "row_logprobs", counted)
    KTO().loss(policy, batch)
    assert seen == [(3, 1)]  # of the rows of answer and other, (3, 2)


def test_other_answers_belong_to_other_prompts():
    found = with_others(ANSWERS)
    assert [one.other.ids.tolist() for one in found] == [[5, 6, 10], [9, 12, 13, 14], [11, 7, 8]]
    assert [one.other.prompt for one in found] == [2, 1, 1]


def test_training_starts_at_one_half_and_separates_good_from_bad():
    m = model()
    examples = prepared(model())
    assert check_start(m, KTO(), examples) < 1e-12
    start = KTO().loss(m, KTO().make_batch(examples))[1]
    assert start["loss"] == pytest.approx(0.5) and start["point"] == pytest.approx(0, abs=1e-12)
    losses = tune(m, KTO(), ANSWERS, steps=20, learning_rate=1e-2)
    assert losses[0] == pytest.approx(0.5) and losses[-1] < 0.47
    after = KTO().loss(m, KTO().make_batch(examples))[1]
    assert after["reward_good"] > 0.05 and after["reward_bad"] < -0.05


def test_every_device_follows_one_trajectory(device):
    runs = []
    for where in ("cpu", device):
        m = model().to(where)
        losses = tune(m, KTO(weight_bad=1.5), ANSWERS, steps=2, learning_rate=1e-2)
        found = KTO().loss(m, KTO().make_batch(with_reference(m, with_others(ANSWERS))).to(where))
        runs.append([*losses, found[1]["reward_good"], found[1]["point"]])
    np.testing.assert_allclose(*runs, rtol=1e-8, atol=1e-10)


def test_a_batch_of_one_kind_has_no_reward_of_the_other():
    m, examples = model(), prepared(model())
    only_good = KTO().loss(m, KTO().make_batch([examples[0]]))[1]
    assert np.isnan(only_good["reward_bad"]) and np.isfinite(only_good["reward_good"])


def test_weights_balance_the_two_kinds():
    for desirable in ([True, False, False, False], [True, True, False], [True, False]):
        good, bad = kto_weights(desirable)
        n = sum(desirable)
        assert good * n == pytest.approx(bad * (len(desirable) - n))
        assert min(good, bad) == 1
    for one in ([True], [False, False]):
        with pytest.raises(DataError, match=r"^KTO learns from good and bad.*: add some"):
            kto_weights(one)


def test_what_is_missing_is_named():
    m = model()
    for examples in (ANSWERS, with_reference(m, ANSWERS), with_others(ANSWERS)):
        with pytest.raises(DataError, match=r"with_others\(\), then to with_reference\(\)"):
            KTO().loss(m, KTO().make_batch(examples))


def test_the_defaults_are_those_of_the_loss():
    logp, reference = model(seed=1), model()
    batch = KTO().make_batch(prepared(reference))
    task = KTO().loss(logp, batch)[1]
    assert task["loss"] == pytest.approx(KTO(0.1, 1.0, 1.0, 1.0).loss(logp, batch)[1]["loss"])
    assert kto.__defaults__ == (0.1, 1.0, 1.0)


def test_judged_answers_are_encoded():
    judged = [Judged("hi", "yes", True), Judged("hi", "no", False, (("system", "s"),))]
    examples, left = encode_judged(TOKENIZER, ROLES, judged)
    assert [one.desirable for one in examples] == [True, False] and left == LeftOut()
    ids = examples[0].answer.ids[examples[0].answer.answer]
    assert TOKENIZER.decode(ids) == "yes<|end|>"
    n = examples[0].answer.prompt
    (longer, _), _ = encode_judged(TOKENIZER, ROLES, judged, begin=7)
    assert longer.answer.ids[0] == 7 and longer.answer.prompt == n + 1
    cut, left = encode_judged(TOKENIZER, ROLES, judged, limit=n + 1)
    assert left == LeftOut(cut=(0, 1), empty=(1,)) and len(cut) == 1
    assert TOKENIZER.decode(cut[0].answer.ids[n:]) == "y"

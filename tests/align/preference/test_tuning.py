"""DPO as a task: a start at ratio 0, one trajectory however it is cut, preferences learnt."""

from dataclasses import replace

import numpy as np
import pytest

from tests.finetune.instruct.talks import model
from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.preference import (
    DPO,
    LOSSES,
    check_start,
    dpo,
    preference_accuracy,
    tune,
    with_others,
    with_reference,
)
from tinylm.align.preference.pairs import make_pairs_batch
from tinylm.autograd import Tensor, no_grad
from tinylm.errors import ConfigError, DataError, TrainingError
from tinylm.finetune import fit, trainable
from tinylm.finetune.instruct.conversations import Encoded, encode_sft
from tinylm.finetune.peft.lora import lora
from tinylm.generate import conditional_logprob
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain.batch import IGNORE

EXACT = dict(rtol=1e-10, atol=1e-12)  # float64 sums of a few hundred terms, in other orders


def pair(x, chosen, rejected):
    return EncodedPair(encode_sft(x, chosen), encode_sft(x, rejected))


PAIRS = [
    pair([5, 6, 7], [8, 9], [10]),
    pair([11], [3], [4, 5, 6]),
    pair([12, 13], [14, 15, 16], [17, 18]),
    pair([19, 20], [21], [22]),
]


def moved(seed=1):
    """A policy that differs from the reference."""
    return model(seed=seed)


def prepared(name, reference):
    pairs = PAIRS
    if LOSSES[name].point:
        pairs = with_others(pairs)
    return with_reference(reference, pairs)


def loss_of(task, policy, pairs):
    with no_grad():
        return task.loss(policy, task.make_batch(pairs))[1]


MEANS = {"ipo", "orpo", "simpo"}  # of their papers and of TRL; the others read sums


def by_hand(name, policy, reference, one, **options):
    """The loss of a pair from log Pr(y|x) of each answer, scored one by one."""
    row, logs = LOSSES[name], []
    models = (policy, reference)[: 1 + row.reference]
    for m in models:
        for answer in (one.chosen, one.rejected):
            x, y = answer.ids[: answer.prompt], answer.ids[answer.prompt :]
            total = conditional_logprob(m, x, y)
            scale = len(y) if name in MEANS else 1
            logs.append(Tensor(np.array([total / scale])))
    return float(row.function(*logs, **options)[0].item())


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "kto"])
def test_a_loss_is_that_of_answers_scored_one_by_one(name):
    """Sums for DPO, means for IPO, ORPO and SimPO; no token of a prompt, no padding."""
    policy, reference = moved(), model()
    found = loss_of(DPO(name), policy, prepared(name, reference))
    expected = np.mean([by_hand(name, policy, reference, one) for one in PAIRS])
    np.testing.assert_allclose(found["loss"], expected, **EXACT)
    assert found["tokens"] == 4  # pairs


def test_kto_compares_with_answers_to_other_prompts():
    policy, reference = moved(), model()
    pairs = prepared("kto", reference)

    def rho(one):
        x, y = one.ids[: one.prompt], one.ids[one.prompt :]
        return conditional_logprob(policy, x, y) - conditional_logprob(reference, x, y)

    point = max(0.0, np.mean([rho(one.other) for one in pairs]))
    expected = np.mean(
        [by_hand("kto", policy, reference, one, point=point, beta=0.5) for one in PAIRS]
    )
    found = loss_of(DPO("kto", {"beta": 0.5}), policy, pairs)
    np.testing.assert_allclose(found["loss"], expected, **EXACT)


def test_the_temperature_of_sampling_is_that_of_the_ratio():
    policy, reference = moved(), model()
    warm = DPO(temperature=2.0)
    pairs = with_reference(reference, PAIRS, temperature=2.0)
    assert abs(loss_of(warm, policy, pairs)["loss"] - loss_of(DPO(), policy, pairs)["loss"]) > 1e-3
    assert loss_of(warm, reference, pairs)["largest_ratio"] < 1e-12
    with pytest.raises(TrainingError, match="temperature"):
        check_start(reference, DPO(), pairs)


# Wrong batches and references, each of which must change the loss of a policy that has moved.
def prompts_counted(batch):
    """Every token of the row is a target."""
    shifted = np.roll(batch.inputs, -1, axis=2)
    return replace(batch, targets=np.where(batch.targets == IGNORE, shifted, batch.targets))


def swapped(batch):
    return replace(
        batch,
        inputs=batch.inputs[:, ::-1],
        targets=batch.targets[:, ::-1],
        mask=batch.mask[:, ::-1],
    )


def shifted_twice(batch):
    return replace(batch, targets=np.roll(batch.targets, -1, axis=2))


def other_references(batch):
    return replace(batch, reference=batch.reference[:, ::-1])


def no_reference(batch):
    return replace(batch, reference=0 * batch.reference)


PLANTED = (prompts_counted, swapped, shifted_twice, other_references, no_reference)


@pytest.mark.parametrize("wrong", PLANTED, ids=[one.__name__ for one in PLANTED])
def test_a_wrong_batch_has_another_loss(wrong):
    policy = moved()
    batch = make_pairs_batch(prepared("dpo", model()))
    task = DPO("dpo", {"beta": 1.0})
    with no_grad():
        right = task.loss(policy, batch)[1]["loss"]
        found = task.loss(policy, wrong(batch))[1]["loss"]
    assert abs(found - right) > 1e-3


@pytest.mark.parametrize("name", ["ipo", "orpo", "simpo"])
def test_sums_in_a_loss_of_means_are_another_loss(name, monkeypatch):
    pairs, policy = prepared(name, model()), moved()
    right = loss_of(DPO(name), policy, pairs)["loss"]
    monkeypatch.setitem(LOSSES, name, replace(LOSSES[name], mean=False))
    assert abs(loss_of(DPO(name), policy, pairs)["loss"] - right) > 1e-3


def test_means_in_dpo_are_another_loss(monkeypatch):
    pairs, policy = prepared("dpo", model()), moved()
    right = loss_of(DPO(), policy, pairs)["loss"]
    monkeypatch.setitem(LOSSES, "dpo", replace(LOSSES["dpo"], mean=True))
    assert abs(loss_of(DPO(), policy, pairs)["loss"] - right) > 1e-3


# The start of training.
@pytest.mark.parametrize("name", [name for name, one in LOSSES.items() if one.reference])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_starts_at_ratio_zero_and_the_starting_value(name, dtype):
    m, pairs = model(dtype), prepared(name, model(dtype))
    assert check_start(m, DPO(name), pairs) < 1e-5
    start = loss_of(DPO(name, {"beta": 0.3}), m, pairs)["loss"]
    assert start == pytest.approx(LOSSES[name].start(0.3), abs=1e-5)


def test_another_reference_is_refused_before_the_first_update():
    m = model()
    before = [p.data.copy() for p in m.parameters()]
    with pytest.raises(TrainingError, match=r"log ratio of policy and reference is .*, not 0"):
        tune(m, DPO(), with_reference(moved(), PAIRS), steps=2)
    assert all(np.array_equal(a, p.data) for a, p in zip(before, m.parameters()))


def test_a_reference_may_differ_by_rounding_and_no_more():
    """A thousand units in the last place of sums of size 20: about 5e-12 in float64."""
    m, pairs = model(), with_reference(model(), PAIRS)
    largest = max(np.abs(one.reference).max() for one in pairs)
    assert 10 < largest < 30

    def shifted(by):
        return [replace(one, reference=one.reference + by) for one in pairs]

    assert check_start(m, DPO(), shifted(1e-12)) == pytest.approx(1e-12, rel=0.1)
    with pytest.raises(TrainingError, match="not 0"):
        check_start(m, DPO(), shifted(2e-11))
    # the largest sum sets the unit: 1000 eps (1 + largest)
    allowed = 1000 * 2.0**-52 * (1 + largest)
    check_start(m, DPO(), shifted(0.99 * allowed))
    with pytest.raises(TrainingError, match="not 0"):
        check_start(m, DPO(), shifted(1.02 * allowed))


def test_dropout_does_not_enter_the_ratio():
    config = GPTConfig(30, 16, 1, 2, 16, dropout=0.5)
    m = GPT(config, 0, np.float64).train()
    pairs = with_reference(m, PAIRS)
    assert m.training
    assert check_start(m, DPO(), pairs) < 1e-12
    assert m.training
    losses = tune(m, DPO(), PAIRS, steps=1)
    assert losses[0] == pytest.approx(np.log(2), abs=1e-12)


def test_the_reference_is_computed_once_and_does_not_move():
    """The second loss differs from log 2, so policy and reference do; the pairs are unchanged."""
    m = model()
    pairs = with_reference(m, PAIRS, batch_size=3)
    losses = fit(m, DPO(), pairs, steps=2, batch_size=4, learning_rate=1e-2)
    assert losses[0] == pytest.approx(np.log(2)) and losses[1] < losses[0]
    again = with_reference(model(), PAIRS)
    for one, other in zip(pairs, again):
        np.testing.assert_allclose(one.reference, other.reference, **EXACT)
    assert PAIRS[0].reference is None


@pytest.mark.parametrize("name", ["dpo", "ipo", "orpo"])
def test_micro_batches_of_pairs_follow_one_trajectory(name):
    """Pairs weigh the same whatever their lengths: 4 at once, or 3 and 1."""
    runs = []
    for micro_batch in (0, 3):
        m = model()
        losses = tune(m, DPO(name), PAIRS, 4, steps=5, learning_rate=1e-2, micro_batch=micro_batch)
        runs.append([losses, *(p.data for p in m.parameters())])
    for a, b in zip(*runs):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_every_device_follows_one_trajectory(name, device):
    """Soft labels too: two steps of float64, on the CPU and on every other device."""
    pairs = [replace(PAIRS[0], probability=0.8), *PAIRS[1:]]
    runs = []
    for where in ("cpu", device):
        m = model().to(where)
        losses = tune(m, DPO(name), pairs, 4, steps=2, learning_rate=1e-2)
        accuracy = preference_accuracy(m, DPO(name), prepared(name, m))
        runs.append([losses, [accuracy[key] for key in sorted(accuracy)]])
    for a, b in zip(*runs):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_with_lora_the_reference_is_the_model_below():
    """Only the thin matrices move: the model below them is the reference as before."""
    m = model()
    before = {name: array.copy() for name, array in m.named_arrays().items()}
    lora(m, r=2)
    losses = tune(m, DPO(), PAIRS, steps=4, learning_rate=5e-2)
    assert losses[0] == pytest.approx(np.log(2)) and losses[-1] < losses[0]
    trained, arrays = set(trainable(m)), m.named_arrays()
    assert all(name.endswith((".a", ".b")) for name in trained)
    below = {name.replace(".base.", "."): array for name, array in arrays.items()}
    for name, array in before.items():
        np.testing.assert_array_equal(below[name], array)


def test_the_order_of_pairs_and_their_padding_do_not_matter():
    policy, pairs = moved(), prepared("dpo", model())
    whole = loss_of(DPO(), policy, pairs)["loss"]
    np.testing.assert_allclose(loss_of(DPO(), policy, pairs[::-1])["loss"], whole, **EXACT)
    alone = np.mean([loss_of(DPO(), policy, [one])["loss"] for one in pairs])
    np.testing.assert_allclose(alone, whole, **EXACT)


def test_prompt_tokens_have_no_gradient_of_their_own():
    """Logits at positions that predict the prompt: here shown by a head that nothing else uses."""
    policy, pairs = moved(), prepared("dpo", model())
    batch = DPO().make_batch(pairs)
    logp = DPO().logprobs(policy, batch)
    assert logp.shape == (4, 2)
    # Only the rows of the output layer's input that predict an answer are computed at all.
    counted = (batch.targets != IGNORE).sum()
    rows = []
    original = policy.logits

    def watched(h):
        rows.append(h.shape[0])
        return original(h)

    policy.logits = watched
    DPO().logprobs(policy, batch)
    assert rows == [counted]


def test_training_learns_the_preferences():
    m = model()
    before = preference_accuracy(m, DPO(), with_reference(m, PAIRS))
    assert before["accuracy"] == 0.5 and before["margin"] == pytest.approx(0, abs=1e-12)
    pairs = with_reference(m, PAIRS)
    tune(m, DPO(), pairs, steps=20, learning_rate=1e-2)
    after = preference_accuracy(m, DPO(), pairs, batch_size=3)
    assert after["accuracy"] == 1 and after["loss"] < 0.6
    assert after["margin"] > 0.2 and after["largest_ratio"] > 1


def test_accuracy_over_batches_weighs_pairs():
    policy, pairs = moved(), prepared("dpo", model())
    whole = preference_accuracy(policy, DPO(), pairs)
    parts = preference_accuracy(policy, DPO(), pairs, batch_size=3)
    assert whole == pytest.approx(parts)
    assert whole["loss"] == pytest.approx(loss_of(DPO(), policy, pairs)["loss"])


def test_rewards_are_in_units_of_beta():
    policy, pairs = moved(), prepared("dpo", model())
    one, two = (loss_of(DPO("dpo", {"beta": b}), policy, pairs)["margin"] for b in (0.1, 0.2))
    assert two == pytest.approx(2 * one)
    assert loss_of(DPO(), policy, pairs)["margin"] == pytest.approx(one)  # beta is 0.1
    assert LOSSES["orpo"].beta == 1.0 and LOSSES["simpo"].beta == 2.0


def test_the_derivative_of_dpo_through_a_model_is_closed():
    """-beta sigmoid(r_r - r_c) (grad log pi(y_c) - grad log pi(y_r)), for every parameter."""
    policy, (one,) = moved(), prepared("dpo", model())[:1]
    batch = DPO().make_batch([one])

    def gradient(value):
        policy.zero_grad()
        value.backward()
        return np.concatenate([p.grad.data.ravel() for p in policy.parameters()])

    found = gradient(DPO().loss(policy, batch)[0])
    logp = DPO().logprobs(policy, batch)
    rho = logp.data[0] - one.reference
    weight = 0.1 / (1 + np.exp(0.1 * (rho[0] - rho[1])))
    difference = gradient(DPO().logprobs(policy, batch)[0, 0])
    difference = difference - gradient(DPO().logprobs(policy, batch)[0, 1])
    np.testing.assert_allclose(found, -weight * difference, **EXACT)


def test_kto_is_tuned_with_answers_to_other_prompts():
    m = model()
    losses = tune(m, DPO("kto"), PAIRS, steps=5, learning_rate=1e-2)
    assert losses[0] == pytest.approx(0.5) and losses[-1] < losses[0]


def test_a_loss_without_reference_needs_none():
    m = model()
    losses = tune(m, DPO("simpo"), PAIRS, steps=5, learning_rate=1e-2)
    assert losses[-1] < losses[0]


def test_what_is_missing_is_named():
    policy = model()
    with pytest.raises(DataError, match=r"with_reference\(\)"):
        loss_of(DPO(), policy, PAIRS)
    with pytest.raises(DataError, match=r"with_others\(\)"):
        loss_of(DPO("kto"), policy, with_reference(policy, PAIRS))
    with pytest.raises(DataError, match="no pairs"):
        tune(policy, DPO(), [])
    with pytest.raises(ConfigError, match="'gamma'; it has beta, label_smoothing"):
        DPO("dpo", {"gamma": 1.0})
    with pytest.raises(ConfigError, match="no preference loss 'dpoo'"):
        DPO("dpoo")
    assert DPO("dpo", {"label_smoothing": 0.1}).options == {"label_smoothing": 0.1}


def test_an_answer_of_no_token_is_refused_by_a_mean():
    empty = Encoded(np.array([1, 2]), np.array([False, False]))
    bad = [replace(PAIRS[0], rejected=empty)]
    with pytest.raises(DataError, match="an answer has no token"):
        loss_of(DPO("simpo"), model(), bad)


def test_the_loss_is_of_the_function_itself():
    """What the program calls is the function that the papers' numbers were checked on."""
    assert LOSSES["dpo"].function is dpo

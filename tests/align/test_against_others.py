"""Losses that TRL 1.16 does not have are those of torchtune, verl, an older TRL and OpenAI's
weak-to-strong; the numbers that these gave are in tests/oracle/aligned_losses.json.

What differs from tinylm stands beside the comparison. Both are float64 unless float32 is said.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.oracle.aligned_losses import (
    BAD,
    BETA,
    BOUND,
    CLIP,
    FILE,
    GAMMA,
    GOOD,
    HIGH,
    KL_WEIGHT,
    LAMBDA,
    LOW,
    OWN,
    PROMPT,
    STEPS,
    TEMPERATURE,
    VALUE_CLIP,
    Letters,
    case,
)
from tinylm.align import summed
from tinylm.align.policy.advantages import gae, whitened
from tinylm.align.policy.clipping import clip_fraction, clipped_loss, dual_clipped_surrogate
from tinylm.align.policy.critic import clipped_value_loss
from tinylm.align.policy.kl import kl_in_reward
from tinylm.align.policy.sequences import gspo_token_loss
from tinylm.align.preference.kto import kto_reference_point, paired_kto
from tinylm.align.rewards.marked import marked_text
from tinylm.align.rewards.placement import place_terminal_reward
from tinylm.align.rewards.process_model import ProcessModeling
from tinylm.align.weak_to_strong.confidence import confidence_loss
from tinylm.align.weak_to_strong.distillation import kd_loss
from tinylm.autograd import Tensor, grad
from tinylm.finetune.divergence import reverse_kl
from tinylm.pretrain.batch import IGNORE

THEIRS = json.loads(FILE.read_text())
GIVEN = case()
COUNTED = GIVEN["counted"]
N = COUNTED.sum()


def trained(name):
    """A Tensor of the case, to be differentiated."""
    return Tensor(GIVEN[name], requires_grad=True)


def advantages_to_go():
    """Advantages before they are whitened."""
    return gae(GIVEN["token_rewards"], GIVEN["old_values"], COUNTED, GAMMA, LAMBDA)


RETURNS = np.where(COUNTED, advantages_to_go() + GIVEN["old_values"], 0.0)


def value_loss():
    values = trained("values")
    return clipped_value_loss(values, GIVEN["old_values"], RETURNS, COUNTED, VALUE_CLIP), values


def policy_loss():
    logp = trained("logp")
    return clipped_loss(logp, GIVEN["old"], GIVEN["each"], COUNTED, low=CLIP), logp


def dual_loss(how):
    logp = trained("logp")
    bounds = {"low": LOW, "high": HIGH, "bound": BOUND}
    given = logp, GIVEN["far"], GIVEN["each"], COUNTED, dual_clipped_surrogate
    return clipped_loss(*given, how=how, **bounds), logp


def gspo_loss():
    logp = trained("logp")
    return gspo_token_loss(logp, GIVEN["far"], GIVEN["each"], COUNTED, LOW, HIGH), logp


def kto_loss():
    logp = trained("logp")
    sums, reference = summed(logp, COUNTED), GIVEN["reference"].sum(axis=1)
    point = kto_reference_point(GIVEN["other"], GIVEN["other_reference"])
    each = paired_kto(
        *(sums[:4], sums[4:], reference[:4], reference[4:]),
        beta=BETA,
        point=point,
        weight_good=GOOD,
        weight_bad=BAD,
    )
    return each.mean(), logp


def step_loss():
    """The loss of a process reward model that gives the case's logits."""
    made = steps_of_trl()
    logits = Tensor(GIVEN["step_logits"][:, : made.inputs.shape[1]], requires_grad=True)
    found, _ = ProcessModeling(LABELS).loss(lambda ids, mask: logits, made)
    return found, logits


def confident(weak):
    logits = trained("logits")
    return confidence_loss(logits, weak, OWN), logits


# entry: what gives (loss, what it is differentiated by), theirs / ours, allowed difference
LOSSES = {
    # Half of the mean of squares: the factor belongs to PPO's coefficient of the critic here.
    "torchtune: rlhf.loss.PPOLoss, value": (value_loss, 0.5, 1e-13),
    "verl: compute_value_loss": (value_loss, 0.5, 1e-13),
    "torchtune: rlhf.loss.PPOLoss, policy": (policy_loss, 1, 1e-13),
    "verl: compute_policy_loss_vanilla, token-mean": (lambda: dual_loss("token"), 1, 1e-13),
    # The length of each response has 1e-8 added to it.
    "verl: compute_policy_loss_vanilla, seq-mean-token-mean": (
        lambda: dual_loss("sequence"),
        1,
        1e-8,
    ),
    "verl: compute_policy_loss_gspo": (gspo_loss, 1, 1e-8),
    "trl: KTOTrainer.kto_loss": (kto_loss, 1, 1e-13),
    "trl: PRMTrainer, its loss": (step_loss, 1, 2e-7),  # float32
    # Two classes; OpenAI takes the quantile of the probability of class 0. Float32.
    "weak_to_strong: logconf_loss_fn, soft": (lambda: confident(GIVEN["weak"]), 1, 2e-7),
    "weak_to_strong: logconf_loss_fn, hard": (lambda: confident(GIVEN["weak"].round()), 1, 2e-7),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient_are_theirs(name):
    ours, factor, allowed = LOSSES[name]
    value, slope = THEIRS[name]
    found, by = ours()
    (derivative,) = grad(found, [by])
    assert found.item() * factor == pytest.approx(value, rel=0, abs=allowed)
    np.testing.assert_allclose(derivative.data * factor, slope, rtol=0, atol=allowed)


def test_the_share_of_clipped_tokens_is_that_of_torchtune():
    found = clip_fraction(GIVEN["logp"], GIVEN["old"], GIVEN["each"], COUNTED, low=CLIP)
    assert found == pytest.approx(THEIRS["torchtune: rlhf.loss.PPOLoss, clipped"], abs=1e-13)


def test_dual_clipping_is_at_work_in_the_case():
    """Without it another number stands there, so the comparison holds the bound."""
    logp = Tensor(GIVEN["logp"])
    single = clipped_loss(logp, GIVEN["far"], GIVEN["each"], COUNTED, low=LOW, high=HIGH)
    assert abs(single.item() - dual_loss("token")[0].item()) > 0.01


def test_distillation_at_a_temperature_is_that_of_trl():
    """Means over counted tokens, without a factor temperature^2; the third row's gradient."""
    student = trained("student")
    found = kd_loss(student, GIVEN["teacher"], COUNTED, TEMPERATURE)
    value, slope = THEIRS["trl: GKDTrainer.generalized_jsd_loss, beta 0"]
    assert found.item() == pytest.approx(value, rel=0, abs=1e-13)
    np.testing.assert_allclose(grad(found, [student])[0].data[2], slope, rtol=0, atol=1e-13)


def test_the_other_divergence_is_that_of_trl_and_of_torchtune():
    found = reverse_kl(
        Tensor(GIVEN["teacher"]), Tensor(GIVEN["student"]), TEMPERATURE, COUNTED
    ).item()
    theirs = THEIRS["trl: GKDTrainer.generalized_jsd_loss, beta 1"]
    assert found == pytest.approx(theirs, rel=0, abs=1e-13)
    assert found == pytest.approx(THEIRS["torchtune: modules.loss.ReverseKLLoss"], abs=2e-7)


def test_distillation_of_torchtune_leaves_out_the_entropy_of_the_teacher():
    """It has no gradient. In float32."""
    logits = GIVEN["teacher"] / TEMPERATURE
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    entropy = -(p * np.log(p)).sum(axis=-1)[COUNTED].mean()
    found = kd_loss(Tensor(GIVEN["student"]), GIVEN["teacher"], COUNTED, TEMPERATURE).item()
    assert found + entropy == pytest.approx(
        THEIRS["torchtune: modules.loss.ForwardKLLoss"], abs=4e-7
    )


def test_rewards_of_tokens_are_those_of_torchtune():
    placed = place_terminal_reward(GIVEN["rewards"], COUNTED)
    found = kl_in_reward(placed, GIVEN["logp"], GIVEN["reference"], COUNTED, KL_WEIGHT)
    theirs = THEIRS["torchtune: rlhf.get_rewards_ppo"]
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-13)


TWO_RETURNS = [name for name in THEIRS if name.endswith("returns")]


@pytest.mark.parametrize("name", TWO_RETURNS)
def test_returns_are_theirs(name):
    theirs = np.array(THEIRS[name])[COUNTED]
    np.testing.assert_allclose(RETURNS[COUNTED], theirs, rtol=0, atol=1e-13)


def of_unbiased_variance(values):
    """whitened() with the variance that divides by N - 1.

    The others add 1e-8 after they have multiplied the variance by N / (N - 1).
    """
    less = (N - 1) / N
    return whitened(values, COUNTED, eps=1e-8 * less) * np.sqrt(less)


def test_whitening_is_that_of_trl_but_for_its_unbiased_variance():
    found, mean = of_unbiased_variance(GIVEN["each"]), GIVEN["each"][COUNTED].mean()
    theirs = np.array(THEIRS["trl: core.masked_whiten"])
    np.testing.assert_allclose(found[COUNTED], theirs[COUNTED], rtol=0, atol=1e-13)
    theirs = np.array(THEIRS["trl: core.masked_whiten, shift_mean=False"])
    np.testing.assert_allclose(found[COUNTED] + mean, theirs[COUNTED], rtol=0, atol=1e-13)


def test_advantages_are_those_of_verl():
    """GAE, whitened with the unbiased variance; its means divide by N + 1e-8."""
    theirs = np.array(THEIRS["verl: compute_gae_advantage_return, advantages"])
    found = of_unbiased_variance(advantages_to_go())
    np.testing.assert_allclose(found[COUNTED], theirs[COUNTED], rtol=0, atol=2e-9)


def test_advantages_of_torchtune_have_the_mean_that_whitening_takes_away():
    """Its shift_mean=True adds the mean; TRL's, from which it is taken, takes it away.

    N / (N - 1) is float32 in it.
    """
    theirs = np.array(THEIRS["torchtune: rlhf.estimate_advantages, advantages"])
    mean = advantages_to_go()[COUNTED].mean()
    found = of_unbiased_variance(advantages_to_go()) + mean
    assert abs(mean) > 0.1  # the difference is there to be seen
    np.testing.assert_allclose(found[COUNTED], theirs[COUNTED], rtol=0, atol=1e-7)


def test_the_reference_point_of_kto_is_that_of_trl():
    found = kto_reference_point(GIVEN["other"], GIVEN["other_reference"])
    assert found == pytest.approx(THEIRS["trl: KTOTrainer.kto_loss, KL"], rel=0, abs=1e-13)


LABELS = ("incorrect", "correct")  # TRL: class 1 is a correct step


def steps_of_trl():
    """The MarkedBatch of the case's solution. TRL ends every step with its separator."""
    letters = Letters().encode
    parts = [letters(step + "\n") for step in STEPS]
    text = marked_text(letters(PROMPT), parts, ["correct", "incorrect", "incorrect"])
    return ProcessModeling(LABELS).make_batch([text])


def test_labels_of_steps_stand_where_trl_puts_them():
    made, row = steps_of_trl(), THEIRS["trl: PRMTrainer.tokenize_row"]
    assert made.inputs.tolist() == [row["input_ids"]]
    theirs = np.array(row["labels"])
    assert (made.targets[0] == np.where(theirs == -100, IGNORE, theirs)).all()
    assert made.tokens == len(STEPS)


def test_every_number_is_compared():
    text = Path(__file__).read_text()
    left = [name for name in THEIRS if f'"{name}' not in text or name == "versions"]
    assert left == ["versions", *TWO_RETURNS] and len(TWO_RETURNS) == 2

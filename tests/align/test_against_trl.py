"""Losses are those of TRL's trainers; numbers that these gave are in tests/oracle/trl_losses.json.

What each is a mean of, and where TRL counts otherwise, stands beside the comparison.
"""

import json

import numpy as np
import pytest

from tests.oracle.trl_losses import (
    ALPHA,
    BETA,
    FILE,
    GAMMA,
    GROUP,
    HIGH,
    KL_WEIGHT,
    LAMBDA_GOOD,
    LONGEST,
    LOW,
    SMOOTHING,
    case,
)
from tinylm.align import averaged, summed
from tinylm.align.policy.clipping import clipped_loss
from tinylm.align.policy.groups import (
    dapo_loss,
    dr_grpo_loss,
    group_advantages,
    grpo_loss,
    rloo_advantages,
    rloo_loss,
)
from tinylm.align.policy.kl import kl_loss, weighted_k3
from tinylm.align.policy.sequences import cispo_loss, gspo_loss
from tinylm.align.preference.apo import apo_down, apo_zero
from tinylm.align.preference.divergences import f_dpo
from tinylm.align.preference.dpo import dpo, robust_dpo
from tinylm.align.preference.kto import kto, kto_reference_point
from tinylm.align.preference.margins import hinge, ipo, slic
from tinylm.align.preference.no_reference import cpo, orpo, simpo
from tinylm.align.rewards.pairwise import pairwise_loss
from tinylm.align.supervised.sft import sft_loss
from tinylm.align.weak_to_strong.distillation import kd_loss
from tinylm.autograd import Tensor, grad, log_softmax

THEIRS = json.loads(FILE.read_text())
GIVEN = case()
COUNTED = GIVEN["counted"]
LOGP, OLD, REFERENCE = Tensor(GIVEN["logp"]), GIVEN["old"], GIVEN["reference"]
SUMS, MEANS = summed(LOGP, COUNTED), averaged(LOGP, COUNTED)
REF_SUMS = REFERENCE.sum(axis=1)
REF_MEANS = REF_SUMS / COUNTED.sum(axis=1)
ADVANTAGES = np.array(THEIRS["advantages"])
LEFT_OUT = rloo_advantages(GIVEN["rewards"].reshape(-1, GROUP)).reshape(-1)


def sides(values):
    """(chosen, rejected), the first and the last four rows."""
    return values[:4], values[4:]


def pairs(loss, logp=SUMS, reference=REF_SUMS, **options):
    """The mean over pairs of a loss that compares with a reference."""
    return loss(*sides(logp), *sides(reference), **options).mean()


def alone(loss, logp, **options):
    """The same without a reference."""
    return loss(*sides(logp), **options).mean()


def odds_ratio():
    """ORPO's second term: TRL averages the first one over the tokens of the batch."""
    return (orpo(*sides(MEANS), weight=BETA) + MEANS[:4]).mean()


def grpo_with_weighted_k3():
    clipped = clipped_loss(LOGP, OLD, ADVANTAGES, COUNTED, how="sequence", low=LOW)
    return clipped + kl_loss(weighted_k3(LOGP, OLD, REFERENCE), COUNTED, KL_WEIGHT, "sequence")


def whole(values):
    """(B, T) -> (B, 1): a response as one action."""
    return values.sum(axis=1).reshape(8, 1)


POLICY = LOGP, OLD, ADVANTAGES, COUNTED
LOSSES = {
    # Sums of tokens, means over pairs.
    "dpo sigmoid": lambda: pairs(dpo, beta=BETA),
    "dpo hinge": lambda: pairs(hinge, beta=BETA),
    "dpo robust": lambda: pairs(robust_dpo, beta=BETA, label_smoothing=SMOOTHING),
    "dpo apo_zero": lambda: pairs(apo_zero, beta=BETA),
    "dpo apo_down": lambda: pairs(apo_down, beta=BETA),
    "dpo forward_kl": lambda: pairs(f_dpo, beta=BETA, divergence="forward_kl"),
    "dpo js_divergence": lambda: pairs(f_dpo, beta=BETA, divergence="jensen_shannon"),
    # TRL's coefficient is 1 - a.
    "dpo alpha_divergence": lambda: pairs(f_dpo, beta=BETA, divergence=ALPHA),
    # Means of tokens, means over pairs.
    "dpo ipo": lambda: pairs(ipo, MEANS, REF_MEANS, beta=BETA),
    "dpo sigmoid_norm": lambda: pairs(dpo, MEANS, REF_MEANS, beta=BETA),
    # TRL adds the likelihood of the chosen answers apart from this, divided by their tokens.
    "cpo sigmoid": lambda: alone(cpo, SUMS, beta=BETA, weight=0.0),
    # Under a reference of one probability for all, the same with smoothed labels is cDPO.
    "cpo sigmoid, smoothed": lambda: pairs(
        dpo, reference=np.zeros(8), beta=BETA, label_smoothing=SMOOTHING
    ),
    # simpo_gamma is gamma: TRL divides it by beta, and multiplies by beta.
    "cpo simpo": lambda: alone(simpo, MEANS, beta=BETA, gamma=GAMMA),
    "cpo hinge, beta 1": lambda: alone(slic, SUMS),
    "orpo odds ratio": odds_ratio,
    # A mean over answers, good and bad together.
    "kto": lambda: kto(
        SUMS,
        REF_SUMS,
        GIVEN["desirable"],
        kto_reference_point(GIVEN["other"], GIVEN["other_reference"]),
        beta=BETA,
        weight_good=LAMBDA_GOOD,
    ).mean(),
    # Means over responses of means over their tokens.
    "grpo grpo": lambda: clipped_loss(*POLICY, how="sequence", low=LOW),
    "grpo, k3": lambda: grpo_loss(LOGP, OLD, REFERENCE, ADVANTAGES, COUNTED, KL_WEIGHT, LOW),
    # Means over all tokens; TRL's dapo counts those of all processes and micro-batches, bnpo not.
    "grpo bnpo": lambda: clipped_loss(*POLICY, low=LOW),
    "grpo dapo": lambda: dapo_loss(*POLICY, LOW, HIGH),
    "grpo dr_grpo": lambda: dr_grpo_loss(*POLICY, longest=LONGEST, clip_at=LOW),
    # The upper bound of the ratio is 1 + high; TRL is given it whole as epsilon_high.
    "grpo cispo": lambda: cispo_loss(*POLICY, high=HIGH),
    "grpo, k3 times the ratio": grpo_with_weighted_k3,
    "grpo sequence": lambda: gspo_loss(LOGP, OLD, ADVANTAGES, COUNTED, LOW, LOW),
    # RLOO in TRL clips the ratio of whole responses.
    "rloo": lambda: clipped_loss(whole(LOGP), whole(OLD), LEFT_OUT, np.ones((8, 1), bool), low=LOW),
    "reward": lambda: pairwise_loss(*sides(Tensor(GIVEN["rewards"]))),
    "reward, margins": lambda: pairwise_loss(
        *sides(Tensor(GIVEN["rewards"])), margin=GIVEN["margins"]
    ),
    "reward, centered": lambda: pairwise_loss(*sides(Tensor(GIVEN["rewards"])), center=0.01),
    # Means over counted tokens.
    "gkd, beta 0": lambda: kd_loss(Tensor(GIVEN["student"]), GIVEN["teacher"], COUNTED),
    "sft": lambda: sft_loss(log_softmax(Tensor(GIVEN["student"]))[:, :, 0], COUNTED),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_that_of_trl(name):
    # sums in float64; those of float32 are named in the file that made the numbers
    single = "divergence" in name or "_kl" in name or name.startswith("orpo")
    allowed = 2e-7 if single else 1e-12
    assert LOSSES[name]().item() == pytest.approx(THEIRS[name], rel=0, abs=allowed)


def test_every_number_is_compared():
    others = {"versions", "advantages", "rloo gradient"}
    assert set(LOSSES) | others == set(THEIRS)


def test_advantages_are_those_of_trl():
    """With its standard deviation, which divides by G - 1 (and rounds that to float32)."""
    found = group_advantages(GIVEN["rewards"].reshape(-1, GROUP), ddof=1)
    np.testing.assert_allclose(found.reshape(-1), ADVANTAGES, rtol=1e-7)


def test_the_gradient_of_rloo_is_that_of_trl_where_the_policies_agree():
    """The values differ: one is a ratio times an advantage, the other a log-probability."""
    x = Tensor(OLD, requires_grad=True)
    (found,) = grad(rloo_loss(x, LEFT_OUT, COUNTED), [x])
    np.testing.assert_allclose(found.data, THEIRS["rloo gradient"], rtol=0, atol=1e-15)

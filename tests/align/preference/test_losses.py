"""Losses of preference pairs: values of the papers, starts, derivatives, errors they reject."""

import math

import numpy as np
import pytest

from tests.align.preference.one_pair import (
    EXACT,
    REJECTED,
    pair,
    sigma,
    tensor,
)
from tinylm.align.preference import (
    LOSSES,
    apo_down,
    apo_zero,
    cpo,
    dpo,
    f_dpo,
    hinge,
    implicit_reward,
    ipo,
    log_odds,
    log_ratio,
    orpo,
    paired_kto,
    preference_loss,
    preference_probability,
    robust_dpo,
    simpo,
    slic,
    spin,
)
from tinylm.align.preference.losses import check_options
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError


def test_dpo_of_one_pair_is_the_worked_example():
    """Margin .1 (1 + 1) = .2: P = .5498339973, loss .5981388694."""
    np.testing.assert_allclose(preference_probability(*pair()).data, 0.5498339973, atol=5e-11)
    np.testing.assert_allclose(dpo(*pair()).data, 0.5981388694, atol=5e-11)
    assert dpo(*pair(), beta=0.1).data == dpo(*pair()).data


def test_dpo_agrees_with_torchtune():
    """The three pairs of torchtune's own test of its DPOLoss."""
    policy = tensor(-0.5, -10.0, -1.0), tensor(-0.1, -30.0, -21.0)
    reference = np.array([-0.5, -10.1, -0.1]), np.array([-0.1, -20.1, -0.1])
    found = dpo(*policy, *reference, beta=0.1).data
    np.testing.assert_allclose(found, [0.693147, 0.313262, 0.126928], rtol=0, atol=5e-7)


def test_the_implicit_reward_of_the_optimal_policy_is_the_reward():
    """ref = (.5, .3, .2), r = (1, 0, -1), beta = .5: beta log(pi*/ref) and then with log Z."""
    ref, log_z = np.log([0.5, 0.3, 0.2]), 1.3916786165
    best = ref + np.array([1, 0, -1]) / 0.5 - log_z
    without = implicit_reward(best, ref, 0.5)
    np.testing.assert_allclose(without, [0.304161, -0.695839, -1.695839], atol=5e-7)
    np.testing.assert_allclose(implicit_reward(best, ref, 0.5, log_z), [1, 0, -1], atol=1e-12)
    assert implicit_reward(np.array(2.0), np.array(1.0)) == pytest.approx(0.1)  # beta


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("name", [name for name, one in LOSSES.items() if one.reference])
def test_a_loss_starts_at_its_starting_value(name, beta):
    """Policy = reference: whatever the data, and also where the answers differ in probability."""
    row, options = LOSSES[name], {}
    if row.point:
        options["point"] = 0.0
    logs = np.array([-3.0, -7.0]), np.array([-5.0, -2.0])
    found = row.function(*(tensor(*one) for one in logs), *logs, beta=beta, **options)
    np.testing.assert_allclose(found.data, row.start(beta), **EXACT)


def test_the_known_starts():
    assert LOSSES["dpo"].start(0.3) == pytest.approx(0.6931471805599453, abs=1e-15)
    assert LOSSES["ipo"].start(0.1) == pytest.approx(25)  # (1 / .2)^2
    assert LOSSES["hinge"].start(0.1) == 1


# The formulas again in plain floats, at one pair and beta .5: rho_c = 1, rho_r = -1.
RULES = {
    "dpo": (dpo, {}, -math.log(sigma(1.0))),
    "smoothed": (
        dpo,
        {"label_smoothing": 0.1},
        -0.9 * math.log(sigma(1.0)) - 0.1 * math.log(sigma(-1.0)),
    ),
    "robust": (
        robust_dpo,
        {"label_smoothing": 0.1},
        (-0.9 * math.log(sigma(1.0)) + 0.1 * math.log(sigma(-1.0))) / 0.8,
    ),
    "hinge": (hinge, {}, 0.0),  # 1 - .5 * 2 = 0
    "ipo": (ipo, {}, (2 - 1.0) ** 2),
    "apo-zero": (apo_zero, {}, 1 - sigma(0.5) + sigma(-0.5)),
    "apo-down": (apo_down, {}, sigma(0.5) + 1 - sigma(1.0)),
    "kto": (paired_kto, {"point": 0.2}, (1 - sigma(0.4) + 1 - sigma(0.6)) / 2),
    "kto-weights": (
        paired_kto,
        {"point": 0.2, "weight_good": 1.5, "weight_bad": 0.5},
        (1.5 * (1 - sigma(0.4)) + 0.5 * (1 - sigma(0.6))) / 2,
    ),
    "forward": (f_dpo, {"divergence": "forward_kl"}, -math.log(sigma(0.5 * (math.e - 1 / math.e)))),
    "js": (
        f_dpo,
        {"divergence": "jensen_shannon"},
        -math.log(sigma(0.5 * (math.log(2 * math.e / (1 + math.e)) - math.log(2 / (math.e + 1))))),
    ),
    "alpha": (
        f_dpo,
        {"divergence": 0.5},
        -math.log(sigma(0.5 * (math.exp(0.5) - math.exp(-0.5)) / 0.5)),
    ),
    "spin": (spin, {}, -math.log(sigma(1.0))),
}


@pytest.mark.parametrize("name", RULES)
def test_a_loss_is_its_formula(name):
    function, options, expected = RULES[name]
    found = function(*pair(), beta=0.5, **options)
    np.testing.assert_allclose(found.data, [expected], **EXACT)


@pytest.mark.parametrize(
    "function, options, expected",
    [
        (slic, {}, 0.5),  # 1 - (-1) + (-1.5)
        (slic, {"margin": 0.3}, 0.0),
        (slic, {"weight": 0.2}, 0.5 + 0.2),
        (slic, {"weight": 0.2, "target": np.array([-3.0])}, 0.5 + 0.6),
        (simpo, {}, math.log(1 + math.exp(1.0 - 2 * 0.5))),
        (simpo, {"beta": 3.0, "gamma": 0.6}, math.log(1 + math.exp(0.6 - 3 * 0.5))),
        (cpo, {}, -math.log(sigma(0.05)) + 1),
        (cpo, {"beta": 2.0, "weight": 0.3}, -math.log(sigma(1.0)) + 0.3),
    ],
)
def test_a_loss_without_reference_is_its_formula(function, options, expected):
    found = function(tensor(-1.0), tensor(-1.5), **options)
    np.testing.assert_allclose(found.data, [expected], **EXACT)


def test_the_weight_of_cpo_multiplies_the_likelihood_of_the_chosen_answer():
    found = cpo(tensor(-2.0), tensor(-3.0), weight=0.3)
    np.testing.assert_allclose(found.data, [-math.log(sigma(0.1)) + 0.3 * 2.0], **EXACT)


def test_orpo_is_its_formula():
    p, q = math.exp(-1.0), math.exp(-1.5)
    ratio = math.log(p / (1 - p)) - math.log(q / (1 - q))
    for options, weight in (({}, 0.1), ({"weight": 0.5}, 0.5)):
        found = orpo(tensor(-1.0), tensor(-1.5), **options)
        np.testing.assert_allclose(found.data, [1 - weight * math.log(sigma(ratio))], **EXACT)


def test_the_odds_of_a_certain_answer_stay_finite():
    """log p = 0 would have infinite odds: it counts as -1e-6, of odds near a million."""
    found = log_odds(tensor(0.0, -1e-6, -1.0))
    np.testing.assert_allclose(found.data[:2], math.log(1e6), rtol=1e-6)
    found.sum().backward()


# Derivatives by the chosen answer and the rejected one, in closed form.
@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_the_derivative_of_dpo_is_closed(beta):
    """-beta sigmoid(r_r - r_c) (d log pi(y_c) - d log pi(y_r))   (Rafailov et al. 2023)"""
    chosen, rejected, *reference = pair()
    dpo(chosen, rejected, *reference, beta=beta).sum().backward()
    np.testing.assert_allclose(chosen.grad.data, -beta * sigma(-beta * 2), **EXACT)
    np.testing.assert_allclose(rejected.grad.data, beta * sigma(-beta * 2), **EXACT)


@pytest.mark.parametrize("name", ["dpo", "robust", "f-dpo", "hinge", "ipo", "apo-down"])
def test_a_loss_of_a_pair_raises_the_chosen_answer_at_the_start(name):
    """apo-down lowers both, and the rejected answer more."""
    logs = np.array([-3.0]), np.array([-5.0])
    chosen, rejected = tensor(-3.0), tensor(-5.0)
    LOSSES[name].function(chosen, rejected, *logs, beta=0.1).sum().backward()
    assert chosen.grad.data < rejected.grad.data
    assert rejected.grad.data > 0


@pytest.mark.parametrize(
    "function, by_chosen, by_rejected",
    [
        # at the start sigmoid' is 1/4
        (apo_zero, -0.1 / 4, 0.1 / 4),
        (apo_down, 0.1 / 4 - 0.1 / 4, 0.1 / 4),
        (ipo, 2 * (0 - 5.0), -2 * (0 - 5.0)),
        (hinge, -0.1, 0.1),
    ],
)
def test_closed_derivatives_at_the_start(function, by_chosen, by_rejected):
    chosen, rejected = tensor(-3.0), tensor(-5.0)
    function(chosen, rejected, np.array([-3.0]), np.array([-5.0]), beta=0.1).sum().backward()
    np.testing.assert_allclose(chosen.grad.data, by_chosen, atol=1e-15)
    np.testing.assert_allclose(rejected.grad.data, by_rejected, atol=1e-15)


def test_a_hinge_beyond_its_margin_has_no_gradient_and_a_square_pulls_back():
    far = pair(chosen=-2.0, rejected=-40.0)  # rho_c - rho_r = 11 + 26
    assert hinge(*far).data == 0
    chosen = far[0]
    ipo(*far, beta=0.5).sum().backward()  # wants 1
    assert chosen.grad.data > 0  # descent lowers the chosen answer


def test_smoothed_labels_have_a_finite_optimum():
    """cDPO is smallest at sigmoid(d) = 1 - e: there its derivative is 0."""
    best = math.log(0.8 / 0.2)
    chosen = tensor(best)
    dpo(chosen, tensor(0.0), [0.0], [0.0], beta=1.0, label_smoothing=0.2).sum().backward()
    np.testing.assert_allclose(chosen.grad.data, 0, atol=1e-15)


@pytest.mark.parametrize("e", [0.0, 0.1, 0.4])
def test_robust_dpo_is_unbiased_under_flipped_labels(e):
    """The expectation over flips with probability e is the loss of clean labels."""
    chosen, rejected, ref_chosen, ref_rejected = pair()
    right = robust_dpo(chosen, rejected, ref_chosen, ref_rejected, 0.5, e).data
    flipped = robust_dpo(rejected, chosen, ref_rejected, ref_chosen, 0.5, e).data
    clean = dpo(*pair(), beta=0.5).data
    np.testing.assert_allclose((1 - e) * right + e * flipped, clean, **EXACT)
    smoothed = dpo(*pair(), beta=0.5, label_smoothing=e).data  # cDPO is not
    default = robust_dpo(chosen, rejected, ref_chosen, ref_rejected, 0.5).data
    assert (default == right).all() == (e == 0.1)
    assert e == 0 or abs((1 - e) * smoothed + e * clean - clean) > 1e-3


@pytest.mark.parametrize("e", [0.5, 1.0, -0.1])
def test_robust_dpo_needs_labels_that_are_mostly_right(e):
    with pytest.raises(ConfigError, match="below 1/2"):
        robust_dpo(*pair(), label_smoothing=e)


def test_the_same_loss_for_far_margins():
    """exp would overflow: -log sigmoid(-1000) is 1000, and -log sigmoid(1000) 0."""
    far = pair(chosen=-1e4, rejected=REJECTED)
    np.testing.assert_allclose(dpo(*far).data, 0.1 * (1e4 - 13 - 1), rtol=1e-12)
    assert dpo(*pair(rejected=-1e6)).data < 1e-300


def test_spin_is_dpo_against_own_samples():
    np.testing.assert_array_equal(spin(*pair()).data, dpo(*pair()).data)


@pytest.mark.parametrize("name", LOSSES)
def test_a_reference_gets_no_gradient(name):
    row, options = LOSSES[name], {}
    chosen, rejected = tensor(-1.0), tensor(-1.5)
    constants = tensor(-1.2), tensor(-1.1)
    given = constants
    if not row.reference:
        given = ()
    if row.point:
        options["point"] = 0.1
    row.function(chosen, rejected, *given, **options).sum().backward()
    assert chosen.grad is not None
    assert all(one.grad is None for one in constants)
    assert log_ratio(chosen, constants[0]).data == pytest.approx(0.2)


@pytest.mark.parametrize("name", LOSSES)
def test_every_pair_has_its_own_loss(name):
    """(B,) in, (B,) out: pair 0 of three is what it is alone."""
    row, options = LOSSES[name], {}
    if row.point:
        options["point"] = 0.1
    logs = [np.array([-1.0, -2.0, -0.5]), np.array([-1.5, -0.3, -4.0])]
    logs += [np.array([-1.2, -2.0, -0.7]), np.array([-1.1, -0.9, -1.0])]
    logs = logs[: 2 + 2 * row.reference]
    found = row.function(*(Tensor(one) for one in logs), **options)
    alone = row.function(*(Tensor(one[:1]) for one in logs), **options)
    assert found.shape == (3,)
    np.testing.assert_allclose(found.data[:1], alone.data, **EXACT)


# Errors that people make, each a formula that must differ from ours at the worked pair.
WRONG = {
    "swapped pair": lambda c, r, fc, fr: dpo(r, c, fr, fc, 0.5),
    "reference swapped": lambda c, r, fc, fr: dpo(c, r, fr, fc, 0.5),
    "no reference": lambda c, r, fc, fr: dpo(c, r, [0.0], [0.0], 0.5),
    "sign": lambda c, r, fc, fr: -dpo(c, r, fc, fr, 0.5),
    "beta outside the sigmoid": lambda c, r, fc, fr: 0.5 * dpo(c, r, fc, fr, 1.0),
    "reference added": lambda c, r, fc, fr: dpo(c, r, -fc, -fr, 0.5),
    "beta divides": lambda c, r, fc, fr: dpo(c, r, fc, fr, 1 / 0.5),
}


@pytest.mark.parametrize("what", WRONG)
def test_dpo_with_an_error_is_another_loss(what):
    assert abs(WRONG[what](*pair()).data - RULES["dpo"][2]) > 0.05


def test_gamma_of_simpo_is_a_margin_and_not_a_share_of_beta():
    """gamma / beta = .5 in its place, or beta gamma = 2, would give other losses."""
    right = simpo(tensor(-1.0), tensor(-1.5), beta=2.0, gamma=1.0).data
    for wrong in (0.5, 2.0):
        assert abs(simpo(tensor(-1.0), tensor(-1.5), beta=2.0, gamma=wrong).data - right) > 0.1


def test_names_of_losses():
    assert preference_loss("ipo").mean and not preference_loss("dpo").mean
    assert {name for name, one in LOSSES.items() if one.mean} == {"ipo", "orpo", "simpo"}
    assert {name for name, one in LOSSES.items() if not one.reference} == {
        "slic",
        "cpo",
        "orpo",
        "simpo",
    }
    with pytest.raises(ConfigError, match="did you mean 'simpo'"):
        preference_loss("simpoo")
    with pytest.raises(ConfigError, match="choose one of dpo, robust, .*simpo$"):
        preference_loss("reinforce")


@pytest.mark.parametrize("name", LOSSES)
def test_options_are_checked_without_data(name):
    check_options(name, {})
    check_options(name, {option: v for option, v in LOSSES[name].options.items() if v is not None})
    with pytest.raises(ConfigError, match=f"the loss '{name}' has no option 'nothing'; it has "):
        check_options(name, {"nothing": 1})


@pytest.mark.parametrize(
    "name, option, bad, words",
    [
        ("robust", "label_smoothing", 0.5, "below 1/2"),
        ("f-dpo", "divergence", "none", "divergence 'none' is not one of"),
        ("f-dpo", "divergence", 1.0, "a number between 0 and 1"),
        ("dop", "beta", 1, "did you mean 'dpo'"),
    ],
)
def test_a_value_that_a_loss_refuses_is_refused_without_data(name, option, bad, words):
    with pytest.raises(ConfigError, match=words):
        check_options(name, {option: bad})

"""Defaults are those that the docstrings and the papers state."""

import inspect

import pytest

from tests.prompt.seeds import default_seeds
from tinylm.align import (
    aggregate,
    feedback,
    inference,
    logprobs,
    preference,
    prompting,
    rewards,
    rlhf,
    selection,
    supervised,
    synthesis,
    verifiers,
    weak_to_strong,
)
from tinylm.align.exact import tokens
from tinylm.align.policy import (
    advantages,
    clipping,
    critic,
    fixed_points,
    groups,
    sequences,
    surrogates,
    trust_region,
)
from tinylm.align.preference import tuning
from tinylm.align.rewards import pairwise
from tinylm.align.rlhf import experience

PPO = {"low": 0.2, "high": None}  # Schulman et al. 2017: epsilon .2 on either side
BETA = {"beta": 0.1}  # Rafailov et al. 2023; TRL
STATED = [
    (aggregate, {"how": "token", "total": None}),
    (logprobs.response_logprobs, {"temperature": 1.0}),
    (logprobs.response_logits, {"temperature": 1.0}),
    (logprobs.frozen_logprobs, {"temperature": 1.0}),
    (tokens.returns_to_go, {"gamma": 1.0}),
    (tokens.values, {"gamma": 1.0}),
    (tokens.action_values, {"gamma": 1.0}),
    (tokens.advantages, {"gamma": 1.0}),
    (surrogates.policy_gradient_loss, {"how": "token", "total": None}),
    (surrogates.importance_loss, {"how": "token", "total": None}),
    (surrogates.check_first_ratio, {"tolerance": 1e-4}),
    (advantages.td_errors, {"gamma": 1.0, "bootstrap": None}),
    (advantages.gae, {"gamma": 1.0, "lam": 0.95, "bootstrap": None}),  # Ziegler et al. 2019
    (advantages.whitened, {"shift": True, "eps": 1e-8}),
    (critic.value_loss, {"how": "token", "total": None}),
    (critic.td_value_loss, {"gamma": 1.0, "semi_gradient": True, "total": None}),
    (critic.clipped_value_loss, {"clip_at": 0.2, "how": "token", "total": None}),
    (clipping.clipped_surrogate, PPO),
    (clipping.book_clipped_surrogate, PPO),
    (clipping.dual_clipped_surrogate, PPO | {"bound": 3.0}),  # Ye et al. 2020
    (clipping.clip_fraction, PPO),
    (groups.group_advantages, {"scale": True, "eps": 1e-4, "ddof": 0}),
    (groups.grpo_loss, {"beta": 0.04, "clip_at": 0.2, "total": None}),  # Shao et al. 2024
    (groups.dr_grpo_loss, {"clip_at": 0.2, "total": None}),
    (groups.dapo_loss, {"low": 0.2, "high": 0.28, "total": None}),  # Yu et al. 2025
    (sequences.gspo_loss, {"low": 3e-4, "high": 4e-4, "total": None}),  # Zheng et al. 2025
    (sequences.gspo_token_loss, {"low": 3e-4, "high": 4e-4, "how": "sequence", "total": None}),
    (sequences.cispo_loss, {"low": None, "high": 0.2, "how": "token", "total": None}),
    (trust_region.trpo_step, {"delta": 0.01, "shrink": 0.5, "tries": 20}),
    (experience.assess, {"temperature": 1.0, "batch_size": 16}),
    (rlhf.train_policy, {"method": "ppo", "steps": 100, "after_step": None}),
    (
        rlhf.policy_trainer,
        {"method": "ppo", "reference": None, "value": None, "eos": None}
        | {"learning_rate": 1e-4, "rate": None, "comm": None},
    ),
    (fixed_points.descend, {"rate": 1.0, "steps": 20_000, "tolerance": 1e-10, "window": 1}),
    (fixed_points.follow, {"rate": 1.0, "steps": 20_000, "tolerance": 1e-10, "window": 1}),
    (fixed_points.token_weights, {"redraw": False}),
    (fixed_points.sampled_loss, {"penalty": None}),
    (fixed_points.population_advantages, {"scale": True}),
    (preference.implicit_reward, BETA | {"log_partition": 0.0}),
    (preference.preference_probability, BETA),
    (preference.dpo, BETA | {"label_smoothing": 0.0}),
    (preference.robust_dpo, BETA | {"label_smoothing": 0.1}),
    (preference.spin, BETA),
    (preference.f_dpo, BETA | {"divergence": "reverse_kl"}),
    (preference.hinge, BETA),
    (preference.slic, {"margin": 1.0, "target": None, "weight": 0.0}),
    (preference.ipo, BETA),
    (preference.kto, BETA | {"weight_good": 1.0, "weight_bad": 1.0}),
    (preference.paired_kto, BETA | {"weight_good": 1.0, "weight_bad": 1.0}),
    (preference.apo_zero, BETA),
    (preference.apo_down, BETA),
    (preference.orpo, {"weight": 0.1}),  # Hong et al. 2024: lambda
    (preference.simpo, {"beta": 2.0, "gamma": 1.0}),  # Meng et al. 2024
    (preference.cpo, BETA | {"weight": 1.0}),
    (preference.preference_metrics, BETA),
    (
        preference.rso_samples,  # Liu et al. 2024: 8 of 64 candidates at beta .5
        {"candidates": 64, "kept": 8, "beta": 0.5, "maximum": None}
        | {"seed": 0, "eos": None, "temperature": 1.0},
    ),
    (preference.rso_pairs, {"kept": 8, "seed": 0}),
    (pairwise.pairwise_loss, {"margin": 0.0, "center": 0.0}),
    (pairwise.pairwise_loss_with_ties, {"tie": 1.0}),
    (pairwise.bradley_terry_scores, {"steps": 10000, "tolerance": 1e-12}),
    (tuning.row_logprobs, {"temperature": 1.0}),
    (tuning.with_reference, {"batch_size": 16, "temperature": 1.0}),
    (tuning.tune, {"batch_size": 16}),
    (tuning.prepared, {"batch_size": 16, "limit": None}),
    (tuning.preference_accuracy, {"batch_size": 16}),
    (
        prompting.train_controller,
        {"steps": 300, "group": 16, "learning_rate": 0.1, "seed": 0, "controller": None},
    ),
    (
        prompting.train_prompt_policy,
        {"steps": 100, "samples": 16, "learning_rate": 1e-2, "seed": 0, "entropy": 0.0},
    ),
]


@pytest.mark.parametrize("function, stated", STATED, ids=[f.__name__ for f, _ in STATED])
def test_defaults_are_as_stated(function, stated):
    parameters = inspect.signature(function).parameters.values()
    assert {p.name: p.default for p in parameters if p.default is not p.empty} == stated


ROOMS = [
    feedback,
    inference,
    preference,
    prompting,
    rewards,
    selection,
    supervised,
    synthesis,
    verifiers,
    weak_to_strong,
]


@pytest.mark.parametrize("room", ROOMS)
def test_every_seed_is_0_unless_it_is_given(room):
    seeds = default_seeds(room)
    assert seeds and all(seed == 0 for seed in seeds)

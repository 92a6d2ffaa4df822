"""Defaults are those that the docstrings and the papers state."""

import inspect

import pytest

from tinylm.align import aggregate, logprobs
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

PPO = {"low": 0.2, "high": None}  # Schulman et al. 2017: epsilon .2 on either side
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
    (fixed_points.descend, {"rate": 1.0, "steps": 20_000, "tolerance": 1e-10}),
    (fixed_points.population_advantages, {"scale": True}),
]


@pytest.mark.parametrize("function, stated", STATED, ids=[f.__name__ for f, _ in STATED])
def test_defaults_are_as_stated(function, stated):
    parameters = inspect.signature(function).parameters.values()
    assert {p.name: p.default for p in parameters if p.default is not p.empty} == stated

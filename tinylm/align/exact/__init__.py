"""Policies whose responses can all be listed: every expectation is a finite sum, with gradients.

policies.py       TablePolicy, ListedPolicy: log-probabilities of all responses; StepTable
expectations.py   expectation, Kullback-Leibler divergence, entropy
regularized.py    the objective with a penalty on leaving the reference; its optimum pi*
tokens.py         values, action values and advantages of every prefix
gradients.py      exact policy gradients, and the expectation of a loss of sampled responses

The counterpart without gradients is generate/protocol/enumerable.py.
"""

from tinylm.align.exact.expectations import entropy, expectation, kl
from tinylm.align.exact.gradients import (
    expected_loss,
    gradient_of,
    groups,
    performance,
    policy_gradient,
)
from tinylm.align.exact.policies import ListedPolicy, StepTable, TablePolicy
from tinylm.align.exact.regularized import (
    log_partition,
    objective,
    optimal_policy,
)
from tinylm.align.exact.tokens import action_values, advantages, returns_to_go, values

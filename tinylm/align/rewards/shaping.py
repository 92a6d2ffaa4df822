"""Rewards made dense without a change of what is best   (book section 4.4.1.2, eqs. 4.64 to 4.66).

    r'(s, a, s') = r(s, a, s') + gamma Phi(s') - Phi(s)        Ng et al. 1999

Along a trajectory the potentials cancel, sum_t gamma^t f_t = gamma^T Phi(s_T) - Phi(s_0), so every
policy's return changes by the same amount and Q'(s, a) = Q(s, a) - Phi(s): the best action stays
the best. With Phi = V the shaped reward is the TD error, the estimate of the advantage. A bonus
that is no difference of potentials may change the best policy. A reward at the last token alone is
no obstacle either: as a return (exact/tokens.py) it reaches every earlier token. Read next:
segments.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError, ShapeError


def shape_rewards(rewards: np.ndarray, potentials: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """r_t + gamma Phi(s_{t+1}) - Phi(s_t)   (book eqs. 4.64, 4.65)

    rewards     (..., T) array
    potentials  (..., T + 1) array, Phi of the states s_0 .. s_T; at the end of a text it must be 0,
                or the sum of rewards changes by it
    returns     (..., T) array
    raises      ShapeError for another number of potentials
    """
    rewards, potentials = np.asarray(rewards, np.float64), np.asarray(potentials, np.float64)
    if potentials.shape[:-1] != rewards.shape[:-1] or potentials.shape[-1] != rewards.shape[-1] + 1:
        raise ShapeError(
            f"shape_rewards: potentials {potentials.shape} for rewards {rewards.shape}: one more "
            "than rewards, as there is one more state than actions"
        )
    return rewards + gamma * potentials[..., 1:] - potentials[..., :-1]


@dataclass(frozen=True)
class MDP:
    """A Markov decision process of S states and A actions, so small that it can be solved exactly.

    transitions  (S, A, S): Pr(s' | s, a)
    rewards      (S, A, S): r(s, a, s')
    gamma        discount, 0 to less than 1
    raises       ConfigError for another discount, with which values may be infinite
    """

    transitions: np.ndarray
    rewards: np.ndarray
    gamma: float

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < 1:
            raise ConfigError(f"MDP: gamma is {self.gamma}; it must be at least 0 and below 1")

    def action_values(self, values: np.ndarray) -> np.ndarray:
        """Q(s, a) = sum over s' of Pr(s' | s, a) (r(s, a, s') + gamma V(s')): (S,) -> (S, A)."""
        return (self.transitions * (self.rewards + self.gamma * values)).sum(axis=-1)

    def shaped(self, potentials: np.ndarray) -> "MDP":
        """The same process with r + gamma Phi(s') - Phi(s), Phi (S,)."""
        bonus = self.gamma * potentials - potentials[:, None, None]  # (S, 1, S)
        return MDP(self.transitions, self.rewards + bonus, self.gamma)


def value_iteration(mdp: MDP, tolerance: float = 1e-13) -> np.ndarray:
    """The best action values, by V <- max over a of Q until V is fixed: Q (S, A).

    One step makes the largest error smaller by the factor gamma.
    """
    values = np.zeros(len(mdp.transitions))
    while True:
        Q = mdp.action_values(values)  # (S, A)
        new = Q.max(axis=1)
        if np.abs(new - values).max() <= tolerance:
            return Q
        values = new

"""Losses of the value model: it learns the return that is still to come   (book eq. 4.32)

    L_v = mean of (r_t + gamma V(s_{t+1}) - V(s_t))^2

The target r_t + gamma V(s_{t+1}) is a constant: then the gradient is -2 delta_t dV(s_t), and in
expectation V becomes the true value. With a gradient through the target (the residual gradient) a
large V(s_t) also lowers V(s_{t+1}), and what is learnt is another function where states are shared.
No factor 1/2; TRL has one, and PPO's vf_coef multiplies it. Read next: clipping.py.
"""

import numpy as np

from tinylm.align.aggregation import aggregate
from tinylm.align.constant import constant
from tinylm.autograd import Tensor, clip, concatenate, maximum, where
from tinylm.errors import ConfigError


def value_loss(
    values: Tensor,
    targets: np.ndarray,
    counted: np.ndarray,
    how: str = "token",
    total: int | None = None,
) -> Tensor:
    """Mean of (target_t - V(s_t))^2, the targets constants: returns, or advantages plus old values.

    values   (B, T) Tensor;  targets (B, T);  counted (B, T) bool
    how, total  see aggregate();  returns Tensor ()

    Check: tinylm gradcheck align.value_loss
    """
    return aggregate((values - constant(targets, values)) ** 2, counted, how, total)


def td_value_loss(
    values: Tensor,
    rewards: np.ndarray,
    counted: np.ndarray,
    gamma: float = 1.0,
    semi_gradient: bool = True,
    total: int | None = None,
) -> Tensor:
    """Mean over tokens of the squared temporal-difference error   (book eq. 4.32)

    values   (B, T) Tensor, of the states before each token; 0 after the last
    rewards  (B, T), constants;  counted (B, T) bool, the tokens of a response stand together
    semi_gradient  True: the target is a constant. False: it is differentiated too
    returns  Tensor ()

    Check, of the second form: tinylm gradcheck align.residual_value_loss
    """
    values = where(counted, values, 0.0)
    end = np.zeros_like(values.data[:, :1])
    after = concatenate([values[:, 1:], end], axis=1)  # V(s_{t+1}), (B, T)
    if semi_gradient:
        after = after.detach()
    delta = constant(rewards, values) + gamma * after - values
    return aggregate(delta**2, counted, "token", total)


def clipped_value_loss(
    values: Tensor,
    old: np.ndarray,
    targets: np.ndarray,
    counted: np.ndarray,
    clip_at: float = 0.2,
    how: str = "token",
    total: int | None = None,
) -> Tensor:
    """Mean of max((V - G)^2, (V_old + clip(V - V_old) - G)^2)   (Schulman et al. 2017's code)

    old      (B, T) values when the responses were drawn: a constant
    clip_at  > 0; a value that has moved this far towards its target has no gradient any more
    returns  Tensor ();  other arguments as of value_loss()

    Check: tinylm gradcheck align.clipped_value_loss
    """
    if not clip_at > 0:
        raise ConfigError(f"clipped_value_loss: clip_at is {clip_at}, it must be above 0")
    old, targets = constant(old, values), constant(targets, values)
    near = old + clip(values - old, -clip_at, clip_at)
    return aggregate(maximum((values - targets) ** 2, (near - targets) ** 2), counted, how, total)

"""What an algorithm converges to, with every expectation a sum   (book eq. 4.79)

PPO, A2C and RLOO with the penalty in the reward converge to pi* = pi_ref exp(r / beta) / Z. Others
have fixed points of their own:

    mean of the group with itself, k2:   pi* of the reward (G-1)/G r
    GRPO (std, k3), a large group:       where pi (A - E A) = beta (pi - pi_ref), A = (r - J) / std

In both k2 and k3 stand in the loss, where the factor (G-1)/G does not reach them. `descend` follows
the expected gradient of a loss on a table of logits, `expected_advantages` is what a response's
advantage is worth on average over the groups it may stand in.

Responses of different lengths tell apart what rests in one place where all have one token. At the
first step on new responses GSPO's loss is GRPO's, a mean of each response, and CISPO's is DAPO's, a
mean of all tokens; later steps differ, but begin where the first has no gradient. `token_weights`
is what a token weighs in them, `follow` takes any policy.
"""

from collections import deque
from collections.abc import Callable

import numpy as np

from tinylm.align.exact.gradients import gradient_of, groups
from tinylm.align.exact.policies import TablePolicy
from tinylm.align.policy.groups import informative
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError
from tinylm.nn.module import Module


def expected_advantages(
    chance: np.ndarray, rewards: np.ndarray, size: int, advantages: Callable
) -> np.ndarray:
    """E[A_i | y_i = y] over groups of `size` independent draws: (K,).

    chance      (K,) probabilities;  rewards (K,)
    advantages  function (M, G) -> (M, G), of groups.py
    """
    drawn = groups(len(chance), size)  # (M, G)
    own = advantages(np.asarray(rewards)[drawn])[:, 0]  # of the first; the others are alike
    others = chance[drawn[:, 1:]].prod(axis=1)  # (M,)
    return np.bincount(drawn[:, 0], weights=others * own, minlength=len(chance))


def population_advantages(
    chance: np.ndarray, rewards: np.ndarray, scale: bool = True
) -> np.ndarray:
    """(r - J) / std under the policy: what GRPO's advantage becomes in a large group, (K,)."""
    centered = rewards - chance @ rewards
    if not scale:
        return centered
    return centered / np.sqrt(chance @ centered**2)


def token_weights(
    chance: np.ndarray,
    rewards: np.ndarray,
    lengths: np.ndarray,
    size: int,
    advantages: Callable,
    how: str,
    redraw: bool = False,
) -> tuple[np.ndarray, ...]:
    """What a token of a response weighs in the expected loss of one group of `size` draws.

    chance      (K,) probabilities;  rewards (K,);  lengths (K,) tokens
    advantages  function (M, G) -> (M, G), of groups.py
    how         of aggregation.py: "sequence" has w = 1 / |y|, "token" G / (tokens of the group),
                "fixed" 1, what "token" comes to, but for a constant, in a batch of many groups
    redraw      True: groups of equal rewards are drawn again (DAPO's dynamic sampling)
    returns     E[A w | y] (K,), E[w | y] (K,): with the advantage, and of a penalty
    raises      ConfigError for another `how`
    """
    drawn = groups(len(chance), size)  # (M, G)
    first, rewards, lengths = drawn[:, 0], np.asarray(rewards), np.asarray(lengths)
    per_token = {
        "sequence": 1 / lengths[first],
        "token": size / lengths[drawn].sum(axis=1),
        "fixed": np.ones(len(drawn)),
    }
    if how not in per_token:
        raise ConfigError(f"token_weights: {how!r} is not one of {', '.join(per_token)}")
    others = chance[drawn[:, 1:]].prod(axis=1)  # (M,)
    if redraw:
        kept = others * informative(rewards[drawn])
        others = kept / (chance[first] @ kept)
    w = others * per_token[how]
    A = advantages(rewards[drawn])[:, 0]  # of the first; the others are alike
    return tuple(np.bincount(first, v, len(chance)) for v in (w * A, w))


def sampled_loss(logp: Tensor, weights: np.ndarray, penalty: Tensor | None = None) -> Tensor:
    """E_{y~pi}[- w(y) log pi(y) + penalty(y)] with probabilities and weights as constants.

    logp     (K,) Tensor;  weights (K,);  penalty (K,) Tensor or None, such as beta k3
    returns  Tensor (), whose gradient is the expected gradient of samples
    """
    terms = -(logp * weights)
    if penalty is not None:
        terms = terms + penalty
    return (terms * np.exp(logp.data)).sum()


def descend(
    loss: Callable,
    logits: np.ndarray,
    rate: float = 1.0,
    steps: int = 20_000,
    tolerance: float = 1e-10,
    window: int = 1,
) -> np.ndarray:
    """Follow the expected gradient of a loss on a table until it vanishes.

    loss     function of log-probabilities (K,) Tensor -> Tensor (), anew at each step
    logits   (K,) where to begin
    window   steps in a row without a gradient; a loss that takes n steps on the responses of one
             policy needs n, for a clipped loss has no gradient where every ratio is clipped
    returns  probabilities (K,) at the fixed point
    raises   ConfigError if it is not reached in `steps`
    """
    policy = TablePolicy(np.asarray(logits)[None])
    follow(lambda: loss(policy.logprobs()[0]), policy, rate, steps, tolerance, window)
    return np.exp(policy.logprobs().data[0])


def sampled_token_loss(
    logp: Tensor, pull: np.ndarray, share: np.ndarray, penalty: Tensor
) -> Tensor:
    """sampled_loss() of responses of several tokens, each token with the weights of its response.

    logp         (K, n) Tensor, 0 where nothing counts;  penalty (K, n) Tensor, 0 there too
    pull, share  (K,) of token_weights(), for the policy's part and for the penalty's
    returns      Tensor ()
    """
    terms = penalty * share[:, None] - logp * pull[:, None]
    return (terms * np.exp(logp.data.sum(axis=1))[:, None]).sum()


def follow(
    loss: Callable,
    policy: Module,
    rate: float = 1.0,
    steps: int = 20_000,
    tolerance: float = 1e-10,
    window: int = 1,
) -> None:
    """Follow the gradient of loss() on the parameters of a policy, in place, until it vanishes.

    loss    function without arguments -> Tensor ();  other arguments and errors as of descend()
    """
    recent = deque(maxlen=window)
    for _ in range(steps):
        gradients = gradient_of(loss(), policy)
        recent.append(max(np.abs(g).max() for g in gradients))
        if len(recent) == window and max(recent) < tolerance:
            return
        for parameter, gradient in zip(policy.parameters(), gradients):
            parameter.data[...] -= rate * gradient
    raise ConfigError(
        f"after {steps} steps the gradient is still {max(recent):.1e}: another rate, or more steps"
    )

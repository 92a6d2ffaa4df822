"""A language model as a policy, and the probability of what it does   (book eqs. 4.14, 4.22, 4.23)

    state s_t = (x, y_<t),   action a_t = y_t,   pi(a_t | s_t) = Pr(y_t | x, y_<t)
    log Pr(tau) = sum_t log pi(a_t | s_t) + sum_t log Pr(s_{t+1} | s_t, a_t)

The next state is the text with the action at its end, so the second sum is 0 for text; elsewhere it
is a number that does not depend on the policy, and its gradient is 0. Read next: surrogates.py.
"""

from dataclasses import dataclass, replace

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd import sum as sum_
from tinylm.errors import ConfigError, DataError


@dataclass(frozen=True)
class TextState:
    """A prompt and the beginning of a response, as one state of a decision process.

    prompt    ids of x;  response ids of y_<t
    eos       id that ends the response, or None
    longest   most tokens of a response
    """

    prompt: tuple
    response: tuple = ()
    eos: int | None = None
    longest: int = 16

    @property
    def tokens(self) -> tuple[int, ...]:
        """What the model reads: x and y_<t."""
        return self.prompt + self.response

    @property
    def ended(self) -> bool:
        """Whether the response has its end mark."""
        return bool(self.response) and self.response[-1] == self.eos

    @property
    def done(self) -> bool:
        """Whether no action is left: the response has ended, or was cut off."""
        return self.ended or len(self.response) >= self.longest

    def step(self, action: int) -> "TextState":
        """The next state, which is certain   (book section 4.3.1).

        raises   DataError after the end
        """
        if self.done:
            raise DataError("TextState.step: the response is over; begin with a new state")
        return replace(self, response=(*self.response, int(action)))


def trajectory_logprob(logp: Tensor, dynamics: np.ndarray | None = None) -> Tensor:
    """log Pr(tau): what the policy chose, and what the environment did   (book eqs. 4.22, 4.23)

    logp      (..., T) Tensor, log pi(a_t | s_t)
    dynamics  (..., T) array, log Pr(s_{t+1} | s_t, a_t): constants; None: certain
    returns   (...) Tensor
    """
    total = sum_(logp, axis=-1)
    if dynamics is None:
        return total
    dynamics = np.asarray(dynamics, logp.dtype)
    if dynamics.shape != logp.shape:
        raise ConfigError(
            f"trajectory_logprob: {dynamics.shape} transitions for {logp.shape} actions: one each"
        )
    return total + dynamics.sum(axis=-1)

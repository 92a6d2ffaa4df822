"""Text as a decision process: states, the end, and the probability of a trajectory."""

import dataclasses

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.policy.mdp import TextState, trajectory_logprob
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError, DataError
from tinylm.generate import conditional_logprob


def test_the_next_state_is_the_text_with_the_action_at_its_end():
    start = TextState(prompt=(5, 6), eos=0, longest=3)
    state = start.step(7).step(np.int64(8))
    assert state.tokens == (5, 6, 7, 8) and state.response == (7, 8)
    assert start.response == ()  # a state is not changed by what follows it
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.response = ()
    assert not state.done and not state.ended


def test_a_response_ends_with_its_mark_or_is_cut_off():
    state = TextState((5,), eos=0, longest=2)
    assert state.step(0).done and state.step(0).ended
    cut = state.step(1).step(2)
    assert cut.done and not cut.ended
    for over in (state.step(0), cut):
        with pytest.raises(DataError, match="over"):
            over.step(1)
    assert not TextState((0,), eos=0).done  # an end mark in the prompt ends nothing
    assert TextState((0,)).longest == 16 and not TextState((1,), (2,)).ended


def test_the_policy_of_states_gives_the_probability_of_the_response():
    m, state, total = gpt(), TextState((1, 2)), 0.0
    for action in (0, 2):
        total += conditional_logprob(m, list(state.tokens), [action])  # log pi(a | s)
        state = state.step(action)
    assert total == pytest.approx(conditional_logprob(m, [1, 2], [0, 2]), rel=1e-12)


def test_the_dynamics_change_the_value_and_not_the_gradient():
    logp = Tensor(np.log([[0.5, 0.25], [0.1, 0.2]]), requires_grad=True)
    dynamics = np.log([[0.5, 0.5], [1.0, 0.1]])
    with_it, without = trajectory_logprob(logp, dynamics), trajectory_logprob(logp)
    np.testing.assert_allclose(np.exp(without.data), [0.125, 0.02], rtol=1e-14)
    np.testing.assert_allclose(np.exp(with_it.data), [0.125 / 4, 0.002], rtol=1e-14)
    for total in (with_it, without):
        (g,) = grad(total.sum(), [logp])
        np.testing.assert_array_equal(g.data, 1)
    with pytest.raises(ConfigError, match="transitions"):
        trajectory_logprob(logp, dynamics[:1])
